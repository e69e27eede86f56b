"""Echo bots a core carries over the media link and over an ACS stream, all of them speaking."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole
from benchmarks.processes import Child, CpuMeter, available_cores, plan_cores
from benchmarks.report import save_lines

NAME = "links"
WAYS = {"link": "media link", "acs": "ACS stream"}
COLUMNS = ["way", "legs", "cores", "% of a core a leg", "legs a core", "frames back"]
COLUMNS += ["tick p99 ms", "load cores"]
LEGS = (10, 25, 50, 75, 100)
FRAMES_A_SECOND = 50
LEAST_BACK = 0.99
"""Of the frames of 20 ms that each far end must hear: with fewer, the host is behind."""
LEAST_SENT = 0.99
FULL = 0.97
TICK_MS = 10.0
"""A host whose ticks take longer, at p99, has too many legs: its frames leave that much late."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--way", choices=tuple(WAYS), action="append", help="(repeatable)")
    parser.add_argument("--legs", type=whole(1, 500), nargs="+", default=LEGS, metavar="N")
    parser.add_argument("--warm-up", type=number(0), default=3.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=10.0, metavar="S", help="each figure")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def ramp(way: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let legs come step by step, until the host's core is full."""
    cores = plan_cores(available_cores())
    with (
        Child("benchmarks.peers.session_server", cores={cores.measured}) as host,
        Child("benchmarks.load.link_callers", cores={cores.load}) as callers,
    ):
        url, ca_file = host.ask("address")
        legs = 0
        for wanted in sorted(args.legs):
            if way == "link":
                made = host.ask("blobs", count=wanted - legs, mp_uri=f"{url}/media")
                callers.ask("link", url=url, ca_file=ca_file, sessions=made)
            else:
                callers.ask("acs", url=url, ca_file=ca_file, count=wanted - legs)
            legs = wanted
            time.sleep(args.warm_up)
            found = window(way, legs, host, callers, args.seconds)
            yield found
            if found["problem"] or found["cores"] > FULL:
                return


def window(way: str, legs: int, host: Child, callers: Child, seconds: float) -> dict[str, Any]:
    echoed = host.ask("facts")["sent"]
    meter = CpuMeter([host.pid, callers.pid])
    before, begin_s = callers.ask("counts"), time.monotonic()
    time.sleep(seconds)
    used, after, spent_s = meter.cores(), callers.ask("counts"), time.monotonic() - begin_s
    facts = host.ask("facts")
    due = legs * FRAMES_A_SECOND * spent_s
    back, sent = ((after[what] - before[what]) / due for what in ("heard", "sent"))
    # A host goes on sending, silence too, when its bots no longer keep up.
    back = min(back, (facts["sent"] - echoed) / due)
    problem = None
    if sent < LEAST_SENT:
        problem = f"the far ends sent only {sent:.1%} of their frames"
    elif back < LEAST_BACK:
        problem = f"only {back:.1%} of the frames came back: the host is behind"
    elif facts["tick_p99_ms"] is not None and facts["tick_p99_ms"] > TICK_MS:
        problem = f"ticks took {facts['tick_p99_ms']:.1f} ms at p99, more than {TICK_MS:g}"
    return {
        "way": WAYS[way],
        "legs": legs,
        "cores": used[host.pid],
        "% of a core a leg": 100 * used[host.pid] / legs,
        "legs a core": legs / used[host.pid],
        "frames back": back,
        "tick p99 ms": facts["tick_p99_ms"],
        "load cores": used[callers.pid],
        "threads": meter.threads(host.pid),
        "problem": problem,
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.warm_up, args.seconds, args.legs = 1.0, 1.0, (2, 4)
    rows: list[dict[str, Any]] = []
    for way in args.way or WAYS:
        print(f"{WAYS[way]} ...", file=sys.stderr, flush=True)
        rows += ramp(way, args)
    return {
        "benchmark": NAME,
        "title": "Echo bots of one host on one core, each over its own connection; all speak",
        "columns": COLUMNS,
        "rows": rows,
        "notes": [note(rows, way) for way in (args.way or WAYS)],
    }


def note(rows: Sequence[dict[str, Any]], way: str) -> str:
    """Say how many legs the last good step of *way* makes of a core."""
    good = [r for r in rows if r["way"] == WAYS[way] and not r["problem"]]
    if not good:
        return f"{WAYS[way]}: no figure"
    last = good[-1]
    return f"{WAYS[way]}: {last['legs a core']:.0f} legs a core, measured with {last['legs']}"


def plot(result: dict[str, Any], path: Path) -> None:
    series = {
        name: (
            [r["legs"] for r in result["rows"] if r["way"] == name],
            [r["% of a core a leg"] for r in result["rows"] if r["way"] == name],
        )
        for name in WAYS.values()
        if any(r["way"] == name for r in result["rows"])
    }
    save_lines(path, result["title"], series, ("legs", "% of a core a leg"), log_x=2)
