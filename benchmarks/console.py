"""The console with live calls: long tasks in the page, the age of its meters, its cost to the host.

``mixminus dev`` runs in a process of its own, its bot in calls with telephones over plain RTP; a
page in Chromium looks at one view after another, and at none in between: what the console costs is
the process's CPU time with the page open, minus without, by turns in one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole
from benchmarks.console_page import Console, ConsolePage, installed_chromium
from benchmarks.processes import (
    Child,
    Cores,
    CpuMeter,
    available_cores,
    end_process,
    pinned,
    plan_cores,
)
from benchmarks.report import not_measured, save_lines

NAME = "console"
BOT = Path(__file__).resolve().parent / "peers" / "console_bot.py"
COLUMNS = ["view", "calls", "long tasks %", "longest ms", "meter age p50 ms", "p99 ms", "max ms"]
COLUMNS += ["paints a s", "cores with", "without", "cost % of a core"]
VIEWS = {"overview": "#/", "calls": "#/calls", "one call": "#/calls/{id}"}
MEDIA = ("service", "app")
"""What a bot's media links cost differs by more, from one second to the next, than the console."""
FIRST_NUMBER = 14255550100
START_S = 60.0
LEAST_HEARD = 0.9
"""Of the 50 packets a second that each telephone must be sent: with fewer, calls do not stand."""
NO_BROWSER = "there is no Chromium: apt-get install chromium"
MOST_LONG_SHARE = 0.01
MOST_AGE_MS = 250.0
MOST_COST = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=whole(1, 99), default=50, metavar="N")
    parser.add_argument("--media", choices=MEDIA, default=MEDIA[0], help="whose the bot's audio is")
    parser.add_argument("--view", choices=tuple(VIEWS), action="append", help="(repeatable)")
    parser.add_argument("--rounds", type=whole(1, 100), default=5, help="with and without, each")
    parser.add_argument("--warm-up", type=number(0), default=5.0, metavar="S")
    parser.add_argument("--seconds", type=number(1), default=10.0, metavar="S", help="each window")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.warm_up, args.seconds, args.rounds = 1.0, 2.0, 1
        args.calls, args.view = min(args.calls, 10), args.view or ["calls"]
    rows: list[dict[str, Any]] = []
    browser = installed_chromium()
    if browser is None:
        return result(args, rows)
    cores = plan_cores(available_cores())
    with (
        Child("benchmarks.load.gateway", cores={cores.load}) as gateway,
        running(args.calls, gateway, cores) as (console, process),
        ConsolePage.opened(console, browser, cores={cores.load}) as page,
    ):
        call_ids = [console.call_telephone(n, args.media) for n in numbers(args.calls)]
        console.wait_for_calls(args.calls, START_S)
        time.sleep(args.warm_up)
        for view in args.view or VIEWS:
            print(f"{view} ...", file=sys.stderr, flush=True)
            address = VIEWS[view].format(id=call_ids[0])
            rows.append(of_view(view, address, args, page, gateway, process.pid))
    return result(args, rows)


def result(args: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "benchmark": NAME,
        "title": f"The console with {args.calls} live calls",
        "columns": COLUMNS,
        "rows": rows,
        "goals": goals(rows, is_quick=args.quick),
        "notes": [
            "cores: CPU time of the one process with call service, bot and console; its page and"
            " the telephones share another core"
        ],
        "absent": [] if rows else [NO_BROWSER],
    }


def numbers(count: int) -> list[str]:
    return [f"+{FIRST_NUMBER + n}" for n in range(count)]


def of_view(
    view: str,
    address: str,
    args: argparse.Namespace,
    page: ConsolePage,
    gateway: Child,
    pid: int,
) -> dict[str, Any]:
    """Measure by turns with the page open on *address* and closed."""
    cost: dict[bool, list[float]] = {True: [], False: []}
    seen: list[dict[str, Any]] = []
    heard, begin_s = gateway.ask("heard"), time.monotonic()
    for turn in range(args.rounds):
        # A B, B A: what drifts meanwhile is in both alike.
        for is_open in ((True, False), (False, True))[turn % 2]:
            if is_open:
                page.show(address)
            else:
                page.leave()
            time.sleep(min(2.0, args.warm_up))
            if is_open:
                page.begin()
            meter = CpuMeter([pid])
            time.sleep(args.seconds)
            cost[is_open].append(meter.cores()[pid])
            if is_open:
                seen.append(page.seen())
    due = (time.monotonic() - begin_s) * 50
    least = min(
        (now - before) / due for now, before in zip(gateway.ask("heard"), heard, strict=True)
    )
    return row(view, args, seen, cost, least)


def row(
    view: str,
    args: argparse.Namespace,
    seen: Sequence[dict[str, Any]],
    cost: dict[bool, list[float]],
    least_heard: float,
) -> dict[str, Any]:
    ages = sorted(age for window in seen for age in window["ages"])
    seconds = sum(window["seconds"] for window in seen)
    tasks = [ms for window in seen for ms in window["long_tasks_ms"]]
    problem = None
    if not ages:
        problem = "the page was told no levels"
    elif least_heard < LEAST_HEARD:
        problem = f"a telephone was sent only {least_heard:.0%} of its packets"
    differences = [one - other for one, other in zip(cost[True], cost[False], strict=True)]
    return {
        "view": view,
        "way": view,
        "calls": args.calls,
        "legs": args.calls,
        "long tasks %": 100 * sum(tasks) / 1000 / seconds,
        "longest ms": max(tasks, default=0.0),
        "meter age p50 ms": percentile(ages, 50),
        "p99 ms": percentile(ages, 99),
        "max ms": ages[-1] if ages else None,
        "paints a s": sum(window["paints"] for window in seen) / seconds,
        "cores with": statistics.mean(cost[True]),
        "without": statistics.mean(cost[False]),
        "cost % of a core": 100 * statistics.median(differences),
        "cost of each round": differences,
        "problem": problem,
    }


def percentile(ascending: Sequence[float], percent: float) -> float | None:
    if not ascending:
        return None
    return ascending[min(len(ascending) - 1, round(percent / 100 * (len(ascending) - 1)))]


def goals(rows: Sequence[dict[str, Any]], *, is_quick: bool) -> list[dict[str, Any]]:
    """Return the goals, each by the worst of the views."""
    whats = {
        "long tasks %": (f"tasks over 50 ms take < {MOST_LONG_SHARE:.0%} of the time, %", 1.0),
        "p99 ms": (f"meters are at most {MOST_AGE_MS:.0f} ms old (p99 of all paints), ms", 250.0),
        "cost % of a core": (f"the console costs <= {MOST_COST:.0%} of a core, %", 2.0),
    }
    problems = [row["problem"] for row in rows if row["problem"]]
    if not rows:
        problems = [NO_BROWSER]
    if is_quick or problems:
        why = problems[0] if problems else "--quick gives no figures"
        return [not_measured(what, why) for what, _ in whats.values()]
    found = []
    for column, (what, most) in whats.items():
        worst = max(row[column] for row in rows)
        found.append({"what": what, "measured": worst, "met": worst <= most})
    return found


@contextmanager
def running(
    calls: int, gateway: Child, cores: Cores
) -> Iterator[tuple[Console, subprocess.Popen[bytes]]]:
    """Run ``mixminus dev`` with a telephone for each call, its audio at the gateway."""
    ports = gateway.ask("open", count=calls)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        settings = state / "mixminus.toml"
        settings.write_text(settings_of(ports))
        command = [sys.executable, "-m", "mixminus.control", "dev", "--json", "--port", "0"]
        command += ["--state", str(state), "--config", str(settings), "--bot", str(BOT)]
        with pinned({cores.measured}), (state / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield Console.found(state, process, START_S), process
        finally:
            end_process(process)


def settings_of(ports: Sequence[int]) -> str:
    """Return a settings file with a telephone at each of *ports*."""
    return "\n".join(
        f"[[service.phones]]\nnumber = {json.dumps(to)}\ndisplay_name = {json.dumps(f'Line {n}')}\n"
        f'answer_after_s = 0.0\nrtp = "127.0.0.1:{port}"\ncodec = "pcmu"\n'
        for n, (to, port) in enumerate(zip(numbers(len(ports)), ports, strict=True), 1)
    )


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the age of the meters by view."""
    series = {
        row["view"]: ([50.0, 99.0, 100.0], [row["meter age p50 ms"], row["p99 ms"], row["max ms"]])
        for row in result["rows"]
        if not row["problem"]
    }
    save_lines(path, result["title"], series, ("percentile", "age of a level, ms"), log_x=2)
