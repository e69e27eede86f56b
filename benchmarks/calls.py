"""Calls through a whole call service: how many a second, what each costs, and how late one is told.

The service runs as ``mixminus service`` in a process of its own; an application beside it asks for
calls to a telephone that answers at once, its audio played by the service, and hears the
notifications at a webhook over HTTPS. *Created*: SQLite and PostgreSQL by turns in one run.
*Standing*: with more and more calls that stand, others come and go.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole
from benchmarks.postgres import own_server
from benchmarks.processes import (
    BenchmarkError,
    Child,
    Cores,
    CpuMeter,
    available_cores,
    end_process,
    pinned,
    plan_cores,
    resident_bytes,
)
from benchmarks.report import not_measured, save_lines
from mixminus.control.devfile import DEV_FILE_NAME
from mixminus.control.service.settings import ServiceSettings

NAME = "calls"
COLUMNS = ["engine", "at once", "calls/s", "reply p50 ms", "p99 ms", "established/s", "cores"]
STANDING_COLUMNS = ["way", "calls", "cores", "% of a core a call", "tick threads %", "MB a call"]
STANDING_COLUMNS += ["lag p50 ms", "lag p99 ms", "cores then"]
AT_ONCE = (1, 16, 64)
STANDING = (10, 100, 500, 1000, 2000)
MOST_CALLS = 5000
PHONE, RINGING_PHONE = "+14255550101", "+14255550102"
WAYS = {"ringing": RINGING_PHONE, "talking": PHONE}
"""Calls that ring cost no media: what they cost is the service's book-keeping."""
FULL = 0.85
"""Cores in use beyond which more calls of that kind say nothing."""
START_S = 60.0
LOOK_S = 0.1
RING_S = 600
"""How long a telephone rings that nobody answers: longer than is measured."""
CREATE_AT_ONCE = 16
QUICK_CALLS = 20
GROWTH_FROM, GROWTH_GOAL = 100, 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=whole(10, MOST_CALLS), default=300, help="in each round")
    parser.add_argument("--rounds", type=whole(1), default=3, help="of each engine, by turns")
    parser.add_argument(
        "--standing",
        type=whole(0, MOST_CALLS),
        nargs="+",
        default=STANDING,
        metavar="N",
        help="calls that stand while others come and go; 0 leaves it out",
    )
    parser.add_argument("--a-second", type=number(1, 500), default=20.0, help="that come and go")
    parser.add_argument("--warm-up", type=number(0), default=3.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=10.0, metavar="S", help="each figure")
    parser.add_argument("--url", help="the PostgreSQL database to use: it must hold nothing")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure both; PostgreSQL is named as absent where it cannot be had."""
    if args.quick:
        args.calls, args.rounds, args.warm_up, args.seconds = QUICK_CALLS, 1, 0.5, 1.0
        args.a_second = 10.0
        args.standing = args.standing if args.standing != STANDING else (5, QUICK_CALLS)
    cores = plan_cores(available_cores())
    absent: list[str] = []
    with ExitStack() as exits:
        urls: dict[str, str | None] = {"SQLite": None}
        try:
            urls["PostgreSQL"] = args.url or own_server(exits)
        except BenchmarkError as error:
            absent.append(f"PostgreSQL: {error}")
        rows = created(urls, cores, args)
    ways = WAYS if any(args.standing) else ()
    standing = [row for way in ways for row in cost(way, cores, args)]
    tables = [{"title": "Standing calls", "columns": STANDING_COLUMNS, "rows": standing}]
    return {
        "benchmark": NAME,
        "title": f"Calls created: {args.rounds} rounds of {args.calls}",
        "columns": COLUMNS,
        "rows": rows,
        "more_tables": tables if standing else [],
        "absent": absent,
        "goals": goals(standing, is_quick=args.quick),
        "notes": [
            "calls/s: answered with 201; established/s: until the webhook heard of the last that it"
            " stands. One core for the service, one for the application; PostgreSQL has both.",
            "% of a core a call: without what the service takes when there is none.",
            f"lag: from sending a request to the arrival of the notification it causes, with"
            f" {args.a_second:g} calls a second coming and going beside those that stand.",
            *(f"no figure, {r['calls']} {r['way']}: {r['problem']}" for r in problems(standing)),
        ],
    }


def problems(standing: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in standing if row["problem"]]


@contextmanager
def service(cores: Cores, url: str | None) -> Iterator[tuple[Path, int]]:
    """Run a call service; yield its state directory and process id.

    Raises: BenchmarkError with the end of its log when it does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        state, settings, log = (Path(folder) / name for name in ("state", "settings.toml", "log"))
        environment = dict(os.environ)
        if url is not None:
            environment[ServiceSettings.variable("store_url")] = url
        settings.write_text(
            f"[service]\nmax_calls = {MOST_CALLS}\n"
            f"ringing_s = {RING_S}\n"
            f'[[service.phones]]\nnumber = "{PHONE}"\nanswer_after_s = 0.0\n'
            f'[[service.phones]]\nnumber = "{RINGING_PHONE}"\nanswer_after_s = {RING_S}\n'
            '[operation]\nadmission = false\ndrain_s = 0\nlog_level = "warning"\n'
        )
        command = [sys.executable, "-m", "mixminus.control", "service", "--quiet"]
        command += ["--state", str(state), "--config", str(settings)]
        with pinned({cores.measured}), log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=output, env=environment
            )
        try:
            deadline = time.monotonic() + START_S
            while not (state / DEV_FILE_NAME).exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    end = log.read_text(errors="replace").splitlines()[-1:]
                    raise BenchmarkError(f"no service: {' '.join(end) or 'nothing was said'}")
                time.sleep(LOOK_S)
            yield state, process.pid
        finally:
            end_process(process)


def application(cores: Cores) -> Child:
    return Child("benchmarks.load.bots", cores={cores.load})


# ---- calls created -------------------------------------------------------------------------------


def created(
    urls: Mapping[str, str | None], cores: Cores, args: argparse.Namespace
) -> list[dict[str, Any]]:
    taken: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with ExitStack() as exits:
        running: dict[str, tuple[Child, int]] = {}
        for engine, url in urls.items():
            state, pid = exits.enter_context(service(cores, url))
            child = exits.enter_context(application(cores))
            child.ask("open", state=str(state))
            _round(child, pid, QUICK_CALLS, CREATE_AT_ONCE)
            running[engine] = child, pid
        for _ in range(args.rounds):
            for at_once in AT_ONCE:
                for engine, (child, pid) in running.items():
                    print(f"{engine}, {at_once} at once ...", file=sys.stderr, flush=True)
                    found = _round(child, pid, args.calls, at_once)
                    taken.setdefault((engine, at_once), []).append(found)
    return [_row(engine, at_once, rounds) for (engine, at_once), rounds in taken.items()]


def _round(child: Child, pid: int, calls: int, at_once: int) -> dict[str, Any]:
    meter = CpuMeter([pid])
    found: dict[str, Any] = child.ask("create", number=PHONE, count=calls, at_once=at_once)
    if found["made"] != calls:
        raise BenchmarkError(f"{found['made']} of {calls} calls were made: {found['problem']}")
    found["established_s"] = child.ask("established") - found["began_s"]
    found["cores"] = meter.cores()[pid]
    child.ask("end", at_once=CREATE_AT_ONCE)
    return found


def _row(engine: str, at_once: int, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cuts = quantiles_ms([took_s for found in rounds for took_s in found["took_s"]])
    return {
        "engine": engine,
        "at once": at_once,
        "calls/s": statistics.median(found["made"] / found["seconds"] for found in rounds),
        "reply p50 ms": cuts[0],
        "p99 ms": cuts[1],
        "established/s": statistics.median(f["made"] / f["established_s"] for f in rounds),
        "cores": statistics.median(found["cores"] for found in rounds),
    }


def quantiles_ms(times_s: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99 of *times_s* (two or more), in milliseconds."""
    cuts = statistics.quantiles(times_s, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000


# ---- calls that stand ----------------------------------------------------------------------------


def cost(way: str, cores: Cores, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Let more and more calls stand; yield what each number of them costs, until a core is full."""
    with service(cores, None) as (state, pid), application(cores) as child:
        child.ask("open", state=str(state))
        child.ask("come_and_go", number=PHONE, seconds=1.0, a_second=args.a_second)
        before_bytes, alone = resident_bytes(pid), _used(pid, args)[0]
        standing = 0
        for calls in sorted(n for n in args.standing if n):
            print(f"{calls} calls, {way} ...", file=sys.stderr, flush=True)
            more = calls - standing
            found = child.ask("create", number=WAYS[way], count=more, at_once=CREATE_AT_ONCE)
            standing += found["made"]
            row = {"way": way, "calls": calls, "legs": calls, "problem": found["problem"] or None}
            if standing < calls:
                yield row
                break
            if way == "talking":
                child.ask("established")
            used, threads = _used(pid, args)
            row |= {
                "cores": used,
                "% of a core a call": 100 * (used - alone) / calls,
                "tick threads %": 100 * sum(n for name, n in threads.items() if "tick" in name),
                "MB a call": (resident_bytes(pid) - before_bytes) / calls / 1e6,
                "threads": threads,
                **_while_others_come(child, pid, args),
            }
            yield row
            if row["cores then"] > FULL:
                break
        child.ask("end", at_once=CREATE_AT_ONCE)


def _used(pid: int, args: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """Return the cores that a process uses, in all and by its threads."""
    time.sleep(args.warm_up)
    meter = CpuMeter([pid])
    time.sleep(args.seconds)
    return meter.cores()[pid], meter.threads(pid)


def _while_others_come(child: Child, pid: int, args: argparse.Namespace) -> dict[str, Any]:
    meter = CpuMeter([pid])
    heard = child.ask("come_and_go", number=PHONE, seconds=args.seconds, a_second=args.a_second)
    busy = meter.cores()[pid]
    lags_s = heard["lags_s"]
    cuts = quantiles_ms(lags_s) if len(lags_s) > 1 else (None, None)
    return {
        "lag p50 ms": cuts[0],
        "lag p99 ms": cuts[1],
        "cores then": busy,
        "problem": heard["problem"],
    }


def goals(standing: Sequence[Mapping[str, Any]], *, is_quick: bool) -> list[dict[str, Any]]:
    """Compare what a call costs among the most calls with what it costs among a hundred."""
    cost_of, found = "% of a core a call", []
    for way in WAYS:
        good = {row["calls"]: row for row in standing if row["way"] == way and not row["problem"]}
        most = max(good, default=0)
        what = f"a {way} call costs <= {GROWTH_GOAL:g}x among {most:,} of what it does among"
        what += f" {GROWTH_FROM}"
        if is_quick or GROWTH_FROM not in good or most <= GROWTH_FROM:
            why = "--quick gives no figures" if is_quick else f"no rows at {GROWTH_FROM} and more"
            found.append(not_measured(what, why))
            continue
        ratio = good[most][cost_of] / good[GROWTH_FROM][cost_of]
        found.append({"what": what, "measured": ratio, "met": ratio <= GROWTH_GOAL})
    return found


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw what a call costs and how late one is told against how many stand."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for table in result["more_tables"]:
        for row in (row for row in table["rows"] if not row["problem"]):
            for name in ("% of a core a call", "lag p50 ms", "lag p99 ms"):
                x, y = series.setdefault(f"{row['way']}: {name}", ([], []))
                x.append(row["calls"])
                y.append(row[name])
    save_lines(path, "Calls that stand", series, ("calls", ""), log_x=10)
