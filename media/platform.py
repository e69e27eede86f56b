"""The media platform: one engine a process, and the loop's wake-up at every tick."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from . import _native
from .bridge import Bridge
from .libraries import codec_libraries
from .peer import Peer, PeerSettings
from .port import MediaPort
from .tick_totals import DURATION_BOUNDS_S, LATENESS_BOUNDS_S, TickTotals
from .totals import MediaTotals
from .vitals import SAMPLE_S, EngineFlow, Heartbeat, RecentTicks, Vitals

log = logging.getLogger("mixminus.media.platform")

Scheduling = Literal["fifo", "nice", "normal", "none"]

SWITCH_INTERVAL_S = 0.0005
"""How soon a busy Python thread yields the GIL. Four of them hold a Python thread up by 16 ms at
p99 with this and by 187 ms with CPython's own 5 ms (measured); the tick itself needs no GIL."""


RECLAIM_S = SAMPLE_S
"""How soon memory that was let go of is given back, if nothing changes before."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What the tick threads did. A tick is late when it starts more than 20 ms after its time.

    ``ticks`` are the first thread's; all else adds up over ``tick_threads``.
    """

    ticks: int
    late_ticks: int
    skipped_ticks: int
    busy_ns: int
    datagrams_sent: int
    datagrams_dropped: int
    tick_threads: int
    scheduling: Scheduling
    isa: str
    lateness_p50_us: float
    lateness_p99_us: float
    lateness_p999_us: float
    lateness_max_us: float


class MediaPlatform:
    """One engine: its tick threads, its packet thread, its bridges, its clock.

    Bridges are spread over *tick_threads*, so that one process uses that many cores.
    Raises: ValueError unless tick_threads is from 1 to 32.
    Thread: the loop that entered it.
    """

    def __init__(self, tick_threads: int = 1) -> None:
        if not 1 <= tick_threads <= _native.MAX_TICK_THREADS:
            raise ValueError(
                f"tick_threads: expected 1 to {_native.MAX_TICK_THREADS}, got {tick_threads}"
            )
        codec_libraries()  # Before any engine runs: what they bind is only read from then on.
        self._engine = _native.Engine(tick_threads=tick_threads)
        self.totals = MediaTotals()
        """What all legs have counted together, those that are over included."""
        self.lateness_totals = TickTotals(
            self._engine.lateness_ns, tick_threads=tick_threads, bounds_s=LATENESS_BOUNDS_S
        )
        """How late ticks began since the start."""
        self.tick_time_totals = TickTotals(
            self._engine.tick_times_ns, tick_threads=tick_threads, bounds_s=DURATION_BOUNDS_S
        )
        """How long ticks took since the start."""
        self._vitals = Vitals(self._engine)
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_listening = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Start the threads."""
        if self._loop is not None:
            raise RuntimeError("the platform already runs")
        # First what can fail: a process may have no thread left to give.
        self._engine.start()
        self._loop = asyncio.get_running_loop()
        self._vitals.restart()
        self._reclaim()
        if self._callbacks:
            self._listen()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        log.debug(
            "%d tick threads run: scheduling %s, kernels %s",
            self._engine.tick_threads,
            self.scheduling,
            _native.isa(),
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop the threads and wait for their end (at most one tick)."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop.remove_reader(self._engine.fileno())
        self._is_listening = False
        await asyncio.to_thread(self._engine.stop)

    @property
    def scheduling(self) -> Scheduling:
        """How the tick threads are scheduled: real time where the machine allows it."""
        return cast(Scheduling, self._engine.scheduling)

    def create_bridge(self) -> Bridge:
        """Make a bridge without legs."""
        return Bridge(self._engine.add_bridge(), self.totals)

    def open_port(self, host: str, port: int = 0) -> MediaPort:
        """Open a UDP socket for RTP at that address of this machine; port 0 chooses one.

        Raises: ValueError when *host* is no IP address; OSError when it cannot be bound.
        """
        native = self._engine.open_port(host, port)
        media_port = MediaPort(native)
        self.totals.add_port(media_port, native)
        return media_port

    def make_peer(self, settings: PeerSettings) -> Peer:
        """Make the far end of a leg that RTP reaches; ``Leg.attach`` takes it.

        Raises: ValueError on a codec that is not to be had, or a setting out of range.
        """
        peer = Peer.make(self._engine, settings)
        self.totals.add_peer(peer, peer._peer)
        return peer

    def now(self) -> int:
        """Return the engine's clock in 100 ns ticks: monotonic, the one of frame timestamps."""
        return self._engine.now()

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* on the loop after each tick, once for several when the loop was late.

        Returns what takes it off again; calling that twice is no error.
        """
        key = object()
        self._callbacks[key] = callback
        self._listen()

        def unsubscribe() -> None:
            self._callbacks.pop(key, None)

        return unsubscribe

    def stats(self) -> EngineStats:
        """Return what the tick threads did; lateness is over the last 65,536 ticks of each."""
        counts = self._engine.stats()
        lateness = self.lateness_us()
        p50, p99, p999 = (
            (float(np.percentile(lateness, q)) for q in (50, 99, 99.9))
            if lateness.size
            else (0.0, 0.0, 0.0)
        )
        return EngineStats(
            **counts,
            tick_threads=self._engine.tick_threads,
            scheduling=self.scheduling,
            isa=_native.isa(),
            lateness_p50_us=p50,
            lateness_p99_us=p99,
            lateness_p999_us=p999,
            lateness_max_us=float(lateness.max()) if lateness.size else 0.0,
        )

    @property
    def legs(self) -> int:
        """How many legs the bridges have now."""
        return self._engine.legs

    def flow(self) -> EngineFlow:
        """Return what went through all bridges so far, by what it was. Cheap."""
        return EngineFlow(**self._engine.flow())

    def heartbeat(self) -> Heartbeat:
        """Return what was mixed, received and sent in the last second. Thread: the loop's."""
        return self._vitals.heartbeat()

    def recent(self, seconds: float = 1.0) -> RecentTicks:
        """Return how late and how long the ticks of the last *seconds* were, and who was how busy.

        Raises: ValueError unless *seconds* is above 0 and at most 60. Thread: the loop's.
        """
        return self._vitals.recent(seconds)

    @property
    def tick_threads(self) -> int:
        """How many threads share the bridges."""
        return self._engine.tick_threads

    @property
    def isa(self) -> str:
        """Which kernels mix: the widest that this processor has."""
        return _native.isa()

    def tick_counts(self) -> dict[str, int]:
        """Return the counts of :meth:`stats` alone: those grow, and cost a microsecond."""
        return self._engine.stats()

    def edge_fileno(self) -> int:
        """Return an eventfd, readable after each edge at which frames were offered to ports.

        Read 8 bytes to take all edges so far; the platform closes it. For the plugin worker alone.
        """
        return self._engine.edge_fileno()

    def lateness_us(self, since_tick: int = 0) -> NDArray[np.float32]:
        """Return how late each remembered tick from *since_tick* on started, thread by thread."""
        logs = [
            np.frombuffer(self._engine.lateness_ns(since_tick, thread), np.uint32)
            for thread in range(self._engine.tick_threads)
        ]
        return (np.concatenate(logs) / 1000.0).astype(np.float32)

    def edge_lateness_us(self, since_tick: int = 0) -> NDArray[np.float32]:
        """Return how late the last edge of each remembered tick from *since_tick* on was.

        Thread by thread; 0 where a tick had no edge but its first, or was too late to wait.
        """
        logs = [
            np.frombuffer(self._engine.edge_lateness_ns(since_tick, thread), np.uint32)
            for thread in range(self._engine.tick_threads)
        ]
        return (np.concatenate(logs) / 1000.0).astype(np.float32)

    def tick_times_us(self, since_tick: int = 0) -> NDArray[np.float32]:
        """Return how long each remembered tick from *since_tick* on took, thread by thread."""
        logs = [
            np.frombuffer(self._engine.tick_times_ns(since_tick, thread), np.uint32)
            for thread in range(self._engine.tick_threads)
        ]
        return (np.concatenate(logs) / 1000.0).astype(np.float32)

    def _listen(self) -> None:
        if self._loop is not None and not self._is_listening:
            self._is_listening = True
            self._loop.add_reader(self._engine.fileno(), self._wake)

    def _reclaim(self) -> None:
        """Free what the threads have passed, every now and then: each change does it, too."""
        self._engine.reclaim()
        self._vitals.sample()
        if self._loop is not None:
            self._timer = self._loop.call_later(RECLAIM_S, self._reclaim)

    def _wake(self) -> None:
        # An eventfd: one read takes all the ticks since the last.
        os.read(self._engine.fileno(), 8)
        if not self._callbacks and self._loop is not None:
            # Nobody asks: fifty wake-ups a second cost more than a leg does.
            self._loop.remove_reader(self._engine.fileno())
            self._is_listening = False
        for callback in tuple(self._callbacks.values()):
            try:
                callback()
            except Exception:
                # One consumer's bug must not silence the others of this tick.
                log.exception("a tick callback failed")
