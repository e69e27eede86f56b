"""Notifications lost, late, doubled and out of order, in virtual time: none lost, none twice.

The run itself is ``tests.sim.notifications``: a process of its own, so that its clock is its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.chaos.processes import StageError, clean_environment
from tests.chaos.scenario import Run, Scenario

CALLS = 10_000
CALLS_QUICK = 1_000
TOOK_S = 300.0
ROUGH = ("lost on the way", "reply lost", "late", "doubled")
"""What must have happened on the way: without it the run would say nothing."""


async def play(run: Run) -> None:
    """Let the simulation run, and tell what it found."""
    outcome, calls = run.outcome, run.pick(CALLS, CALLS_QUICK)
    found = await _simulated(calls, outcome.seed, run.directory)
    counts = found["counts"]
    outcome.expect_none(
        "notifications lost, applied twice or out of order, and journals that differ",
        found["wrong"],
    )
    told, applied = counts["notifications"], counts["applied"]
    outcome.expect("notifications applied", f"{told}", applied, is_met=applied == told)
    outcome.expect_none(
        "what did not happen on the way", [what for what in ROUGH if not counts.get(what)]
    )
    outcome.figure(f"{calls} calls", found["real_s"], TOOK_S)
    happened = ", ".join(f"{counts.get(what, 0)} {what}" for what in ROUGH)
    outcome.notes.append(
        f"{calls} calls, {counts['posts']} posts ({happened}), {found['virtual_s']:.0f} s of"
        " virtual time"
    )


async def _simulated(calls: int, seed: int, directory: Path) -> dict[str, Any]:
    """Run the simulation in a process of its own. Raises: StageError with its last words."""
    out, log = directory / "outcome.json", directory / "simulation.log"
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.sim.notifications"),
            *("--calls", str(calls), "--seed", str(seed), "--out", str(out)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env=clean_environment({}),
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if code not in (0, 1) or not out.exists():
        raise StageError(f"the simulation ended with {code}: {log.read_text()[-800:]}")
    found: dict[str, Any] = json.loads(out.read_text())
    return found


SCENARIO = Scenario(
    "notifications",
    "10,000 calls whose notifications are lost, late, doubled and out of order",
    play,
    is_in_quick=True,
)
