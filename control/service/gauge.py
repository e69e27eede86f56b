"""Measuring the media of all parties: each every second, by one timer for all."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import Final, Protocol, runtime_checkable

from mixminus.media.quality import StreamQuality

from .records.quality import Measured, QualityMeter, Recent

log = logging.getLogger("mixminus.control.calls")

PERIOD_S: Final = 1.0
SLICES: Final = 20
"""A sample costs 0.1 ms on a busy machine (measured): those of 500 callers at once would hold the
loop up for two ticks."""


@runtime_checkable
class Measurable(Protocol):
    """A transport that knows how good its packets come and go."""

    def quality(self) -> StreamQuality | None:
        """Return what was measured so far; None before there is anything to measure."""


class Sampler:
    """Has each gauge take a sample every second, a few at a time, as long as there are any.

    Thread: the loop's.
    """

    def __init__(self, period_s: float = PERIOD_S) -> None:
        self._slice_s = period_s / SLICES
        self._gauges: dict[Gauge, None] = {}
        self._owed = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, gauge: Gauge) -> None:
        """Sample *gauge* from now on."""
        self._gauges[gauge] = None
        if self._timer is None:
            self._owed = 0.0
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._slice_s, self._sample, loop.time() + self._slice_s)

    def discard(self, gauge: Gauge) -> None:
        """Sample *gauge* no longer. Again is no error."""
        self._gauges.pop(gauge, None)
        if not self._gauges and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self, due_s: float) -> None:
        loop = asyncio.get_running_loop()
        # On a grid, but never a burst of what a busy loop has missed.
        next_s = max(due_s + self._slice_s, loop.time())
        self._timer = loop.call_at(next_s, self._sample, next_s)
        self._owed += len(self._gauges) / SLICES
        turns = int(self._owed)
        self._owed -= turns
        for gauge in tuple(islice(self._gauges, turns)):
            # To the end of the queue.
            del self._gauges[gauge]
            self._gauges[gauge] = None
            try:
                gauge.sample()
            except Exception:
                # One transport's bug must not end the measuring of all others.
                log.exception("a transport could not be measured")
                self.discard(gauge)


class Gauge:
    """Measures one party's media, whatever transports carry them one after another.

    Thread: the loop's.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._transport: Measurable | None = None
        self._has_begun = False
        self._meter = QualityMeter()

    def follow(self, transport: object | None) -> None:
        """Measure *transport* from now on, in the place of the one before; None is none.

        One that is not :class:`Measurable` is not measured.
        """
        self.sample()
        self._transport = transport if isinstance(transport, Measurable) else None
        if self._transport is None:
            self._sampler.discard(self)
        else:
            self._begin()
            self._sampler.add(self)

    def restart(self) -> None:
        """Forget what was measured: a new stay begins, over the same transport."""
        self._meter = QualityMeter()
        self._begin()

    def sample(self) -> None:
        """Take in what happened since the last sample."""
        if not self._has_begun:
            self._begin()
        elif self._transport is not None and (quality := self._transport.quality()) is not None:
            self._meter.sample(quality)

    def measured(self) -> Measured | None:
        """Return what there is up to now; None when nothing was measured."""
        self.sample()
        return self._meter.measured()

    @property
    def latest(self) -> StreamQuality | None:
        """The last sample, a second old at most: costs nothing. None before the first."""
        return self._meter.latest

    @property
    def recent(self) -> Recent:
        """What the last five seconds came to, as of the last sample."""
        return self._meter.recent

    def close(self) -> None:
        """Take a last sample; what was measured stays. Again is no error."""
        self.follow(None)

    def _begin(self) -> None:
        quality = None if self._transport is None else self._transport.quality()
        self._has_begun = quality is not None
        if quality is not None:
            self._meter.begin(quality)
