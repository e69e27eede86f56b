"""Plugin ports: the edges of a tick, and what comes back from a worker in time or not."""

from __future__ import annotations

import gc
import os
import select
import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.media import _native
from mixminus.media.bridge import Bridge, PluginPort
from mixminus.media.libraries import codec_libraries
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from tests.bench_kit import TICK, Bench, constant, read_all
from tests.support import eventually
from tests.unit.test_bridge_peers import Stage, decoded, level


@pytest.fixture
def bench() -> Bench:
    return Bench()


def worker(*ports: tuple[PluginPort, int]) -> Callable[[], None]:
    """Multiplies all that is offered."""

    def work() -> None:
        for port, gain in ports:
            for frame in read_all(port.dry):
                port.wet.write(np.asarray(frame) * np.int16(gain), frame.timestamp)

    return work


def test_an_inbound_plugin_is_heard_by_all_and_an_outbound_one_by_its_leg(bench: Bench) -> None:
    a, b, c = (bench.bridge.add_leg(n) for n in (1, 2, 3))
    work = worker((a.insert("inbound"), 3), (c.insert("outbound"), 2))
    tap = a.tap()
    for _ in range(5):
        a.source.write(constant(1000))
        b.source.write(constant(400))
        bench.tick(between=work)
    assert [int(frame[0]) for frame in read_all(tap.ring)] == [3000] * 5
    assert [int(frame[0]) for frame in read_all(b.render)] == [3000] * 5
    heard = read_all(c.render)
    assert [int(frame[0]) for frame in heard] == [2 * 3400] * 5
    assert [frame.timestamp for frame in heard] == [TICK * (n + 1) for n in range(5)]
    assert heard[-1].active_speakers == (1, 2)


def test_a_bridge_has_the_edges_that_its_ports_need(bench: Bench) -> None:
    leg = bench.bridge.add_leg(1)
    edges: list[int] = []

    def count() -> int:
        edges.clear()
        bench.tick(between=lambda: edges.append(1))
        return len(edges)

    assert count() == 0
    inbound = leg.insert("inbound")
    assert count() == 1
    outbound = leg.insert("outbound")
    assert count() == 2
    inbound.close()
    assert count() == 2
    outbound.close()
    assert count() == 0


def test_nobody_waits_but_bridges_with_ports(bench: Bench) -> None:
    """At the first edge the other bridge has all of this tick, and this one nothing."""
    other = Bridge(bench.engine.add_bridge())
    here, there = bench.bridge.add_leg(1), other.add_leg(2)
    here.insert("inbound")
    waiting: list[tuple[int, int]] = []
    bench.tick(
        between=lambda: waiting.append((here.render.depth_frames, there.render.depth_frames))
    )
    assert waiting == [(0, 1)]
    assert here.render.depth_frames == 1


def test_an_outbound_port_holds_up_its_own_leg_only(bench: Bench) -> None:
    held, free = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    held.insert("outbound")
    waiting: list[tuple[int, int]] = []
    bench.tick(between=lambda: waiting.append((held.render.depth_frames, free.render.depth_frames)))
    assert waiting == [(0, 1)] * 2
    assert held.render.depth_frames == 1


def test_without_an_answer_the_dry_frame_goes_on(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    port, out = a.insert("inbound"), b.insert("outbound")
    bench.feed(a, 4, 700)
    assert [int(frame[0]) for frame in read_all(b.render)] == [700] * 4
    for counters in (port.counters(), out.counters()):
        assert (counters.offered, counters.taken, counters.missed) == (4, 0, 4)


@given(
    answers=st.lists(st.lists(st.integers(-3, 3), max_size=20), min_size=1, max_size=25),
    outbound=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_wet_frame_of_another_tick_never_plays(answers: list[list[int]], outbound: bool) -> None:
    """A worker that writes any frames for any ticks around this one, in any order and number."""
    bench = Bench()
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    port = b.insert("outbound") if outbound else a.insert("inbound")
    took = 0
    for n, answer in enumerate(answers, start=1):
        a.source.write(constant(-n))

        def work(answer: list[int] = answer, n: int = n) -> None:
            for offset in answer:
                port.wet.write(constant(1000 + n + offset), (n + offset) * TICK)

        calls: list[int] = []
        last = 2 if outbound else 1

        def between(
            calls: list[int] = calls, last: int = last, work: Callable[[], None] = work
        ) -> None:
            calls.append(1)
            if len(calls) == last:
                work()

        bench.tick(between=between)
        (heard,) = read_all(b.render)
        in_time = 0 in answer[-8:]  # of more than eight slots the reader sees the latest
        assert int(heard[0]) in (1000 + n, -n)
        if len(answer) <= 8:
            assert int(heard[0]) == (1000 + n if in_time else -n)
        took += int(heard[0]) == 1000 + n
    counters = port.counters()
    assert (counters.offered, counters.taken) == (len(answers), took)
    assert counters.missed == len(answers) - took


class OwnEncoder:
    """Three parties, of whom the first speaks and the third has an outbound port."""

    def __init__(self, codec: str) -> None:
        self.stage = Stage(3, codec=codec)
        self.gain: int | None = 1
        """What the plugin does; None: nothing comes back."""
        self.port: _native.Insert | None = None
        self._frame = np.zeros(FRAME_SAMPLES, np.int16)

    def run(self, frames: int) -> tuple[list[bytes], list[bytes]]:
        """The payloads that the second and the third are sent."""
        self.stage.run(frames, {0: 6000}, self._work)
        _, shared, own = self.stage.payloads()
        assert len(shared) == len(own) == frames
        return shared, own

    def _work(self) -> None:
        while self.port and (described := self.port.dry.read_into(self._frame)) is not None:
            if self.gain is not None:
                self.port.wet.write(self._frame * np.int16(self.gain), described[0])


@pytest.mark.parametrize("codec", ["pcmu", "opus"])
def test_a_leg_with_an_outbound_port_is_coded_for_itself(codec: str) -> None:
    codec_libraries()
    bench = OwnEncoder(codec)
    bench.stage.run(40, {0: 6000})
    bench.stage.payloads()
    bench.port = bench.stage.parties[2].leg.insert(1, 8)
    shared, own = bench.run(20)
    assert shared == own, "a plugin that changes nothing changes nothing, from the first frame on"
    bench.gain = 3
    shared, own = bench.run(20)
    assert all(a != b for a, b in zip(shared, own, strict=True))
    if codec == "pcmu":
        assert level(decoded(shared), 300) == pytest.approx(6000, rel=0.05)
        assert level(decoded(own), 300) == pytest.approx(18000, rel=0.05)
    bench.port.close()
    bench.port = None
    shared, own = bench.run(80)
    assert shared[40:] == own[40:], "it shares the encoder again"
    bench.stage.close()


def test_a_plugin_that_answers_nothing_leaves_the_dry_mix() -> None:
    bench = OwnEncoder("pcmu")
    bench.port = bench.stage.parties[2].leg.insert(1, 8)
    bench.run(20)
    bench.gain = None
    shared, own = bench.run(20)
    assert shared == own
    bench.stage.close()


def test_one_port_a_direction_for_as_long_as_the_leg(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    port, other = a.insert("inbound"), b.insert("outbound", slots=2)
    with pytest.raises(RuntimeError, match="the leg has an inbound port already"):
        a.insert("inbound")
    with pytest.raises(ValueError, match="expected inbound or outbound, got 'both'"):
        a.insert("both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="slots: expected a power of two"):
        a.insert("outbound", slots=3)
    port.close()
    port.close()
    again = a.insert("inbound")
    a.close()
    assert (port.ended, again.ended, other.ended) == (True, True, False)
    bench.tick()
    assert (again.counters().offered, other.counters().offered) == (0, 1)
    with pytest.raises(RuntimeError, match="the leg is in no bridge"):
        a.insert("inbound")
    bench.bridge.close()
    assert other.ended
    other.close()
    bench.tick()


def test_between_edges_anything_may_be_changed_for_the_next_tick(bench: Bench) -> None:
    a, b = bench.bridge.add_leg(1), bench.bridge.add_leg(2)
    port = a.insert("inbound")

    def change() -> None:
        bench.bridge.add_leg(3).close()
        b.close()
        port.close()
        a.insert("outbound")

    a.source.write(constant(5))
    bench.tick(between=change)
    assert int(read_all(b.render)[-1][0]) == 5
    bench.tick(3)
    assert b.render.read() is None


def test_what_fails_between_edges_ends_the_run(bench: Bench) -> None:
    leg = bench.bridge.add_leg(1)
    leg.insert("inbound")

    def fail() -> None:
        raise ZeroDivisionError("a worker's bug")

    with pytest.raises(ZeroDivisionError, match="a worker's bug"):
        bench.tick(5, between=fail)
    assert leg.counters().ticks == 1, "the tick is whole"
    with pytest.raises(RuntimeError, match="not from within"):
        bench.tick(between=bench.tick)
    bench.tick()


def test_ports_leave_no_memory() -> None:
    gc.collect()
    before = _native.live_blocks()
    bench = Bench()
    for n in range(50):
        leg = bench.bridge.add_leg(n)
        ports = [leg.insert("inbound"), leg.insert("outbound")]
        bench.tick(between=worker(*((port, 2) for port in ports)))
        ports[n % 2].close()
        if n % 3:
            leg.close()
        bench.tick()
    wet = ports[0].wet
    del leg, ports
    bench.bridge.close()
    bench.tick()
    wet.write(constant(1))
    del wet, bench
    gc.collect()
    assert _native.live_blocks() == before


async def test_a_late_tick_waits_for_no_plugin() -> None:
    """At 10,000 ticks a second many are late by more than a quarter of their period."""
    period_ns = 100_000
    engine = _native.Engine(period_ns=period_ns)
    bridge = Bridge(engine.add_bridge())
    port = bridge.add_leg(1).insert("inbound")
    engine.start()
    try:

        def late() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            lateness_ns = np.frombuffer(engine.lateness_ns(), np.uint32)
            return lateness_ns > period_ns // 4

        await eventually(lambda: np.count_nonzero(late()) >= 20, what="late ticks")
    finally:
        engine.stop()
    waited_late_ns = np.frombuffer(engine.edge_lateness_ns(), np.uint32)
    assert not waited_late_ns[late()].any(), "0: the edge was not waited for"
    counters = port.counters()
    assert counters.offered == counters.missed > 0


async def test_a_worker_is_woken_at_every_edge_of_a_running_engine() -> None:
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        a, b = bridge.add_leg(1), bridge.add_leg(2, render_slots=1024)
        inbound, outbound = a.insert("inbound"), b.insert("outbound")
        done = threading.Event()
        work = worker((inbound, 1), (outbound, 1))

        def run() -> None:
            edges = platform.edge_fileno()
            poll = select.poll()
            poll.register(edges, select.POLLIN)
            while not done.is_set():
                if poll.poll(100):
                    os.read(edges, 8)
                    work()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            await eventually(
                lambda: min(p.counters().taken for p in (inbound, outbound)) >= 10,
                what="ten frames through both plugins",
            )
        finally:
            done.set()
            thread.join()
        inbound.close()
        outbound.close()
        ticks = platform.stats().ticks
        await eventually(lambda: platform.stats().ticks >= ticks + 2)
        for port in (inbound, outbound):
            counters = port.counters()
            assert counters.offered == counters.taken + counters.missed
        frames = read_all(b.render)
        assert {after.timestamp - frame.timestamp for frame, after in pairwise(frames)} == {TICK}
        assert platform.edge_lateness_us().size >= 10
        bridge.close()
