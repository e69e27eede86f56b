"""What an engine says of its last second: heartbeats, shares, and what went through."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mixminus.media import _native
from mixminus.media.cpus import usable_cpus
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from mixminus.media.vitals import DOUBTED_S, Heartbeat, Vitals
from tests.manual import ManualPlatform
from tests.support import eventually
from tests.unit.test_bridge_peers import Stage

LOUD = np.full(FRAME_SAMPLES, 3000, np.int16)


class Clocked:
    """An engine in virtual time, and its vitals on the same clock."""

    def __init__(self, tick_threads: int = 1) -> None:
        self.engine = _native.Engine(tick_threads=tick_threads)
        self.now_s = 100.0
        self.vitals = Vitals(self.engine, clock=lambda: self.now_s)
        self.vitals.restart()

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.engine.run_ticks(1)
            self.now_s += 0.02
            if round(self.now_s * 50) % 12 == 0:
                self.vitals.sample()


def test_a_heartbeat_counts_the_last_second() -> None:
    clocked = Clocked()
    bridge = clocked.engine.add_bridge()
    legs = [bridge.add_leg(number) for number in (1, 2)]
    for _ in range(300):
        legs[0].source.write(LOUD)
        clocked.run(1)
    beat = clocked.vitals.heartbeat()
    assert 1.0 <= beat.seconds <= 1.25
    assert beat.ticks == round(beat.seconds * 50)
    assert beat.frames_mixed == 2 * beat.ticks
    assert beat.frames_received == beat.ticks
    assert beat.frames_sent == 2 * beat.ticks
    assert beat.legs == beat.legs_before == 2
    assert beat.ticks_advance


def test_an_engine_that_stands_still_has_no_heartbeat() -> None:
    clocked = Clocked()
    clocked.run(100)
    assert clocked.vitals.heartbeat().ticks_advance
    clocked.now_s += 1.5
    beat = clocked.vitals.heartbeat()
    assert beat.ticks == 0
    assert not beat.ticks_advance


def beat(
    seconds: float = 1.0, ticks: int = 50, mixed: int = 0, legs: tuple[int, int] = (0, 0)
) -> Heartbeat:
    return Heartbeat(seconds, ticks, mixed, 0, 0, *legs)


def test_what_a_heartbeat_proves() -> None:
    assert beat().ticks_advance, "nobody is there"
    assert not beat(ticks=0).ticks_advance
    assert beat(mixed=1, legs=(2, 2)).ticks_advance
    assert not beat(legs=(2, 2)).ticks_advance, "legs are there, and nothing is mixed"
    assert beat(legs=(2, 0)).ticks_advance, "they have just come"
    assert beat(seconds=DOUBTED_S / 2, ticks=0).ticks_advance, "it has just started"


class Uneven:
    """An engine whose second thread stopped at its fifth tick."""

    legs = 0

    def __init__(self) -> None:
        self.ticks = 0

    def thread_ticks(self) -> tuple[int, int]:
        return self.ticks, min(self.ticks, 5)

    def packet_cpu_ns(self) -> int:
        return 0

    def flow(self) -> dict[str, int]:
        return {"mixed": 0, "received": 0, "rendered": 0}

    def stats(self) -> dict[str, int]:
        return {"datagrams_sent": 0}


def test_one_thread_that_stands_still_is_no_heartbeat() -> None:
    engine, now = Uneven(), [0.0]
    vitals = Vitals(cast(Any, engine), clock=lambda: now[0])
    vitals.restart()
    engine.ticks, now[0] = 50, 1.0
    assert vitals.heartbeat().ticks == 5
    vitals.sample()
    engine.ticks, now[0] = 100, 2.0
    assert vitals.heartbeat().ticks == 0
    assert not vitals.heartbeat().ticks_advance


def test_recent_is_about_the_last_seconds() -> None:
    clocked = Clocked(tick_threads=2)
    clocked.run(400)
    recent = clocked.vitals.recent(2.0)
    assert 2.0 <= recent.seconds <= 2.25
    assert recent.ticks_per_s == pytest.approx(50.0, abs=0.5)
    assert recent.lateness_max_us == 0.0, "virtual ticks are on time"
    assert len(recent.tick_thread_shares) == 2
    assert recent.packet_thread_share == 0.0
    assert clocked.vitals.recent(60.0).seconds == pytest.approx(8.0, abs=0.3), "since the start"
    for wrong in (0, -1, 61):
        with pytest.raises(ValueError, match="more than 0 and at most 60"):
            clocked.vitals.recent(wrong)


async def test_a_platform_knows_its_shares() -> None:
    async with MediaPlatform(2) as platform:
        bridge = platform.create_bridge()
        bridge.add_leg(1)
        await eventually(lambda: platform.heartbeat().frames_mixed > 20)
        recent = platform.recent(1.0)
        assert platform.heartbeat().ticks_advance
        assert platform.legs == 1
        assert 0 < recent.tick_time_p50_us <= recent.tick_time_p99_us <= recent.tick_time_max_us
        assert all(0 < share < 1 for share in recent.tick_thread_shares)
        assert 0 < recent.loop_share <= 1.05
        assert 0 < recent.process_share <= 1.05
        bridge.close()
        assert platform.legs == 0


async def test_the_packet_thread_is_measured_while_it_runs() -> None:
    platform = MediaPlatform()
    async with platform:
        port = platform.open_port("127.0.0.1")
        sender = platform.open_port("127.0.0.1")
        before = platform._engine.packet_cpu_ns()
        assert before > 0
        sender.send(b"\x80" + bytes(20), port.address)
        await eventually(lambda: port.counters()["received"] == 1)
        assert platform._engine.packet_cpu_ns() > before
        port.close()
        sender.close()
    assert platform._engine.packet_cpu_ns() == 0


def test_the_flow_has_every_tick_of_every_leg() -> None:
    platform = ManualPlatform()
    bridge = platform.create_bridge()
    speaker, silent = bridge.add_leg(1), bridge.add_leg(2)
    for _ in range(20):
        speaker.source.write(LOUD)
        platform.tick()
    platform.tick(5)  # three concealed, two silent
    flow = platform.flow()
    assert flow.mixed == flow.rendered == 50
    assert (flow.received, flow.voice, flow.concealed) == (20, 20, 3)
    assert flow.silence == 27
    assert flow.mixed == sum(
        (flow.voice, flow.fec, flow.concealed, flow.comfort, flow.silence, flow.skipped)
    )
    speaker.close()
    silent.close()
    platform.tick(3)
    assert platform.flow() == flow, "what is gone stays counted"


def test_late_frames_are_dropped_and_flushed_ones_are_not() -> None:
    platform = ManualPlatform()
    leg = platform.create_bridge().add_leg(1)
    for _ in range(5):
        leg.source.write(LOUD)
        platform.tick()
    platform.tick(2)  # nothing came: concealed, twice
    for _ in range(3):
        leg.source.write(LOUD)
    platform.tick()
    counts = leg.counters()
    assert counts.late > 0
    assert platform.flow().dropped == counts.late
    for _ in range(4):
        leg.source.write(LOUD)
    leg.flush()
    platform.tick(2)
    counts = leg.counters()
    assert counts.flushed > 0
    assert platform.flow().dropped == counts.late + counts.source_lapped


def test_a_lapped_ring_is_counted_as_dropped() -> None:
    platform = ManualPlatform()
    leg = platform.create_bridge().add_leg(1, source_slots=8)
    platform.tick()
    for _ in range(20):
        leg.source.write(LOUD)
    platform.tick()
    counts = leg.counters()
    assert platform.flow().dropped == counts.late + counts.source_lapped > 10


def test_peers_are_in_the_flow() -> None:
    stage = Stage(3)
    try:
        stage.run(50, {0: 8000})
        flow = stage.engine.flow()
        assert flow["mixed"] == 150
        assert flow["received"] == 150, "datagrams"
        assert flow["rendered"] == 0
        assert stage.engine.stats()["datagrams_sent"] >= 3 * 49
    finally:
        stage.close()


def test_counts_of_all_threads_add_up() -> None:
    engine = _native.Engine(tick_threads=2)
    bridges = [engine.add_bridge() for _ in range(2)]
    legs = [bridge.add_leg(1) for bridge in bridges]
    engine.run_ticks(10)
    assert engine.flow()["mixed"] == 20
    assert engine.legs == 2
    bridges[0].remove_leg(legs[0])
    assert engine.legs == 1


def test_usable_cpus_are_bounded_by_the_groups_around(tmp_path: Path) -> None:
    group = tmp_path / "kubepods" / "pod"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("12:cpu:/elsewhere\n0::/kubepods/pod\n")
    free = usable_cpus(tmp_path, own)
    assert free >= 1
    (group / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path, own) == free
    (group.parent / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path, own) == 0.5
    (group / "cpu.max").write_text("25000 100000\n")
    assert usable_cpus(tmp_path, own) == 0.25
    own.write_text("0::/not/here\n")
    assert usable_cpus(tmp_path, own) == free
    (tmp_path / "cpu.max").write_text("30000 100000\n")
    assert usable_cpus(tmp_path, own) == 0.3
    (tmp_path / "cpu.max").write_text("what is this\n")
    assert usable_cpus(tmp_path, tmp_path / "none") == free


def test_flow_and_engine_have_the_same_names() -> None:
    platform = ManualPlatform()
    assert asdict(platform.flow()) == platform._engine.flow()


async def test_a_started_engine_is_alive_at_once() -> None:
    async with MediaPlatform() as platform:
        assert platform.heartbeat().ticks_advance
        await asyncio.sleep(0)
        assert platform.recent(1.0).seconds < 1.0
