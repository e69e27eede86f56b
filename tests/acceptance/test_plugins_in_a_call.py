"""Plugins in a session as calls have it, good and bad ones, through worker and ports."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from benchmarks.plugins import COLLECTION_S, fill_heap, goals

from mixminus.control.host.plugins import HostPlugins
from mixminus.media.dtmf import tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm, level_dbov
from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import PluginContext
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.session import MediaSession
from tests.plugin_kit import heard, mixed, plugged, speech, white_noise
from tests.support import eventually
from tests.unit.test_host_plugins import Stage

BAD, GOOD = 7, 8
"""The speakers: what the first one's plugin does wrong, the second one's does not."""
LEVEL = 1000
DRY_WITHIN_TICKS = 2
"""40 ms."""
FAULT_TICKS = 6
SILENCE: Mapping[str, int | Pcm] = MappingProxyType({})


class Adds:
    """Adds 100, so that it is heard; on the bad speaker it fails when the sound says so."""

    def __init__(self, fault: Callable[[AudioFrame], Any]) -> None:
        self._fault = fault
        self._source_id: int | None = None

    def open(self, context: PluginContext) -> None:
        self._source_id = context.source_id

    def process(self, frame: AudioFrame) -> Any:
        if self._source_id == BAD and frame[-1] == FAULTY_LEVEL:
            return self._fault(frame)
        return frame + np.int16(100)


FAULTY_LEVEL = 2000


def raises(frame: AudioFrame) -> None:
    frame[:] = 0
    raise ZeroDivisionError("at the third bar")


def takes_6_ms(frame: AudioFrame) -> Pcm:
    end = time.thread_time() + 0.006
    while time.thread_time() < end:
        pass
    return frame + np.int16(100)


FAULTS: dict[str, Callable[[AudioFrame], Any]] = {
    "raises": raises,
    "rubbish": lambda frame: "a frame",
    "NaN": lambda frame: np.full(FRAME_SAMPLES, np.nan),
    "too short": lambda frame: frame[:100],
    "6 ms": takes_6_ms,
}


class Scene:
    """A session of a bot host in virtual time; what the bot hears is kept tick by tick."""

    def __init__(self, *specs: PluginSpec) -> None:
        self.stage = Stage(*specs)
        self.ticks = 0

    def tick(self, said: Mapping[str, int | Pcm] = SILENCE, *, is_late: bool = False) -> list[Pcm]:
        """Let a tick pass in which *said* is: s7, s8, own. Return the mix, what goes out.

        *is_late*: the plugins' worker comes to it only after the tick.
        """
        self.ticks += 1
        legs = self.stage.session.legs
        for name, leg in (
            *((f"s{source_id}", leg) for source_id, leg in legs.speakers.items()),
            ("own", legs.application),
        ):
            pcm = said.get(name, 0)
            frame = pcm if isinstance(pcm, np.ndarray) else np.full(FRAME_SAMPLES, pcm, np.int16)
            leg.source.write(frame, self.ticks)
        worker = self.stage.worker
        self.stage.platform._engine.run_ticks(1, (lambda: None) if is_late else worker.work)
        worker.work()
        frames: list[Pcm] = []
        for ring in (legs.application.render, legs.link.render):
            heard = ring.read()
            assert heard is not None
            frames.append(heard)
        return frames

    def of(self, plugin: str, *kinds: str) -> list[PluginEvent]:
        return [e for e in self.stage.events if e.plugin == plugin and e.kind in kinds]


@asynccontextmanager
async def scene(*specs: PluginSpec) -> AsyncIterator[Scene]:
    made = Scene(*specs)
    await made.stage.start()
    for _ in range(5):
        made.tick()
    try:
        yield made
    finally:
        await made.stage.close()


def adds_on_speakers(fault: str) -> PluginSpec:
    class Faulty(Adds):
        def __init__(self) -> None:
            super().__init__(FAULTS[fault])

    return PluginSpec(Faulty, "speaker", name="faulty")


class AddsTen:
    def process(self, frame: AudioFrame) -> Pcm:
        return frame + np.int16(10)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_plugin_of_one_speaker_is_dry_within_40_ms_and_named(fault: str) -> None:
    """Issue 5, check 2: in a real session, with others of its kind and of its chain untouched."""
    others = [PluginSpec(AddsTen, on, name=on) for on in ("speaker", "mix", "own")]
    async with scene(adds_on_speakers(fault), *others) as it:
        calls: dict[str, int | Pcm] = {f"s{BAD}": LEVEL, f"s{GOOD}": 3 * LEVEL, "own": LEVEL}
        for _ in range(60):
            mix, own = it.tick(calls)
        wet = 4 * LEVEL + 2 * 110 + 10
        assert (int(mix[-1]), int(own[-1])) == (wet, LEVEL + 10)
        assert it.of("faulty", "error", "overrun", "late", "disabled", "host_stall") == []

        heard_at: list[int] = []
        named_at = None
        for number in range(FAULT_TICKS):
            # What takes 6 ms is not back within the 5 ms until the bridge is mixed.
            is_late = fault == "6 ms" and number < 3
            mix, own = it.tick({**calls, f"s{BAD}": FAULTY_LEVEL}, is_late=is_late)
            await it.stage.told_to_end()
            heard_at.append(int(mix[-1]))
            if named_at is None and it.of("faulty", "error", "overrun"):
                named_at = number
            if not is_late:
                assert int(own[-1]) == LEVEL + 10
        # The frame of the bad speaker as it was, with what the next plugin of its chain adds.
        dry = FAULTY_LEVEL + 3 * LEVEL + 10 + 110 + 10
        if fault == "6 ms":
            # Its worker was late for all, then: nothing of a plugin is in these ticks.
            assert heard_at[:3] == [FAULTY_LEVEL + 3 * LEVEL] * 3
            assert heard_at[3:] == [dry] * (FAULT_TICKS - 3)
        else:
            assert heard_at == [dry] * FAULT_TICKS
        assert named_at is not None
        assert named_at < DRY_WITHIN_TICKS
        named = it.of("faulty", "error", "overrun", "disabled")
        assert {(e.stream, e.source_id, e.call_id) for e in named} == {("speaker", BAD, "c1")}
        assert [e.kind for e in named][-1] == "disabled"

        metrics = it.stage.plugins.metrics("faulty")
        assert metrics[BAD].disabled == 1
        assert metrics[BAD].errors + metrics[BAD].overruns == 3
        assert not metrics[BAD].is_active
        sound = [metrics[GOOD], *it.stage.plugins.metrics("speaker").values()]
        sound += [
            *it.stage.plugins.metrics("mix").values(),
            *it.stage.plugins.metrics("own").values(),
        ]
        assert len(sound) == 5
        assert all(m.is_active for m in sound)
        assert sum(m.errors + m.overruns + m.disabled for m in sound) == 0
        health = it.stage.host.health()["counters"]["faulty"]
        assert health["disabled"] == 1
        # The rest of the call goes on without it on that speaker alone.
        mix, own = it.tick(calls)
        assert (int(mix[-1]), int(own[-1])) == (wet - 100, LEVEL + 10)


# ---- in a child ----------------------------------------------------------------------------------

FILE = '''
import ctypes, time
import numpy as np

class Far:
    """Adds 100; on speaker 7 it does what the last sample of a frame says."""
    kept = []
    def open(self, context):
        self.is_bad = context.source_id == 7
    def process(self, frame):
        fault = int(frame[-1]) if self.is_bad else 0
        if fault == 1:
            time.sleep(1000)
        if fault == 2:
            ctypes.string_at(0)
        if fault == 3:
            self.kept.append(np.ones(1 << 20, np.uint8))
        if fault == 4:
            raise ValueError("as told")
        return frame + np.int16(100)
'''
HANGS, CRASHES, LEAKS, RAISES = 1, 2, 3, 4


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("fault", [HANGS, CRASHES, LEAKS, RAISES])
async def test_an_isolated_plugin_that_fails_is_dry_within_40_ms_and_named(
    fault: int, tmp_path: Path
) -> None:
    """Issue 5, check 2, of plugins in a child process."""
    path = tmp_path / "far_plugin.py"
    path.write_text(FILE)
    far = PluginSpec(f"{path}:Far", "speaker", isolation="process", name="far", memory_mb=64)
    async with scene(far, PluginSpec(AddsTen, "speaker", name="here")) as it:
        calls: dict[str, int | Pcm] = {f"s{BAD}": LEVEL, f"s{GOOD}": 3 * LEVEL}

        async def mixed_levels(said: dict[str, int | Pcm], ticks: int) -> list[int]:
            levels = []
            for _ in range(ticks):
                levels.append(int(it.tick(said)[0][-1]))
                await it.stage.told_to_end()
            return levels

        wet = 4 * LEVEL + 2 * 110

        async def is_wet() -> bool:
            return (await mixed_levels(calls, 1))[-1] == wet

        await eventually(is_wet, 20.0)
        before = it.stage.plugins.metrics("here")
        dry = {fault + 3 * LEVEL + 20, fault + 3 * LEVEL + 120}
        bad = {**calls, f"s{BAD}": fault}
        began = it.ticks
        await mixed_levels(bad, 1)

        if fault in (HANGS, CRASHES):
            await mixed_levels(calls, 1)
            assert it.ticks - began <= DRY_WITHIN_TICKS
            assert it.of("far", "late", "error"), "named within 40 ms"
        else:
            # What leaks answers well until it is stopped; of three that raise in time each counts.
            told = "error" if fault == LEAKS else "disabled"

            async def is_told() -> bool:
                await mixed_levels(bad, 1)
                return bool(it.of("far", told))

            await eventually(is_told, 20.0)
        # From then on it is dry: with 100 of the other speaker's at most, whose child it is, too.
        after = await mixed_levels(bad, 3)
        assert set(after) <= dry, (after, dry)
        told_of = {(e.stream, e.source_id) for e in it.of("far", "late", "error")}
        # The memory is the child's, which serves both: which of them took it cannot be known.
        assert ("speaker", BAD) in told_of or (fault == LEAKS and told_of)
        here = it.stage.plugins.metrics("here")
        for source_id in (BAD, GOOD):
            assert here[source_id].is_active
            assert here[source_id].errors + here[source_id].overruns == 0
            assert here[source_id].bypassed == before[source_id].bypassed
            assert here[source_id].frames > before[source_id].frames
        if fault == RAISES:
            assert it.of("far", "disabled")
            assert it.stage.plugins.metrics("far")[GOOD].is_active
            return
        # Another child takes its place, and the call sounds as it did.
        await eventually(is_wet, 30.0)
        assert it.of("far", "restarted")
        assert it.stage.plugins.metrics("far")[BAD].restarts >= 1
        assert it.of("far", "disabled") == []


# ---- what ships with it --------------------------------------------------------------------------


async def test_built_in_plugins_make_in_a_call_what_they_make_offline() -> None:
    """Noise suppression, then DTMF detection on a speaker, gain on the mix: sample for sample."""
    clean = speech()[: 4 * 16_000]
    tone = tone_pcm("5", 100)
    voice = np.concatenate((clean, tone, np.zeros(FRAME_SAMPLES * 10, np.int16)))
    voice = voice[: voice.size // FRAME_SAMPLES * FRAME_SAMPLES]
    noisy = mixed(voice, white_noise(voice, 300.0))
    specs = [
        PluginSpec("noise_suppression", "speaker"),
        PluginSpec("dtmf", "speaker"),
        PluginSpec("gain", "mix", {"gain_db": 6.0}),
        PluginSpec("gain", "own", {"gain_db": -6.0}, name="softer"),
    ]
    async with scene(*specs) as it:
        frames = noisy.reshape(-1, FRAME_SAMPLES)
        came = [it.tick({"s7": frame, "own": frame}) for frame in frames]
        await it.stage.told_to_end()
        suppressed = np.concatenate([np.zeros(5 * FRAME_SAMPLES, np.int16), noisy])
        suppressed = heard("noise_suppression", suppressed)[5 * FRAME_SAMPLES :]
        mix = np.concatenate([frames[0] for frames in came])
        np.testing.assert_array_equal(mix, heard("gain", suppressed, gain_db=6.0))
        own = np.concatenate([frames[1] for frames in came])
        np.testing.assert_array_equal(own, heard("gain", noisy, gain_db=-6.0))
        quiet = slice(-FRAME_SAMPLES * 5, None)
        assert level_dbov(mix[quiet]) < level_dbov(noisy[quiet]) + 6 - 10, "10 dB less noise"
        tones = [(e.value, e.source_id) for e in it.of("dtmf", "value")]
        with plugged("dtmf") as run:
            run.hear(suppressed)
        assert [key for key, _ in tones] == run.said("tone") == ["5"]
        assert tones[0][1] == BAD
        for name in ("noise_suppression", "dtmf", "gain", "softer"):
            for metrics in it.stage.plugins.metrics(name).values():
                assert metrics.frames >= len(frames)
                assert metrics.errors + metrics.overruns + metrics.disabled == 0
        (line,) = [one for one, _ in it.stage.plugins.all_metrics() if one.source_id == BAD]
        assert line.attached.chain.latency_samples == 96


@pytest.mark.alone
@pytest.mark.slow
async def test_a_collection_of_200_ms_disables_nothing_in_a_running_call() -> None:
    """Issue 5, check 2, with the engine's threads and the plugins' own, in real time."""
    heap: list[Any] = []
    async with MediaPlatform() as platform:
        specs = [
            PluginSpec("noise_suppression", "speaker"),
            PluginSpec("dtmf", "speaker"),
            PluginSpec("gain", "mix"),
            PluginSpec(AddsTen, "own"),
        ]
        async with HostPlugins(platform, specs) as host:
            session = MediaSession(platform, mp_uri="wss://bot.test/media")
            plugins = host.of_call("c1", session, lambda _: False)
            speakers = [session.open_speaker(BAD), session.open_speaker(GOOD)]
            plugins.start()
            frame = np.random.default_rng(1).integers(-5000, 5000, FRAME_SAMPLES).astype(np.int16)

            def feed() -> None:
                for leg in (*speakers, session.legs.application):
                    leg.source.write(frame)

            unfeed = platform.on_tick(feed)

            def frames() -> int:
                return min(m.frames for _, chain in plugins.all_metrics() for m in chain.values())

            await eventually(lambda: frames() > 20, 20.0)
            assert fill_heap(heap) >= COLLECTION_S
            for _ in range(5):
                before = frames()
                gc.collect()
                await eventually(lambda before=before: frames() > before + 20, 20.0)  # type: ignore[misc]
            everything = [m for _, chain in plugins.all_metrics() for m in chain.values()]
            assert len(everything) == 6
            assert all(m.is_active for m in everything)
            assert [m.disabled for m in everything] == [0] * 6
            assert sum(m.errors for m in everything) == 0
            unfeed()
            await plugins.close()
            await session.close()
    del heap
    await asyncio.to_thread(gc.collect)


# ---- what the benchmark makes of its rows --------------------------------------------------------


def fault(kind: str, after_ms: float | None, disabled: int = 1) -> dict[str, Any]:
    row = {"fault": kind, "in": "this process", "times": 3, "disabled": disabled}
    return {**row, "named after ms, worst": after_ms}


@pytest.mark.parametrize(
    ("rough_us", "faults", "met"),
    [
        (150.0, [fault("raises", 40.0), fault("a collection of 200 ms", None, 0)], [True] * 3),
        (151.0, [fault("raises", 12.0)], [False, True, True]),
        (90.0, [fault("raises", 40.1)], [True, False, True]),
        (90.0, [fault("raises", 5.0), fault("hangs", None)], [True, False, True]),
        (90.0, [fault("a collection of 200 ms", None, 1)], [True, True, False]),
    ],
)
def test_the_goals_are_1_5_times_the_calm_half_40_ms_and_nothing_disabled(
    rough_us: float, faults: list[dict[str, Any]], met: list[bool]
) -> None:
    """Issue 5, check 2: p99.9 of tick lateness; what is measured decides no test."""
    rows = [{"p99.9 us": 100.0}, {"p99.9 us": rough_us}]
    assert [goal["met"] for goal in goals({"rows": rows, "faults": faults})] == met
