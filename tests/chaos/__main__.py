"""``python -m tests.chaos``: play faults, compare the journals, write a report.

Exit code 1 when an invariant was missed (something lost, doubled, left over), or a scenario could
not be played. Figures of time are printed and marked: they decide nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from tests.chaos.findings import Outcome
from tests.chaos.report import line_of, write_report
from tests.chaos.scenario import Run, Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.postgres_kit import NoPostgresError, PostgresServer, postgres_server

AT_ONCE_QUICK: Final = 3
"""Scenarios at a time in the short form: they wait more than they work."""


class LazyPostgres:
    """A PostgreSQL server for all scenarios of a run, started with the first that wants it."""

    def __init__(self, exits: ExitStack) -> None:
        self._exits = exits
        self._server: PostgresServer | None = None
        self._lock = asyncio.Lock()

    async def __call__(self) -> PostgresServer:
        """Return the server. Raises: NoPostgresError."""
        async with self._lock:
            if self._server is None:
                made = postgres_server(durable=True)
                self._server = await asyncio.to_thread(made.__enter__)
                self._exits.push(made)
            return self._server


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what *arguments* say; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.keep is not None and options.keep.exists() and any(options.keep.iterdir()):
        print(f"--keep: expected an empty directory, got {options.keep}", file=sys.stderr)
        return 2
    seed = SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    wanted = (
        [one for one in SCENARIOS if one.name in options.scenario]
        if options.scenario
        else [one for one in SCENARIOS if one.is_in_quick or not options.quick]
    )
    began_s = time.monotonic()
    with ExitStack() as exits:
        work = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="mixminus-chaos-")))
        server = LazyPostgres(exits)
        runs = []
        for scenario in wanted:
            directory = (options.keep or work).resolve() / scenario.name
            directory.mkdir(parents=True)
            chance = Random(f"{seed} {scenario.name}")
            outcome = Outcome(scenario.name, seed)
            runs.append((scenario, Run(directory, chance, outcome, options.quick, server)))
        # One after the other: their figures are of two cores. The short form has none worth that.
        asyncio.run(play_all(runs, at_once=AT_ONCE_QUICK if options.quick else 1))
    outcomes = [run.outcome for _, run in runs]
    took_s = time.monotonic() - began_s
    write_report(options.out, outcomes, _machine(took_s))
    failed = [one.scenario for one in outcomes if one.verdict == "failed"]
    print(f"\n{len(outcomes)} scenarios in {took_s:.0f} s; report in {options.out}")
    if failed:
        print(f"failed: {', '.join(failed)}; again with --seed {seed} --scenario {failed[0]}")
    return 1 if failed else 0


async def play_all(runs: Sequence[tuple[Scenario, Run]], at_once: int) -> None:
    """Play all, *at_once* at a time, and print what each found when it is over."""
    slots = asyncio.Semaphore(at_once)
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C: the processes of the stages end with us.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    async def one(scenario: Scenario, run: Run) -> None:
        async with slots:
            print(f"{scenario.name}: {scenario.title} (seed {run.outcome.seed})", flush=True)
            await play(scenario, run)
            print(f"\n{_told(run.outcome)}\n", flush=True)

    await asyncio.gather(*(one(scenario, run) for scenario, run in runs))


async def play(scenario: Scenario, run: Run) -> None:
    """Play one scenario; what keeps it from its end is in its outcome."""
    began_s = time.monotonic()
    try:
        await scenario.play(run)
    except NoPostgresError as error:
        run.outcome.skip("PostgreSQL", str(error))
    except Exception as error:
        # The report tells of every scenario, also of one whose stage fell down.
        traceback.print_exc()
        run.outcome.error = f"{type(error).__name__}: {error}"
    run.outcome.took_s = time.monotonic() - began_s


def _told(outcome: Outcome) -> str:
    lines = [f"{outcome.scenario}: {outcome.verdict} in {outcome.took_s:.0f} s"]
    lines += [f"  {line_of(finding)}" for finding in outcome.findings]
    lines += [f"  {note}" for note in outcome.notes]
    if outcome.error is not None:
        lines.append(f"  NOT PLAYED to its end: {outcome.error}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(one.name for one in SCENARIOS)
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, for make check")
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME",
        choices=[one.name for one in SCENARIOS],
        help=f"one of {names}; again",
    )
    parser.add_argument("--seed", type=int, help="of all chance in it; printed, by default new")
    parser.add_argument("--out", type=Path, default=Path("chaos-out"), help="for the report")
    parser.add_argument("--keep", type=Path, help="keep stores and logs there")
    return parser


def _machine(took_s: float) -> dict[str, str | int]:
    return {
        "cores": os.cpu_count() or 0,
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "took": f"{took_s:.0f} s",
    }


if __name__ == "__main__":
    sys.exit(main())
