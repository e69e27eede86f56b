"""Is what came back the input times -0.5, how late, and with what holes? Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm

ECHO_GAIN: Final = -0.5
"""What the echo bot multiplies by: a sign that no leak of the input can have."""

WINDOW_S: Final = 0.2
SEGMENT_S: Final = 2.0
LAG_TOLERANCE_S: Final = 0.120
"""How far a window's delay may be from its two seconds': playouts grow with the network's jitter,
and shrink again by a few percent of the time."""
MAX_DELAY_S: Final = 2.0
BLOCK_S: Final = 0.005
ACTIVE_DBOV: Final = -35.0
ACTIVE_BELOW_LOUDEST_DB: Final = 30.0
HOLE_DBOV: Final = -50.0
SETTLE_S: Final = 1.0
"""Playout finds its depth in the first second; holes count from then on."""

ALIKE: Final = -0.8
MIN_ALIKE_SHARE: Final = 0.6
"""A window in which the delay changes is like neither; on a crowded machine that may be a third."""

MAX_CORRELATION: Final = -0.95
MAX_GAIN_ERROR_DB: Final = 1.0
MAX_HOLE_MS: Final = 20.0
MAX_ROUND_TRIP_MS: Final = 300.0

Float: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """One active window of the input and its best match in the echo."""

    at_s: float
    delay_ms: float
    correlation: float
    gain: float


@dataclass(frozen=True, slots=True)
class EchoReport:
    """What the comparison found.

    ``failures`` say why this is no echo; ``missed`` are goals of speed and smoothness, which a busy
    machine can miss although the echo is there.
    """

    windows: tuple[Window, ...]
    median_correlation: float
    gain: float
    gain_error_db: float
    round_trip_p50_ms: float
    round_trip_max_ms: float
    longest_hole_ms: float
    heard_dbov: float
    alike_share: float
    failures: tuple[str, ...]
    missed: tuple[str, ...]


def rms_dbov(samples: Float) -> float:
    """Level of *samples* (full scale 1.0) in dBov, at least -127."""
    power = float(np.mean(np.square(samples))) if samples.size else 0.0
    return max(-127.0, 10 * float(np.log10(power))) if power > 0 else -127.0


def compare(played: Pcm, heard: Pcm) -> EchoReport:
    """Compare what was played with what was heard.

    Shape:  (n,) and (m,) int16 on one timeline: sample 0 of both is the same moment.
    """
    source, echo = played / 32768.0, heard / 32768.0
    windows = tuple(match_windows(source, echo))
    level = rms_dbov(echo)
    if not windows:
        why = "the input has no active 200 ms" if rms_dbov(source) < ACTIVE_DBOV else "no echo"
        return EchoReport((), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, level, 0.0, (why,), ())
    correlation = float(np.median([w.correlation for w in windows]))
    gain = float(np.median([w.gain for w in windows]))
    error_db = 20 * abs(float(np.log10(max(abs(gain), 1e-6) / abs(ECHO_GAIN))))
    # Where a window is unlike the echo (a click, a change of delay in it), its lag means nothing.
    alike = [w for w in windows if w.correlation <= ALIKE]
    delays = [w.delay_ms for w in alike or windows]
    round_trip = float(np.median(delays))
    hole_ms = longest_hole_ms(source, echo, round_trip / 1000)
    share = len(alike) / len(windows)
    failures, missed = [], []
    if correlation > MAX_CORRELATION:
        failures.append(f"median correlation {correlation:.3f}, expected <= {MAX_CORRELATION}")
    if error_db > MAX_GAIN_ERROR_DB:
        failures.append(f"gain {gain:.3f}, expected {ECHO_GAIN} within {MAX_GAIN_ERROR_DB:g} dB")
    if share < MIN_ALIKE_SHARE:
        failures.append(
            f"{share:.0%} of the active windows came back, expected {MIN_ALIKE_SHARE:.0%}"
        )
    if hole_ms > MAX_HOLE_MS:
        missed.append(f"longest hole {hole_ms:.0f} ms, goal {MAX_HOLE_MS:g} ms")
    if round_trip > MAX_ROUND_TRIP_MS:
        missed.append(f"round trip {round_trip:.0f} ms, goal {MAX_ROUND_TRIP_MS:g} ms")
    return EchoReport(
        windows,
        correlation,
        gain,
        error_db,
        round_trip,
        max(delays),
        hole_ms,
        level,
        share,
        tuple(failures),
        tuple(missed),
    )


def match_windows(source: Float, echo: Float) -> list[Window]:
    """Match each active 200 ms of *source* near the delay of its own two seconds."""
    size, found = int(WINDOW_S * SAMPLE_RATE_HZ), []
    starts = active_windows(source, size)
    segment = int(SEGMENT_S * SAMPLE_RATE_HZ)
    delay = overall_delay(source, echo)
    for begin in range(0, source.size, segment):
        own = overall_delay(source[begin : begin + segment], echo[begin:])
        # Where nothing came back at all it should have, as late as what came before.
        delay = delay if own is None else own
        if delay is None:
            continue
        found += [
            window
            for start in starts
            if begin <= start < begin + segment
            and (window := match(source[start : start + size], echo, start, delay)) is not None
        ]
    return found


def active_windows(source: Float, size: int) -> list[int]:
    """Where windows of *size* samples begin that are loud enough to be compared."""
    starts = range(0, source.size - size + 1, size)
    levels = {start: rms_dbov(source[start : start + size]) for start in starts}
    floor = max([ACTIVE_DBOV, max(levels.values(), default=0.0) - ACTIVE_BELOW_LOUDEST_DB])
    return [start for start, level in levels.items() if level >= floor]


def correlate(source: Float, echo: Float, lags: int) -> Float:
    """Inner products of *source* with *echo* at each lag from 0 to *lags* - 1, by FFT."""
    size = 1 << int(np.ceil(np.log2(source.size + min(echo.size, source.size + lags) + 1)))
    spectrum = np.fft.rfft(echo[: source.size + lags], size) * np.conj(np.fft.rfft(source, size))
    product: Float = np.fft.irfft(spectrum, size)[:lags]
    return product


def overall_delay(source: Float, echo: Float) -> int | None:
    """The lag in samples at which the echo is most like the input turned over; None without one."""
    if echo.size == 0 or not np.any(source) or not np.any(echo):
        return None
    lags = min(int(MAX_DELAY_S * SAMPLE_RATE_HZ), echo.size)
    return int(np.argmax(-correlate(source, echo, lags)))


def match(part: Float, echo: Float, start: int, delay: int) -> Window | None:
    """Compare one window with the echo at its best lag near *delay*."""
    tolerance = int(LAG_TOLERANCE_S * SAMPLE_RATE_HZ)
    first = max(start, start + delay - tolerance)
    stretch = echo[first : start + delay + tolerance + part.size]
    lags = stretch.size - part.size + 1
    if lags < 1:
        return None  # the call ended before this window's echo
    products = correlate(part, stretch, lags)
    squares = np.concatenate(([0.0], np.cumsum(np.square(stretch))))
    energy = np.maximum(squares[part.size :] - squares[: -part.size], 1e-12)[:lags]
    own = float(part @ part)
    correlations = products / np.sqrt(energy * own)
    best = int(np.argmin(correlations))
    return Window(
        at_s=start / SAMPLE_RATE_HZ,
        delay_ms=(first + best - start) / SAMPLE_RATE_HZ * 1000,
        correlation=float(correlations[best]),
        gain=float(products[best]) / own,
    )


def longest_hole_ms(source: Float, echo: Float, delay_s: float) -> float:
    """The longest stretch after the first second where the input speaks and the echo is not there.

    An edge of speech within 25 ms does not count: there the delay's own wander decides.
    """
    block = int(BLOCK_S * SAMPLE_RATE_HZ)
    shift = int(delay_s * SAMPLE_RATE_HZ)
    count = min(source.size, max(0, echo.size - shift)) // block
    spoken = levels(source, block, count) > ACTIVE_DBOV
    margin = 2 * int(0.025 / BLOCK_S) + 1
    inside = np.convolve(spoken, np.ones(margin, int), "same") == margin
    inside[: int(SETTLE_S / BLOCK_S)] = False
    missing = inside & (levels(echo[shift:], block, count) < HOLE_DBOV)
    longest = run = 0
    for silent in missing:
        run = run + 1 if silent else 0
        longest = max(longest, run)
    return longest * BLOCK_S * 1000


def levels(samples: Float, block: int, count: int) -> Float:
    """Level of each of the first *count* blocks in dBov."""
    power = np.mean(np.square(samples[: count * block].reshape(count, block)), axis=1)
    result: Float = 10 * np.log10(np.maximum(power, 1e-13))
    return result
