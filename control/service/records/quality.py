"""What a party's media came to during one stay: averages and maxima of what was measured. Pure.

Source: Microsoft Graph, callRecords: mediaStream; RFC 3550 section 6.4 (jitter, loss, round trip).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from mixminus.media.quality import StreamQuality

WINDOW_SAMPLES: Final = 20
"""The network jitter's maximum is that of windows of 20 s, sampled every second."""

RECENT_SAMPLES: Final = 5
"""What "now" means to who looks at a call: the last five seconds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One stay's media, as far as anybody measured it; None for what nobody did.

    What comes from the party was measured here: jitter, loss and concealment of its stream. What
    goes to it is known by its own receiver reports: ``far_...``.
    Units:  ratios are shares of 1; times milliseconds.
    """

    codec: str
    received_packets: int
    sent_packets: int
    average_jitter_ms: float | None
    max_jitter_ms: float | None
    max_window_jitter_ms: float | None
    average_loss: float | None
    max_loss: float | None
    average_concealed: float | None
    max_concealed: float | None
    average_round_trip_ms: float | None
    max_round_trip_ms: float | None
    average_far_loss: float | None
    max_far_loss: float | None
    average_far_jitter_ms: float | None
    max_far_jitter_ms: float | None
    max_window_far_jitter_ms: float | None
    used_fec: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """What came from a party in the last seconds: shares of 1; None where nothing was due."""

    loss: float | None
    concealed: float | None


class Series:
    """The average and the maximum of values that come one by one, of all and of each window."""

    def __init__(self) -> None:
        self._sum = self._window_sum = 0.0
        self._count = self._window_count = 0
        self.maximum: float | None = None
        self._max_window: float | None = None

    def add(self, value: float | None) -> None:
        """Take a value in; None is none."""
        if value is None:
            return
        self._sum += value
        self._count += 1
        self.maximum = value if self.maximum is None else max(self.maximum, value)
        self._window_sum += value
        self._window_count += 1
        if self._window_count == WINDOW_SAMPLES:
            self._max_window = self.max_window
            self._window_sum, self._window_count = 0.0, 0

    @property
    def average(self) -> float | None:
        """The mean of all values; None when there is none."""
        return self._sum / self._count if self._count else None

    @property
    def max_window(self) -> float | None:
        """The largest mean of any window, the one that is not full included."""
        if not self._window_count:
            return self._max_window
        present = self._window_sum / self._window_count
        return present if self._max_window is None else max(self._max_window, present)


class QualityMeter:
    """Makes one stay's :class:`Measured` from samples of whatever transports carried it.

    First :meth:`begin` with a transport's counts at that time, then :meth:`sample` about once a
    second and at its end. A transport that takes over is another :meth:`begin`.
    """

    def __init__(self) -> None:
        self._before: StreamQuality | None = None
        self._jitter, self._round_trip = Series(), Series()
        self._loss, self._concealed = Series(), Series()
        self._far_loss, self._far_jitter = Series(), Series()
        self._received = self._lost = self._sent = self._due = self._concealed_ticks = 0
        self._fec_ticks = 0
        self._last: deque[tuple[int, int, int, int]] = deque(maxlen=RECENT_SAMPLES)

    @property
    def latest(self) -> StreamQuality | None:
        """The sample that was taken last; None before the first."""
        return self._before

    @property
    def recent(self) -> Recent:
        """What the last five samples say."""
        lost = received = concealed = due = 0
        for sample in self._last:
            lost += sample[0]
            received += sample[1]
            concealed += sample[2]
            due += sample[3]
        return Recent(_share(lost, received + lost), _share(concealed, due))

    def begin(self, quality: StreamQuality) -> None:
        """Count from *quality* on: what it says was before this stay, or is another transport's."""
        self._before = quality

    def sample(self, quality: StreamQuality) -> None:
        """Take in what happened since the sample before.

        Raises: ValueError before :meth:`begin`.
        """
        before, self._before = self._before, quality
        if before is None:
            raise ValueError("expected begin() before the first sample")
        received = quality.received_packets - before.received_packets
        # A packet that was counted as lost and came late after all makes this negative.
        lost = quality.lost_packets - before.lost_packets
        concealed = quality.concealed_ticks - before.concealed_ticks
        fec = quality.fec_ticks - before.fec_ticks
        due = concealed + fec + quality.voice_ticks - before.voice_ticks
        self._received += received
        self._lost += lost
        self._sent += quality.sent_packets - before.sent_packets
        self._concealed_ticks += concealed
        self._fec_ticks += fec
        self._due += due
        self._last.append((lost, received, concealed, due))
        self._loss.add(_share(lost, received + lost))
        self._concealed.add(_share(concealed, due))
        # The estimate stands still when nothing comes: only what was measured in this second.
        self._jitter.add(quality.jitter_ms if received > 0 else None)
        self._round_trip.add(quality.round_trip_ms)
        self._far_loss.add(quality.far_loss_ratio)
        self._far_jitter.add(quality.far_jitter_ms)

    def measured(self) -> Measured | None:
        """Return what there is so far; None when no transport was measured."""
        if self._before is None:
            return None
        return Measured(
            codec=self._before.codec,
            received_packets=self._received,
            sent_packets=self._sent,
            average_jitter_ms=self._jitter.average,
            max_jitter_ms=self._jitter.maximum,
            max_window_jitter_ms=self._jitter.max_window,
            average_loss=_share(self._lost, self._received + self._lost),
            max_loss=self._loss.maximum,
            average_concealed=_share(self._concealed_ticks, self._due),
            max_concealed=self._concealed.maximum,
            average_round_trip_ms=self._round_trip.average,
            max_round_trip_ms=self._round_trip.maximum,
            average_far_loss=self._far_loss.average,
            max_far_loss=self._far_loss.maximum,
            average_far_jitter_ms=self._far_jitter.average,
            max_far_jitter_ms=self._far_jitter.maximum,
            max_window_far_jitter_ms=self._far_jitter.max_window,
            used_fec=self._fec_ticks > 0,
        )


def duration(milliseconds: float | None) -> str | None:
    """Write a time as Edm.Duration (ISO 8601), to the microsecond: ``PT0.016S``."""
    if milliseconds is None:
        return None
    text = f"{max(0.0, milliseconds) / 1000:.6f}".rstrip("0").rstrip(".")
    return f"PT{text}S"


def _share(part: int, whole: int) -> float | None:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else None
