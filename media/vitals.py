"""What an engine did lately: its heartbeat, and how near to its limits it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import _native
from .cpus import usable_cpus

HEARTBEAT_S: Final = 1.0
DOUBTED_S: Final = 0.5
"""An engine that has run for less may not have ticked yet: a thread's start may be held up."""
KEPT_S: Final = 60.0
"""How far back :meth:`Vitals.recent` can look."""
SAMPLE_S: Final = 0.25
"""How often samples are taken."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What went through an engine in the last ``seconds``: proof of media, not of a live loop.

    ``frames_mixed`` is one a leg and tick; ``frames_received`` counts frames and packets that were
    taken from far ends, ``frames_sent`` datagrams and frames handed to transports and bots.
    ``ticks`` are those of the slowest tick thread; ``legs`` there are now, ``legs_before`` there
    were when that time began. Silent far ends send nothing, so nothing received is no fault by
    itself.
    """

    seconds: float
    ticks: int
    frames_mixed: int
    frames_received: int
    frames_sent: int
    legs: int
    legs_before: int

    @property
    def ticks_advance(self) -> bool:
        """Whether every tick thread ticks, and mixes where there was something to mix.

        An engine that has just started is not doubted.
        """
        if self.seconds < DOUBTED_S:
            return True
        return self.ticks > 0 and (self.frames_mixed > 0 or not min(self.legs, self.legs_before))


@dataclass(frozen=True, slots=True)
class RecentTicks:
    """How an engine ran in the last ``seconds``.

    Shares are of one core's time: ``tick_thread_shares`` by thread, what its ticks took;
    ``loop_share`` the thread of the event loop. ``process_share`` is of all cores that the process
    may use. What is over 1 was measured a moment apart.
    """

    seconds: float
    ticks_per_s: float
    lateness_p50_us: float
    lateness_p99_us: float
    lateness_max_us: float
    tick_time_p50_us: float
    tick_time_p99_us: float
    tick_time_max_us: float
    tick_thread_shares: tuple[float, ...]
    packet_thread_share: float
    loop_share: float
    process_share: float


@dataclass(frozen=True, slots=True)
class EngineFlow:
    """What went through all bridges since the engine was made: none of it ever goes down.

    ``mixed`` = ``voice`` + ``fec`` + ``concealed`` + ``comfort`` + ``silence`` + those ``skipped``
    that stood for frames a sender had left out; the other ``skipped`` are ticks that the engine
    left out, one a leg. ``received``: frames and packets taken from far ends; ``dropped``: those
    that came too late or were not taken in time; ``rendered``: frames for bots, links and streams;
    datagrams are in ``EngineStats``.
    """

    mixed: int
    received: int
    rendered: int
    dropped: int
    voice: int
    fec: int
    concealed: int
    comfort: int
    silence: int
    skipped: int


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    ticks: tuple[int, ...]
    legs: int
    mixed: int
    received: int
    sent: int
    packet_cpu_ns: int
    loop_cpu_s: float
    process_cpu_s: float


class Vitals:
    """Samples of one engine's counters, four a second, and what they say.

    Thread: the one of the event loop: its share is measured by who calls.
    """

    def __init__(
        self, engine: _native.Engine, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._cpus = usable_cpus()
        self._samples: deque[_Sample] = deque(maxlen=round(KEPT_S / SAMPLE_S) + 1)

    def restart(self) -> None:
        """Forget what was before: the engine starts."""
        self._samples.clear()
        self.sample()

    def sample(self) -> None:
        """Take a sample, about every :data:`SAMPLE_S`."""
        self._samples.append(self._now())

    def heartbeat(self) -> Heartbeat:
        """Say what was done in the last second, or since the start if that is less."""
        now, since = self._span(HEARTBEAT_S)
        return Heartbeat(
            seconds=now.at_s - since.at_s,
            ticks=min(a - b for a, b in zip(now.ticks, since.ticks, strict=True)),
            frames_mixed=now.mixed - since.mixed,
            frames_received=now.received - since.received,
            frames_sent=now.sent - since.sent,
            legs=now.legs,
            legs_before=since.legs,
        )

    def recent(self, seconds: float) -> RecentTicks:
        """Say how the last *seconds* went, or the time since the start if that is less.

        Raises: ValueError unless *seconds* is above 0 and at most 60.
        """
        if not 0 < seconds <= KEPT_S:
            raise ValueError(f"seconds: expected more than 0 and at most {KEPT_S:g}, got {seconds}")
        now, since = self._span(seconds)
        took_s = max(now.at_s - since.at_s, 1e-9)
        engine = self._engine
        lateness_us = [_us(engine.lateness_ns(n, i)) for i, n in enumerate(since.ticks)]
        times_us = [_us(engine.tick_times_ns(n, i)) for i, n in enumerate(since.ticks)]
        late, tick = _percentiles(lateness_us), _percentiles(times_us)
        return RecentTicks(
            seconds=took_s,
            ticks_per_s=(now.ticks[0] - since.ticks[0]) / took_s,
            lateness_p50_us=late[0],
            lateness_p99_us=late[1],
            lateness_max_us=late[2],
            tick_time_p50_us=tick[0],
            tick_time_p99_us=tick[1],
            tick_time_max_us=tick[2],
            tick_thread_shares=tuple(float(t.sum()) / (took_s * 1e6) for t in times_us),
            packet_thread_share=(now.packet_cpu_ns - since.packet_cpu_ns) / (took_s * 1e9),
            loop_share=(now.loop_cpu_s - since.loop_cpu_s) / took_s,
            process_share=(now.process_cpu_s - since.process_cpu_s) / (took_s * self._cpus),
        )

    def _span(self, seconds: float) -> tuple[_Sample, _Sample]:
        """Return the sample of now, and the youngest of those that are *seconds* old."""
        now = self._now()
        since = now
        for sample in reversed(self._samples):
            since = sample
            if now.at_s - sample.at_s >= seconds:
                break
        return now, since

    def _now(self) -> _Sample:
        engine = self._engine
        flow = engine.flow()
        return _Sample(
            at_s=self._clock(),
            ticks=engine.thread_ticks(),
            legs=engine.legs,
            mixed=flow["mixed"],
            received=flow["received"],
            sent=flow["rendered"] + engine.stats()["datagrams_sent"],
            packet_cpu_ns=engine.packet_cpu_ns(),
            loop_cpu_s=time.thread_time(),
            process_cpu_s=time.process_time(),
        )


def _us(nanoseconds: bytes) -> NDArray[np.float64]:
    return np.frombuffer(nanoseconds, np.uint32) / 1000.0


def _percentiles(by_thread: Iterable[NDArray[np.float64]]) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the maximum; 0 of nothing."""
    values = np.concatenate(tuple(by_thread))
    if not values.size:
        return 0.0, 0.0, 0.0
    p50, p99 = np.percentile(values, (50, 99))
    return float(p50), float(p99), float(values.max())
