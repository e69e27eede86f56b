"""The worker: frames of an edge through chains and back, whatever a plugin does."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.platform import SWITCH_INTERVAL_S, MediaPlatform
from mixminus.media.plugins.attached import AttachedChain
from mixminus.media.plugins.chain import Chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.worker import PluginWorker, wait_closed
from tests.plugin_engine_kit import (
    Busy,
    Double,
    FakeLeg,
    FakePlatform,
    Heard,
    Raises,
    SleepsLong,
    give,
    result_of,
    returns,
    tone_frame,
    until,
)


@pytest_asyncio.fixture
async def platform() -> AsyncIterator[FakePlatform]:
    platform = FakePlatform()
    yield platform
    platform.close()


@pytest_asyncio.fixture
async def worker(platform: FakePlatform) -> AsyncIterator[PluginWorker]:
    worker = PluginWorker(platform)
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # As a platform that runs has it.
    yield worker
    sys.setswitchinterval(before_s)
    await worker.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("mixminus-plugin")]


def attach(worker: PluginWorker, leg: FakeLeg, heard: Heard, *plugins: type) -> AttachedChain:
    chain = Chain(
        [PluginSpec(plugin, "inbound") for plugin in plugins],
        on_event=heard,
        runtime=worker.runtime(),
    )
    attached = worker.attach(leg, "inbound", chain)
    for name in chain.names:
        assert chain.slot(name).opened.exception(timeout=10) is None
    return attached


async def test_frames_of_an_edge_come_back_in_the_same_tick(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    legs = [FakeLeg() for _ in range(3)]
    for leg in legs:
        attach(worker, leg, Heard(), Double)
    for index in range(20):
        for leg in legs:
            give(leg.port, tone_frame(index))
        platform.tell_edge()
        for leg in legs:
            frame = result_of(leg.port, "the frame came back")
            assert frame.timestamp == tone_frame(index).timestamp
            np.testing.assert_array_equal(frame, tone_frame(index) * 2)


@pytest.mark.parametrize("bad", [Raises, returns(np.full(320, np.nan)), Busy, SleepsLong])
async def test_a_bad_plugin_touches_neither_its_chain_nor_other_streams(
    worker: PluginWorker, platform: FakePlatform, bad: type
) -> None:
    heard, other_heard = Heard(), Heard()
    leg, other = FakeLeg(), FakeLeg()
    spoiled = attach(worker, leg, heard, Double, bad)
    sound = attach(worker, other, other_heard, Double)
    for index in range(10):
        for port in (leg.port, other.port):
            give(port, tone_frame(index))
        platform.tell_edge()
        for port in (leg.port, other.port):
            frame = result_of(port, "the frame came back")
            np.testing.assert_array_equal(frame, tone_frame(index) * 2)
    assert not spoiled.chain.metrics()[spoiled.chain.names[1]].is_active
    assert spoiled.chain.metrics()["Double"].frames == 10
    assert sound.chain.metrics()["Double"].frames == 10
    assert [event.kind for event in other_heard.events] == ["opened"]


async def test_a_stream_that_fell_behind_keeps_its_newest_frames(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    leg = FakeLeg()
    attached = attach(worker, leg, Heard(), Double)
    for index in range(8):
        give(leg.port, tone_frame(index))
    platform.tell_edge()
    stamps = [result_of(leg.port, "a frame").timestamp for _ in range(3)]
    assert stamps == [tone_frame(index).timestamp for index in (5, 6, 7)]
    assert attached.chain.metrics()["Double"].frames == 3


@pytest.mark.slow
async def test_a_collection_in_another_thread_disables_nothing(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    leg, heard = FakeLeg(), Heard()
    attached = attach(worker, leg, heard, Double)
    heap = [[index] for index in range(200_000)]
    for index in range(21):
        leg.port.count.missed += 1
        give(leg.port, tone_frame(index))
        platform.tell_edge()
        if index < 6:
            gc.collect()
        result_of(leg.port, "the frame came back")
    metrics = attached.chain.metrics()["Double"]
    assert (metrics.overruns, metrics.disabled, metrics.is_active) == (0, 0, True)
    assert metrics.host_stalls == 20
    assert len(heap) == 200_000


async def test_a_chain_that_only_listens_is_no_part_of_the_tick(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    seen: list[int] = []

    async def listens(frame: AudioFrame) -> None:
        await asyncio.sleep(0)
        seen.append(int(frame[0]))
        if len(seen) == 5:
            all_seen.set()

    all_seen = asyncio.Event()
    leg, heard = FakeLeg(), Heard()
    chain = Chain([PluginSpec(listens)], on_event=heard, runtime=worker.runtime())
    attached = worker.attach(leg, "inbound", chain)
    assert chain.slot("listens").opened.exception(timeout=10) is None
    assert not leg.ports
    for index in range(5):
        leg.taps[0].ring.write(tone_frame(index), index)
    for callback in platform.callbacks:
        callback()
    async with asyncio.timeout(10):
        await all_seen.wait()
    assert seen == [1000, 1001, 1002, 1003, 1004]
    attached.add(PluginSpec(Double))
    assert leg.taps[0].is_closed
    assert not platform.callbacks
    assert len(leg.ports) == 1
    attached.remove("Double")
    assert leg.ports[0].is_closed
    assert len(leg.taps) == 2
    await wait_closed(attached.close(), 5.0)
    assert leg.taps[1].is_closed
    assert worker.streams == 0


async def test_a_slow_tap_loses_its_oldest_frames_and_is_waited_for_by_nobody(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    go_on = threading.Event()
    seen: list[int] = []

    class Stuck:
        listens = True

        def process(self, frame: AudioFrame) -> None:
            go_on.wait(20)
            seen.append(frame.timestamp)

    leg = FakeLeg()
    attached = attach(worker, leg, Heard(), Double, Stuck)
    for index in range(300):
        give(leg.port, tone_frame(index))
        platform.tell_edge()
        result_of(leg.port, "the frame came back")
    go_on.set()
    closing = attached.close()
    until(lambda: all(future.done() for future in closing), "all is closed")
    assert seen[-1] == tone_frame(299).timestamp
    assert 250 <= len(seen) <= 251


async def test_plugins_are_closed_once_and_after_their_last_frame(
    worker: PluginWorker, platform: FakePlatform
) -> None:
    steps: list[str] = []

    class Steps:
        def process(self, frame: AudioFrame) -> Pcm:
            steps.append("process")
            return frame

        def close(self) -> None:
            steps.append("close")

    leg = FakeLeg()
    attached = attach(worker, leg, Heard(), Steps)
    give(leg.port, tone_frame())
    platform.tell_edge()
    result_of(leg.port, "the frame came back")
    await wait_closed(attached.close(), 5.0)
    assert attached.close() == []
    assert steps == ["process", "close"]
    assert leg.port.is_closed


async def test_nothing_is_attached_to_a_closed_worker(platform: FakePlatform) -> None:
    worker = PluginWorker(platform)
    await worker.close()
    with pytest.raises(RuntimeError, match="closed"):
        worker.attach(FakeLeg(), "inbound", Chain())


async def test_a_real_bridge_hears_what_plugins_make_and_not_what_is_late() -> None:
    platform = MediaPlatform()
    worker = PluginWorker(platform, is_threaded=False)
    bridge = platform.create_bridge()
    speaker, listener = bridge.add_leg(1), bridge.add_leg(2)
    heard = Heard()
    spoken = worker.attach(
        speaker, "inbound", Chain([PluginSpec(Double)], on_event=heard, runtime=worker.runtime())
    )
    mixed = worker.attach(
        listener, "outbound", Chain([PluginSpec(Double)], runtime=worker.runtime())
    )
    for attached in (spoken, mixed):
        assert attached.chain.slot("Double").opened.exception(timeout=10) is None
    loud = [0, 0, 0]
    for index in range(3 * 40):
        speaker.source.write(np.full(320, 1000, np.int16), index)
        is_late = 40 <= index < 80
        platform._engine.run_ticks(1, between=(lambda: None) if is_late else worker.work)
        frame = listener.render.read()
        assert frame is not None
        loud[index // 40] = int(frame.max())
    assert loud == [4000, 1000, 4000]
    assert spoken.chain.metrics()["Double"].host_stalls > 0
    assert spoken.chain.metrics()["Double"].is_active
    bridge.close()
    for attached in (spoken, mixed):
        await wait_closed(attached.close(), 5.0)
    await worker.close()


async def test_one_worker_serves_all_who_share_a_platform(platform: FakePlatform) -> None:
    first, second = PluginWorker.of(platform), PluginWorker.of(platform)
    assert first is second
    leg = FakeLeg()
    attached = attach(first, leg, Heard(), Double)
    await first.close()
    give(leg.port, tone_frame())
    platform.tell_edge()
    result_of(leg.port, "the frame came back, for the other")
    await wait_closed(attached.close(), 5.0)
    await second.close()
    another = PluginWorker.of(platform)
    assert another is not first
    await another.close()


async def test_who_took_long_has_its_turn_after_all_others(platform: FakePlatform) -> None:
    worker = PluginWorker(platform, is_threaded=False)
    turns: list[str] = []

    def stream(name: str, busy: bool) -> FakeLeg:
        class Takes:
            def process(self, frame: AudioFrame) -> None:
                turns.append(name)
                end = time.thread_time() + 0.003
                while busy and time.thread_time() < end:
                    pass

        leg = FakeLeg()
        attach(worker, leg, Heard(), Takes)
        return leg

    legs = [stream("slow", True), stream("a", False), stream("b", False)]
    for index in range(3):
        for leg in legs:
            give(leg.port, tone_frame(index))
        worker.work()
    assert turns == ["slow", "a", "b", "a", "b", "slow", "a", "b", "slow"]
    await worker.close()
