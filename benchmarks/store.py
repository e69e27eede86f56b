"""Calls created and notifications delivered per second, by the store alone: SQLite and PostgreSQL.

Both in one run, by turns, so that what else the machine does hits both. Every commit reaches the
disk. PostgreSQL is the one at --url, else Debian's, started for this on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arguments import whole
from benchmarks.postgres import own_server
from benchmarks.processes import BenchmarkError
from benchmarks.report import save_lines
from mixminus.control.store.base import CallRow, Store, StoreError
from mixminus.control.store.batches import MOST_WORKS
from mixminus.control.store.engine import Engine
from mixminus.control.store.opening import open_store

NAME = "store"
COLUMNS = ["engine", "works a commit", "at once", "calls/s", "call p50 ms", "call p99 ms"]
COLUMNS += ["rows/s", "row p50 ms", "row p99 ms"]
AT_ONCE = (1, 16, 64)
GROUPS = {"one": 1, "all that wait": MOST_WORKS}
"""How many works share a transaction: what grouping gains is seen in one run."""
BODY_CHARS = 1500
"""About what the resource of a call and a notification of it have."""
QUICK_CALLS = 50


@dataclass
class Timings:
    """What one engine did: seconds of each transaction, and how many a second in each round."""

    calls_a_s: list[float] = field(default_factory=list)
    rows_a_s: list[float] = field(default_factory=list)
    call_s: list[float] = field(default_factory=list)
    row_s: list[float] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=whole(10), default=500, help="in each round")
    parser.add_argument("--rounds", type=whole(1), default=5, help="of each engine, by turns")
    parser.add_argument("--url", help="the PostgreSQL database to use: it must hold nothing")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure both engines; PostgreSQL is named as absent where it cannot be had."""
    calls = QUICK_CALLS if args.quick else args.calls
    rounds = 1 if args.quick else args.rounds
    absent: list[str] = []
    with ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        urls: dict[str, str | None] = {"SQLite": None}
        try:
            urls["PostgreSQL"] = args.url or own_server(exits)
        except BenchmarkError as error:
            absent.append(f"PostgreSQL: {error}")
        try:
            rows = asyncio.run(_measure(urls, directory, calls, rounds))
        except StoreError as error:
            raise BenchmarkError(str(error)) from error
    return {
        "title": f"store: {rounds} rounds of {calls} calls",
        "columns": COLUMNS,
        "rows": rows,
        "absent": absent,
        "goals": [],
        "notes": [
            "calls: a call written with its first notification, one work. rows: one notification"
            " read and another marked as delivered, two works.",
            'works a commit: "one" is each in a transaction of its own, as before; else those that'
            f" wait share one, up to {MOST_WORKS}. By turns, in the same run.",
            "medians of the rounds; times of single transactions over all rounds.",
        ],
    }


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Draw calls a second against how many are written at once."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in result["rows"]:
        x, y = series.setdefault(f"{row['engine']}, {row['works a commit']}", ([], []))
        x.append(row["at once"])
        y.append(row["calls/s"])
    save_lines(path, result["title"], series, ("calls at once", "calls a second"), log_x=2)


async def _measure(
    urls: Mapping[str, str | None], directory: Path, calls: int, rounds: int
) -> list[dict[str, Any]]:
    stores: dict[str, Store] = {}
    keys = itertools.product(urls, GROUPS, AT_ONCE)
    timings = {key: Timings() for key in keys}
    try:
        for name, url in urls.items():
            stores[name] = await open_store(url, directory / "service.db")
            await _round(stores[name], "warm", QUICK_CALLS, 1, Timings())
        for number in range(rounds):
            for (name, group, width), taken in timings.items():
                store = stores[name]
                assert isinstance(store, Engine)
                store.group(GROUPS[group])
                await _round(stores[name], f"{number}-{group}-{width}", calls, width, taken)
    finally:
        for store in stores.values():
            await store.close()
    return [_row(*key, taken) for key, taken in timings.items()]


async def _round(store: Store, tag: str, calls: int, width: int, taken: Timings) -> None:
    """Write *calls* calls, *width* at once, then take what each has to tell from the outbox."""
    ids = [f"{tag}-{number}" for number in range(calls)]

    async def create(call_id: str) -> None:
        row = _call(call_id)
        began_s = time.perf_counter()
        await store.save_call(row, [_BODY])
        taken.call_s.append(time.perf_counter() - began_s)

    async def deliver(call_id: str) -> None:
        began_s = time.perf_counter()
        found = await store.next_notification(call_id)
        assert found is not None, call_id
        await store.finish_notification(found.sequence, delivered=True)
        taken.row_s.append(time.perf_counter() - began_s)

    taken.calls_a_s.append(calls / await _all(ids, width, create))
    taken.rows_a_s.append(calls / await _all(ids, width, deliver))


async def _all(ids: Sequence[str], width: int, work: Callable[[str], Any]) -> float:
    waiting = iter(ids)

    async def worker() -> None:
        for call_id in waiting:
            await work(call_id)

    began_s = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(width)))
    return time.perf_counter() - began_s


def _row(name: str, group: str, width: int, taken: Timings) -> dict[str, Any]:
    call, row = _quantiles_ms(taken.call_s), _quantiles_ms(taken.row_s)
    return {
        "engine": name,
        "works a commit": group,
        "at once": width,
        "calls/s": statistics.median(taken.calls_a_s),
        "call p50 ms": call[0],
        "call p99 ms": call[1],
        "rows/s": statistics.median(taken.rows_a_s),
        "row p50 ms": row[0],
        "row p99 ms": row[1],
    }


def _quantiles_ms(times_s: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times_s, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000


def _call(call_id: str) -> CallRow:
    resource = {"id": call_id, "callChainId": call_id, "state": "establishing", "x": _BODY}
    return CallRow(call_id, "app", "tenant", "https://bot/", "establishing", False, resource)


_BODY = json.dumps({"value": "n" * BODY_CHARS})
