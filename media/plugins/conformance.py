"""Whether a plugin keeps the contract: for its author's tests, and for ``mixminus plugin check``.

In a test of one's own::

    from mixminus.media.plugins.conformance import assert_conforms

    def test_conforms():
        assert_conforms(Tremolo, depth_db=6)

A plugin that adds sound of its own, also to silence, says so with ``makes_sound = True``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..pcm import FRAME_SAMPLES, AudioFrame, Pcm
from . import probes
from .contract import BUDGET_MS, PluginFactory, Stream
from .errors import PluginError
from .offline import OfflinePlugin
from .slot import FAULTS, WINDOW_FRAMES

SPEECH_S: Final = 4.0
RUNS: Final = 3
"""The budget is judged by each frame's fastest of so many runs: a machine that is busy once is not
the plugin's fault."""
LATENCY_SLACK_SAMPLES: Final = 8
"""By how much the claim may be off: a filter's phase moves the peak of a correlation by as much."""
LIKENESS: Final = 0.2
"""Below this correlation what comes out is another sound, and has no lag."""
LONGEST_LAG: Final = 40_000
QUIET_PEAK: Final = 32
"""-60 dBFS, what :func:`mixminus.media.pipeline.is_silent` takes for silence."""
WRAP: Final = 40_000
"""A step between neighbours that a slow sine never makes, also 30 dB louder: samples that were not
cut at full scale but came out at the other end make one of some 65,000."""
THREAD_WAIT_S: Final = 2.0


class ConformanceError(AssertionError):
    """A plugin that does not keep the contract; the message has a line for each check it fails."""


class _BrokenRuleError(PluginError):
    """Why one check failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    is_kept: bool
    detail: str


class _Trial(OfflinePlugin):
    """One life of a plugin, in which NaN is caught where it is made: cast, it is a number again."""

    def process(self, frame: AudioFrame) -> Pcm:
        with np.errstate(invalid="raise", divide="raise"):
            return super().process(frame)

    def hear_all(self, frames: Iterable[AudioFrame]) -> Pcm:
        return np.concatenate([self.process(frame) for frame in frames])


def check_conformance(
    plugin: PluginFactory | str,
    config: Mapping[str, Any] | None = None,
    *,
    stream: Stream = "inbound",
) -> tuple[Finding, ...]:
    """Try a plugin with all that a call may bring, and return what each check found.

    *plugin* is a class, a function, or a reference that :func:`.registry.resolve` takes. It is made
    some ten times, each in a thread that is not the main one. Takes a few seconds.
    Raises: PluginError when it cannot be found, or not be made with *config*.
    """
    _Trial(plugin, config)

    def trial(call_id: str = "conformance") -> _Trial:
        return _Trial(plugin, config, stream=stream, call_id=call_id)

    with ThreadPoolExecutor(1, thread_name_prefix="mixminus-conformance") as thread:
        return tuple(
            thread.submit(_found, name, check, trial).result() for name, check in CHECKS.items()
        )


def assert_conforms(
    plugin: PluginFactory | str, *, stream: Stream = "inbound", **config: Any
) -> None:
    """Check that *plugin*, made with *config*, keeps the contract on *stream*.

    Raises: ConformanceError, an AssertionError, with a line for each check that it fails;
            PluginError when it cannot be made.
    """
    failed = [f for f in check_conformance(plugin, config, stream=stream) if not f.is_kept]
    if failed:
        raise ConformanceError("\n".join(f"{f.check}: {f.detail}" for f in failed))


Trials = Callable[..., _Trial]


def _found(name: str, check: Callable[[Trials], str], trial: Trials) -> Finding:
    try:
        return Finding(name, True, check(trial))
    except PluginError as exc:
        return Finding(name, False, str(exc))


def _check_shape(trial: Trials) -> str:
    with trial() as run:
        for frame in probes.odd_frames():
            run.process(frame)
        if run.is_listener:
            return "only listens"
        if not run.changed_frames:
            return "lets every frame go on as it came"
        return f"int16 of shape ({FRAME_SAMPLES},) for each frame"


def _check_silence(trial: Trials) -> str:
    with trial() as run:
        peak = _peak(run.hear_all(probes.frames_of(probes.silence(100))))
        if getattr(run.factory, "makes_sound", False):
            return f"makes sound of its own, peak {peak}"
    if peak > QUIET_PEAK:
        raise _BrokenRuleError(
            f"expected silence for silence, got a peak of {peak}; a plugin that adds sound says"
            " makes_sound = True"
        )
    return f"peak {peak}"


def _check_full_scale(trial: Trials) -> str:
    with trial() as run:
        out = run.hear_all(probes.frames_of(probes.loud_sine(100)))
    step = int(np.abs(np.diff(out.astype(np.int32))).max())
    if step > WRAP:
        raise _BrokenRuleError(
            f"a full-scale sine comes out with a step of {step} between neighbouring samples:"
            " expected samples cut at -32768 and 32767"
        )
    return f"peak {_peak(out)}, largest step {step}"


def _check_numbers(trial: Trials) -> str:
    with trial() as run:
        run.hear_all(probes.frames_of(probes.extremes()))
    return "no NaN, infinity or division by zero"


def _check_budget(trial: Trials) -> str:
    speech = list(probes.frames_of(probes.speech_like(SPEECH_S)))
    runs = []
    for _ in range(RUNS):
        with trial() as run:
            run.hear_all(speech)
            runs.append(run.own_times_ns)
    times_ms = np.min(runs, axis=0) / 1e6
    p50, p99 = np.percentile(times_ms, (50, 99))
    said = f"p50 {p50:.3f} ms, p99 {p99:.3f} ms of {BUDGET_MS:g} ms"
    if run.is_listener:
        return f"{said}; it only listens, so nobody waits"
    over = np.flatnonzero(times_ms > BUDGET_MS)
    if over.size >= FAULTS and int((over[FAULTS - 1 :] - over[: 1 - FAULTS]).min()) < WINDOW_FRAMES:
        raise _BrokenRuleError(f"{said}: {over.size} of {times_ms.size} frames took longer")
    return said


def _check_latency(trial: Trials) -> str:
    speech = probes.speech_like(SPEECH_S)
    with trial() as run:
        out = run.hear_all(probes.frames_of(speech))
        claimed = run.latency_samples
    if not run.changed_frames:
        lag, likeness = 0, 1.0
    else:
        lag, likeness = measured_lag(speech, out)
    if likeness < LIKENESS:
        return f"{claimed} claimed; what comes out is another sound, so nothing was measured"
    if abs(lag - claimed) > LATENCY_SLACK_SAMPLES:
        raise _BrokenRuleError(f"latency_samples is {claimed}, measured {lag}")
    return f"{claimed} samples claimed, {lag} measured"


def _check_reset(trial: Trials) -> str:
    first, second = (probes.speech_like(1.0, seed) for seed in (3, 4))
    outs = []
    for pcm in (first, second, first):
        with trial() as run:
            outs.append(run.hear_all(probes.frames_of(pcm)))
    if not np.array_equal(outs[0], outs[2]):
        at = int(np.flatnonzero(outs[0] != outs[2])[0])
        raise _BrokenRuleError(f"opened anew it gives something else, from sample {at} on")
    return "opened anew, the same again"


def _check_streams_apart(trial: Trials) -> str:
    first, second = (probes.speech_like(1.0, seed) for seed in (3, 4))
    with trial() as run:
        alone = run.hear_all(probes.frames_of(first))
    beside = []
    with trial("conformance-1") as one, trial("conformance-2") as other:
        for frame, foreign in zip(probes.frames_of(first), probes.frames_of(second), strict=True):
            beside.append(one.process(frame))
            other.process(foreign)
    if not np.array_equal(alone, np.concatenate(beside)):
        raise _BrokenRuleError(
            "beside another call's stream it gives something else: they share state"
        )
    return "two calls at once do not hear each other"


def _check_events(trial: Trials) -> str:
    with trial() as run:
        run.hear_all(probes.frames_of(probes.speech_like(SPEECH_S)))
    for name, value in run.events:
        if not isinstance(name, str) or not name:
            raise _BrokenRuleError(f"emit: expected a name, got {name!r}")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as exc:
            raise _BrokenRuleError(f"emit({name!r}): expected a value that is JSON: {exc}") from exc
    names = sorted({name for name, _ in run.events})
    return f"{len(run.events)} ({', '.join(names)})" if names else "none on this sound"


def _check_close(trial: Trials) -> str:
    before = set(threading.enumerate())
    with trial() as run:
        run.hear_all(probes.frames_of(probes.speech_like(0.2)))
    for thread in set(threading.enumerate()) - before:
        thread.join(THREAD_WAIT_S)
        if thread.is_alive():
            raise _BrokenRuleError(f"thread {thread.name} is still there after close")
    return "no thread left"


CHECKS: Final[Mapping[str, Callable[[Trials], str]]] = {
    "shape": _check_shape,
    "silence": _check_silence,
    "full scale": _check_full_scale,
    "numbers": _check_numbers,
    "budget": _check_budget,
    "latency": _check_latency,
    "reset": _check_reset,
    "streams apart": _check_streams_apart,
    "events": _check_events,
    "close": _check_close,
}


def measured_lag(given: Pcm, came: Pcm) -> tuple[int, float]:
    """Return by how many samples *came* is behind *given*, and how alike they are (0 to 1).

    Units:  looks for -1600 to 40,000 samples.
    """
    size = min(given.size, came.size)
    # Differences, so that the treble decides: a high-pass turns the phase of what is below.
    a, b = (np.diff(pcm[:size].astype(np.float64), prepend=0.0) for pcm in (given, came))
    power = float(np.sqrt((a @ a) * (b @ b)))
    if power == 0.0:
        return 0, 0.0
    length = 2 * size
    correlation = np.fft.irfft(np.conj(np.fft.rfft(a, length)) * np.fft.rfft(b, length), length)
    early, late = correlation[-1600:], correlation[: min(LONGEST_LAG, size)]
    both = np.concatenate((early, late))
    best = int(np.argmax(np.abs(both)))
    return best - early.size, float(abs(both[best]) / power)


def _peak(pcm: Pcm) -> int:
    return int(np.abs(pcm.astype(np.int32)).max())
