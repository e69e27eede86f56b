"""What a Python plugin costs, and what one that misbehaves does to ticks and to other plugins."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.arguments import whole
from benchmarks.processes import BenchmarkError
from benchmarks.report import save_lines
from mixminus.media.bridge import Leg
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.attached import AttachedChain
from mixminus.media.plugins.chain import Chain, open_chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.plugins.worker import PluginWorker, wait_closed

NAME = "plugins"
COLUMNS = ["way", "frames/s of a core", "p50 us", "p99 us"]
LATENESS_COLUMNS = [
    "half",
    "ticks",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "max us",
    "edge p99.9 us",
    "missed by a sound plugin",
]
FAULT_COLUMNS = [
    "fault",
    "in",
    "times",
    "named as",
    "named after ms, worst",
    "disabled",
    "latest tick us",
]

ROUNDS = 5
QUICK_FRAMES, QUICK_TICKS = 5000, 700
QUANTILES = [50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95]
COLLECTION_S = 0.2
FAULT_FRAMES = 6
FAULT_TICKS = 50
"""One fault a second."""
MEMORY_MB = 64
LATENESS_FACTOR = 1.5
NAMED_MS = 40.0

RAISES, NAN, SHORT, BUSY, SLEEPS, HANGS, CRASHES, LEAKS = range(1, 9)
FAULTS = {
    "raises": RAISES,
    "returns NaN": NAN,
    "returns 100 samples": SHORT,
    "works for 6 ms": BUSY,
    "sleeps for 6 ms": SLEEPS,
    "hangs": HANGS,
    "crashes": CRASHES,
    "leaks": LEAKS,
}
HERE = ("raises", "returns NaN", "returns 100 samples", "works for 6 ms", "sleeps for 6 ms")
FAR = ("raises", "works for 6 ms", "hangs", "crashes", "leaks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=whole(100), default=50_000, help="frames in each way")
    parser.add_argument(
        "--ticks", type=whole(200), default=3000, help="ticks without faults, and as many with"
    )
    parser.add_argument(
        "--quick", action="store_true", help="show within half a minute that everything works"
    )


# ---- plugins -------------------------------------------------------------------------------------


class Null:
    """Does nothing: what is left is the cost of the engine."""

    def process(self, frame: AudioFrame) -> None:
        return None


class Sound:
    """Does a little, and nothing wrong."""

    def process(self, frame: AudioFrame) -> Pcm:
        result: Pcm = np.clip(frame * 1.5, -32768, 32767).astype(np.int16)
        return result


class Faulty:
    """Does what the first sample of a frame says."""

    kept: list[Any] = []  # noqa: RUF012 - a leak is what it is there for

    def process(self, frame: AudioFrame) -> Any:
        fault = int(frame[0])
        if fault == RAISES:
            raise ValueError("as the frame says")
        if fault == NAN:
            return np.full(FRAME_SAMPLES, np.nan)
        if fault == SHORT:
            return frame[:100]
        if fault == BUSY:
            end = time.thread_time() + 0.006
            while time.thread_time() < end:
                pass
        if fault == SLEEPS:
            time.sleep(0.006)
        if fault == HANGS:
            time.sleep(1000)
        if fault == CRASHES:
            ctypes.string_at(0)
        if fault == LEAKS:
            self.kept.append(np.ones(MEMORY_MB << 19, np.uint8))
        return None


# ---- cost ----------------------------------------------------------------------------------------


def ways() -> dict[str, PluginSpec]:
    found = {
        "null, in Python": PluginSpec(Null),
        "gain, numpy": PluginSpec(Sound),
        "null, in a child process": PluginSpec(f"{__name__}:Null", isolation="process"),
    }
    backed = PluginSpec("noise_suppression")
    try:
        backed.validate()
    except Exception as exc:
        raise BenchmarkError(f"expected webrtc-noise-gain, the C-backed plugin: {exc}") from exc
    return found | {"noise_suppression, C": backed}


def cpu_s() -> float:
    """CPU seconds of this process and of its children that live."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children()))


def measure_cost(frames: int) -> list[dict[str, Any]]:
    chains = {name: open_chain([spec]) for name, spec in ways().items()}
    spent_s = dict.fromkeys(chains, 0.0)
    counts = dict.fromkeys(chains, 0)
    taken: dict[str, list[int]] = {name: [] for name in chains}
    sounds = sound_frames(100)
    names = list(chains)
    try:
        for turn in range(ROUNDS):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                process = chains[name].process
                before_s = cpu_s()
                for number in range(frames // ROUNDS):
                    before = time.perf_counter_ns()
                    process(sounds[number % len(sounds)])
                    taken[name].append(time.perf_counter_ns() - before)
                spent_s[name] += cpu_s() - before_s
                counts[name] += frames // ROUNDS
    finally:
        for chain in chains.values():
            chain.close()
    return [
        {
            "way": name,
            "frames/s of a core": counts[name] / max(spent_s[name], 1e-9),
            "p50 us": float(np.percentile(taken[name], 50)) / 1000,
            "p99 us": float(np.percentile(taken[name], 99)) / 1000,
        }
        for name in names
    ]


def sound_frames(count: int) -> list[AudioFrame]:
    rng = np.random.default_rng(1)
    pcm = rng.integers(-8000, 8000, (count, FRAME_SAMPLES)).astype(np.int16)
    return [AudioFrame.of(row, index) for index, row in enumerate(pcm)]


# ---- faults --------------------------------------------------------------------------------------


class Stage:
    """A bridge with a faulty plugin here, one in a child, a sound one, and a listener."""

    def __init__(self, platform: MediaPlatform) -> None:
        self.platform = platform
        self.worker = PluginWorker.of(platform)
        self.bridge = platform.create_bridge()
        self.heap: list[Any] = []
        self.told: list[tuple[float, PluginEvent]] = []
        self.attached: dict[str, AttachedChain] = {}
        self._legs: dict[str, Leg] = {}
        self._codes: dict[str, Iterator[int]] = {}
        far = PluginSpec(f"{__name__}:Faulty", isolation="process", memory_mb=MEMORY_MB)
        for number, (place, specs) in enumerate(
            {
                "this process": [PluginSpec(Faulty), PluginSpec(Sound)],
                "a child": [far, PluginSpec(Sound)],
                "sound": [PluginSpec(Sound)],
            }.items()
        ):
            leg = self._legs[place] = self.bridge.add_leg(number + 1)
            chain = Chain(specs, call_id=place, on_event=self._tell, runtime=self.worker.runtime())
            self.attached[place] = self.worker.attach(leg, "inbound", chain)
        self.listener = self.bridge.add_leg(9)
        self._sounds = itertools.cycle(sound_frames(100))
        self._ticked = asyncio.Event()
        self._watched: tuple[str, int] | None = None
        self._written = False
        self.began_s = 0.0
        self._untick = platform.on_tick(self._feed)

    async def opened(self) -> None:
        for attached in self.attached.values():
            for name in attached.chain.names:
                await asyncio.wrap_future(attached.chain.slot(name).opened)

    def misbehave(self, place: str, fault: str) -> None:
        """Give frames with that fault from the next tick on; ``began_s`` is when it took the first.

        That is told by the tick's wake-up, so a little late; an event before it is at 0 ms.
        """
        self._codes[place] = iter([FAULTS[fault]] * FAULT_FRAMES)
        self._watched = (place, FAULTS[fault])

    def is_ready(self, place: str) -> bool:
        return self.attached[place].chain.slot("Faulty").is_live

    def repair(self) -> None:
        for place in ("this process", "a child"):
            self.attached[place].chain.bypass("Faulty", False)

    async def until_tick(self, tick: int) -> None:
        while self.platform.stats().ticks < tick:
            self._ticked.clear()
            await self._ticked.wait()

    async def close(self) -> None:
        self._untick()
        for attached in self.attached.values():
            await wait_closed(attached.close(), 5.0)
        self.bridge.close()
        await self.worker.close()

    @property
    def missed(self) -> int:
        return self.attached["sound"].chain.metrics()["Sound"].host_stalls

    def _feed(self) -> None:
        self._ticked.set()
        sound = next(self._sounds).copy()
        for place, leg in self._legs.items():
            if leg.source.depth_frames:
                continue  # The second wake-up of a tick.
            if self._written and self._watched is not None and self._watched[0] == place:
                self.began_s = time.perf_counter()
                self._watched, self._written = None, False
            code = next(self._codes.get(place, iter(())), 0)
            self._written = self._written or (place, code) == self._watched
            sound[0] = code
            leg.source.write(sound, self.platform.now())
        while self.listener.render.read() is not None:
            pass

    def _tell(self, event: PluginEvent) -> None:
        self.told.append((time.perf_counter(), event))


def fill_heap(heap: list[Any]) -> float:
    """Fill *heap* until a full collection takes 200 ms; return how long it takes."""
    took_s = 0.0
    while took_s < COLLECTION_S:
        heap.extend([number] for number in range(400_000))
        before = time.perf_counter()
        gc.collect()
        took_s = time.perf_counter() - before
    return took_s


async def measure_faults(ticks: int) -> dict[str, Any]:
    async with MediaPlatform() as platform:
        stage = Stage(platform)
        try:
            await stage.opened()
            collection_s = fill_heap(stage.heap)
            await stage.until_tick(platform.stats().ticks + 100)  # What opening cost is over.
            missed = [stage.missed]
            first = platform.stats().ticks
            await stage.until_tick(first + ticks)
            missed.append(stage.missed)
            second = platform.stats().ticks
            faults = await misbehave_until(stage, second + ticks)
            missed.append(stage.missed)
            rows = lateness_rows(platform, first, second, missed)
            return {"rows": rows, "faults": faults, "collection_s": collection_s}
        finally:
            await stage.close()


async def misbehave_until(stage: Stage, last_tick: int) -> list[dict[str, Any]]:
    plan = [
        *(("this process", fault) for fault in HERE),
        ("this process", "a collection of 200 ms"),
        *(("a child", fault) for fault in FAR),
    ]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for place, fault in itertools.cycle(plan):
        tick = stage.platform.stats().ticks
        if tick + FAULT_TICKS > last_tick:
            break
        row = rows.setdefault(
            (place, fault),
            {"fault": fault, "in": place, "times": 0, "named as": "", "disabled": 0}
            | {"named after ms, worst": None, "latest tick us": 0.0},
        )
        while not stage.is_ready(place) and stage.platform.stats().ticks < last_tick:
            # A child that was killed comes back a little later each time.
            await stage.until_tick(stage.platform.stats().ticks + 1)
        tick = stage.platform.stats().ticks
        if tick + FAULT_TICKS <= last_tick:
            stage.told.clear()
            stage.began_s = time.perf_counter()
            if fault in FAULTS:
                stage.misbehave(place, fault)
            else:
                gc.collect()
            row["times"] += 1
            await stage.until_tick(tick + FAULT_TICKS)
            note_events(row, place, stage.began_s, stage.told)
            latest_us = float(stage.platform.lateness_us(tick).max())
            row["latest tick us"] = max(row["latest tick us"], latest_us)
        stage.repair()
    return list(rows.values())


def note_events(
    row: dict[str, Any], place: str, began_s: float, told: list[tuple[float, PluginEvent]]
) -> None:
    """Note when the plugin was first named, as what, and whether it was disabled."""
    named = [
        (at_s, event) for at_s, event in told if (event.plugin, event.call_id) == ("Faulty", place)
    ]
    row["disabled"] += sum(event.kind == "disabled" for _, event in told)
    first = next(
        ((at_s, event) for at_s, event in named if event.kind in ("error", "overrun", "late")), None
    )
    if first is not None:
        row["named as"] = first[1].kind
        after_ms = max(0.0, first[0] - began_s) * 1000
        row["named after ms, worst"] = max(row["named after ms, worst"] or 0.0, after_ms)


def lateness_rows(
    platform: MediaPlatform, first: int, second: int, missed: list[int]
) -> list[dict[str, Any]]:
    rows = []
    late, edges = platform.lateness_us(first), platform.edge_lateness_us(first)
    cut = second - first
    for name, us, edge_us, lost in (
        ("without a fault", late[:cut], edges[:cut], missed[1] - missed[0]),
        ("a fault a second", late[cut:], edges[cut:], missed[2] - missed[1]),
    ):
        p50, p99, p999 = (float(x) for x in np.percentile(us, (50, 99, 99.9)))
        rows.append(
            {
                "half": name,
                "ticks": int(us.size),
                "p50 us": p50,
                "p99 us": p99,
                "p99.9 us": p999,
                "max us": float(us.max()),
                "edge p99.9 us": float(np.percentile(edge_us, 99.9)),
                "missed by a sound plugin": lost,
                "quantiles_us": [float(x) for x in np.percentile(us, QUANTILES)],
            }
        )
    return rows


# ---- report --------------------------------------------------------------------------------------


@contextmanager
def quiet_log() -> Iterator[None]:
    """Keep what is logged of each fault off the screen: the faults are ours."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.quick:
        args.frames, args.ticks = min(args.frames, QUICK_FRAMES), min(args.ticks, QUICK_TICKS)
    with quiet_log():
        cost = measure_cost(args.frames)
        found = asyncio.run(measure_faults(args.ticks))
    return {
        "benchmark": NAME,
        "title": "One 20 ms frame through a chain of one plugin",
        "columns": COLUMNS,
        "rows": cost,
        "more_tables": [
            {
                "title": "Lateness of ticks and of their last edge, halves of one run",
                "columns": LATENESS_COLUMNS,
                "rows": found["rows"],
            },
            {"title": "What became of faults", "columns": FAULT_COLUMNS, "rows": found["faults"]},
        ],
        "goals": goals(found),
        "notes": [f"a full collection took {found['collection_s'] * 1000:.0f} ms"],
    }


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    calm, rough = (row["p99.9 us"] for row in found["rows"])
    named = [row["named after ms, worst"] for row in found["faults"]]
    worst_ms = max((ms for ms in named if ms is not None), default=0.0)
    unnamed = [
        f"{row['fault']} in {row['in']}"
        for row in found["faults"]
        if row["fault"] in FAULTS and row["times"] and row["named after ms, worst"] is None
    ]
    by_collection = sum(row["disabled"] for row in found["faults"] if row["fault"] not in FAULTS)
    return [
        {
            "what": f"p99.9 of ticks with faults <= {LATENESS_FACTOR} x without, ratio",
            "measured": rough / max(calm, 1e-9),
            "met": rough <= LATENESS_FACTOR * calm,
        },
        {
            "what": f"each fault is named within {NAMED_MS:.0f} ms, worst in ms",
            "measured": worst_ms,
            "met": not unnamed and worst_ms <= NAMED_MS,
        },
        {
            "what": "a collection of 200 ms disables nothing, disabled",
            "measured": by_collection,
            "met": by_collection == 0,
        },
    ]


def plot(result: dict[str, Any], path: Path) -> None:
    table = result["more_tables"][0]
    series = {}
    for row in table["rows"]:
        tail = [1 / (1 - q / 100) for q in QUANTILES if q < 100 * (1 - 1 / row["ticks"])]
        series[row["half"]] = (tail, [max(x, 1.0) for x in row["quantiles_us"][: len(tail)]])
    save_lines(path, table["title"], series, ("one tick in ... is later", "lateness, us"), log_x=10)
