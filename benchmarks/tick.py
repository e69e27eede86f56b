"""How late ticks start: the engine's thread, a Python thread and asyncio, under load."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.arguments import whole
from benchmarks.load.client import Load
from benchmarks.peers.base import Setting
from benchmarks.peers.ours import Ours
from benchmarks.processes import available_cores, plan_cores
from benchmarks.report import save_lines
from mixminus.media import _native
from mixminus.media.pcm import FRAME_NS

NAME = "tick"
COLUMNS = ["way", "beside", "ticks", "p50 us", "p99 us", "p99.9 us", "max us", "late", "skipped"]
BUSY = "4 busy Python threads"
LOADS = ("nothing", "1 busy Python thread", BUSY, "1 busy process a core")
DRAIN_S = 0.5
RERUN = "MIXMINUS_BENCH_WITHOUT_FIFO"

LEGS = 100
SPEAKERS = (3, LEGS)
LEGS_WARM_UP_S = 3.0

Lateness = NDArray[np.float64]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ticks", type=whole(1), default=6000, help="a load, at least (6000 = 2 min)"
    )
    parser.add_argument("--no-fifo", action="store_true", help="without the right to SCHED_FIFO")
    parser.add_argument("--no-legs", action="store_true", help="leave out the engine with 100 legs")
    parser.add_argument(
        "--load", choices=LOADS, action="append", help="only this load (repeatable)"
    )


# ---- loads ---------------------------------------------------------------------------------------


def spin(stopped: Callable[[], bool]) -> None:
    while not stopped():
        sum(i * i for i in range(2000))


def spin_for_ever() -> None:
    spin(lambda: False)


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=spin, args=(stop.is_set,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=spin_for_ever, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


@contextmanager
def load(name: str) -> Iterator[None]:
    if name == "nothing":
        yield
    elif name.endswith("process a core"):
        with busy_processes(os.cpu_count() or 1):
            yield
    else:
        with busy_threads(int(name.split()[0])):
            yield


# ---- ways ----------------------------------------------------------------------------------------


class PythonTicks:
    """A tick thread as one writes it in Python: an absolute grid, but it needs the GIL."""

    def __init__(self) -> None:
        self.lateness_ns: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic_ns() + FRAME_NS
        while not self._stop.is_set():
            time.sleep(max(0, deadline - time.monotonic_ns()) / 1e9)
            now = time.monotonic_ns()
            self.lateness_ns.append(now - deadline)
            deadline += FRAME_NS * max(1, (now - deadline) // FRAME_NS)


class AsyncioTicks:
    """A tick on an event loop: an absolute grid by call_at."""

    def __init__(self) -> None:
        self.lateness_ns: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        period = FRAME_NS / 1e9
        deadline = loop.time() + period
        while not self._stop.is_set():
            woken = asyncio.Event()
            loop.call_at(deadline, woken.set)
            await woken.wait()
            late = loop.time() - deadline
            self.lateness_ns.append(int(late * 1e9))
            deadline += period * max(1, int(late / period))


def row(way: str, beside: str, lateness_ns: Lateness, late: int, skipped: int) -> dict[str, Any]:
    us = np.maximum(lateness_ns, 0) / 1000.0
    p50, p99, p999 = (float(x) for x in np.percentile(us, (50, 99, 99.9)))
    return {
        "way": way,
        "beside": beside,
        "ticks": int(us.size),
        "p50 us": p50,
        "p99 us": p99,
        "p99.9 us": p999,
        "max us": float(us.max()),
        "late": late,
        "skipped": skipped,
        "quantiles_us": [float(x) for x in np.percentile(us, QUANTILES)],
    }


QUANTILES = [50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95]


def measure_load(name: str, ticks: int) -> list[dict[str, Any]]:
    engine = _native.Engine()
    python, loop = PythonTicks(), AsyncioTicks()
    with load(name):
        engine.start()
        scheduling = engine.scheduling
        python.start()
        loop.start()
        while engine.stats()["ticks"] < ticks:
            time.sleep(DRAIN_S)
        engine.stop()
        python.stop()
        loop.stop()
    stats = engine.stats()
    ours = np.frombuffer(engine.lateness_ns(), np.uint32).astype(np.float64)
    rows = [
        row(f"mixminus ({scheduling})", name, ours, stats["late_ticks"], stats["skipped_ticks"])
    ]
    for way, taken in (("Python thread", python.lateness_ns), ("asyncio", loop.lateness_ns)):
        lateness = np.array(taken, np.float64)
        late = lateness > FRAME_NS
        skipped = int(np.sum(lateness[late] // FRAME_NS - 1))
        rows.append(row(way, name, lateness, int(late.sum()), skipped))
    return rows


# ---- with legs -----------------------------------------------------------------------------------


def measure_legs(speakers: int, ticks: int) -> dict[str, Any]:
    """An engine with 100 RTP legs, in a process beside whose loop four Python threads are busy."""
    cores, setting = plan_cores(available_cores()), Setting()
    with (
        Load(cores={cores.load}, bit_rate=setting.bit_rate) as load,
        Ours(setting, "RTP", cores={cores.measured}) as measured,
    ):
        load.join_rtp(measured, ["speech"] * speakers + ["noise"] * (LEGS - speakers))
        measured.ask("busy", threads=4)
        time.sleep(LEGS_WARM_UP_S)
        before = measured.facts()
        while (facts := measured.facts())["ticks"] - before["ticks"] < ticks:
            time.sleep(DRAIN_S)
        lateness_us = np.array(measured.ask("lateness", since_tick=before["ticks"]), np.float64)
    said = "all speak" if speakers == LEGS else f"{speakers} speak"
    found = row(
        f"mixminus ({facts['scheduling']}), {LEGS} RTP legs, {said}",
        BUSY,
        lateness_us * 1000.0,
        facts["late_ticks"] - before["late_ticks"],
        facts["skipped_ticks"] - before["skipped_ticks"],
    )
    return found | {"tick": facts["tick"]}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.no_fifo:
        drop_real_time_right()
    rows = []
    for name in args.load or LOADS:
        print(f"{args.ticks} ticks beside {name} ...", file=sys.stderr, flush=True)
        rows += measure_load(name, args.ticks)
        if name == BUSY and not args.no_legs:
            for speakers in SPEAKERS:
                print(f"  with {LEGS} legs, {speakers} speak ...", file=sys.stderr, flush=True)
                rows.append(measure_legs(speakers, args.ticks))
    return {
        "benchmark": NAME,
        "title": "Lateness of 20 ms ticks; all three ways ran at the same time",
        "columns": COLUMNS,
        "rows": rows,
        "goals": goals(rows),
    }


def drop_real_time_right() -> None:
    """Run this command again without CAP_SYS_NICE, as in a plain container.

    The bounding set counts at the next exec, so dropping it here makes the rerun go without.
    """
    pr_capbset_drop, cap_sys_nice = 24, 23
    if os.environ.get(RERUN) == "1":
        return
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_sys_nice, 0, 0, 0)  # not held: nothing to drop
    command = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
    sys.exit(subprocess.run(command, env={**os.environ, RERUN: "1"}, check=False).returncode)


def goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for r in rows:
        if not r["way"].startswith("mixminus") or r["beside"] != BUSY:
            continue
        column, limit = ("p99.9 us", 1000.0) if "fifo" in r["way"] else ("p99 us", 5000.0)
        what = f"{r['way']} beside {r['beside']}, {column.split()[0]} <= {limit / 1000:g} ms"
        found.append({"what": f"{what}, in us", "measured": r[column], "met": r[column] <= limit})
    return found


def plot(result: dict[str, Any], path: Path) -> None:
    series = {}
    for r in result["rows"]:
        if r["beside"] not in ("nothing", BUSY):
            continue
        # A quantile that fewer ticks than one in ... stand behind says nothing.
        tail = [1 / (1 - q / 100) for q in QUANTILES if q < 100 * (1 - 1 / r["ticks"])]
        us = [max(x, 1.0) for x in r["quantiles_us"][: len(tail)]]
        series[f"{r['way']}, beside {r['beside']}"] = (tail, us)
    save_lines(
        path, result["title"], series, ("one tick in ... is later", "lateness, us"), log_x=10
    )
