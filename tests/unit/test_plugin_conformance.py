"""The conformance suite: built-in plugins keep the contract, and each way to break it is found."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.plugins import conformance
from mixminus.media.plugins.builtin import PLUGINS
from mixminus.media.plugins.conformance import (
    CHECKS,
    ConformanceError,
    assert_conforms,
    check_conformance,
    measured_lag,
)
from mixminus.media.plugins.contract import PluginContext, PluginFactory, Stream
from mixminus.media.plugins.errors import PluginConfigError, UnknownPluginError
from mixminus.media.plugins.probes import frames_of, speech_like
from tests.plugin_kit import SPEECH_FILE

MORE: list[Any] = [
    ("ducking", {}, "own"),
    ("echo_cancellation", {}, "own"),
    ("echo_cancellation", {"noise_suppression": True, "auto_gain": True}, "speaker"),
    ("agc", {"engine": "apm"}, "inbound"),
    pytest.param("voice_activity", {"engine": "silero"}, "speaker", marks=pytest.mark.slow),
]


def failed_checks(plugin: PluginFactory, **config: Any) -> dict[str, str]:
    return {f.check: f.detail for f in check_conformance(plugin, config) if not f.is_kept}


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    # The full four seconds of speech are for `mixminus plugin check` and the slow run.
    monkeypatch.setattr(conformance, "SPEECH_S", 1.2)


@pytest.mark.parametrize("name", sorted(set(PLUGINS) - {"transcript"}))
def test_built_in_plugins_keep_the_contract(name: str, tmp_path: Path) -> None:
    needs: dict[str, dict[str, Any]] = {
        "injector": {"file": str(SPEECH_FILE)},
        "recorder": {"directory": str(tmp_path)},
    }
    assert_conforms(name, **needs.get(name, {}))


@pytest.mark.parametrize(("name", "config", "stream"), MORE)
def test_built_in_plugins_keep_it_with_other_settings(
    name: str, config: dict[str, Any], stream: Stream
) -> None:
    assert_conforms(name, stream=stream, **config)


@pytest.mark.slow  # It loads its model a dozen times and recognises.
def test_the_transcript_keeps_the_contract() -> None:
    assert_conforms("transcript")


def test_every_built_in_plugin_is_told_of_and_found() -> None:
    for reference in PLUGINS.values():
        assert_is_documented(reference)


def assert_is_documented(reference: str) -> None:
    from mixminus.media.plugins.registry import resolve

    factory = resolve(reference)
    assert factory.__doc__, reference
    assert len(factory.__doc__.splitlines()[0]) <= 100


# Ways to break it.


def wrong_length(frame: AudioFrame) -> Pcm:
    return np.zeros(FRAME_SAMPLES // 2, np.int16)


def wrong_type(frame: AudioFrame) -> Any:
    return frame * 0.5


def nan_cast(frame: AudioFrame) -> Pcm:
    scaled: NDArray[np.float64] = frame / np.abs(frame).max() * 1000.0
    return scaled.astype(np.int16)


def wraps(frame: AudioFrame) -> Pcm:
    return (frame.astype(np.int32) * 2).astype(np.int16)


def hums(frame: AudioFrame) -> Pcm:
    return np.clip(frame.astype(np.int32) + 100, -32768, 32767).astype(np.int16)


def raises(frame: AudioFrame) -> Pcm:
    raise KeyError("model")


def test_results_that_are_no_frames_are_found() -> None:
    assert "expected one frame" in failed_checks(wrong_length)["shape"]
    assert "float64" in failed_checks(wrong_type)["shape"]
    assert "KeyError: 'model'" in failed_checks(raises)["shape"]


def test_a_nan_is_found_also_when_it_was_cast_away() -> None:
    found = failed_checks(nan_cast)
    assert "invalid value" in found["numbers"]
    assert "full scale" not in found


def test_samples_that_come_out_at_the_other_end_are_found() -> None:
    assert set(failed_checks(wraps)) == {"full scale"}


def test_sound_out_of_silence_is_found_unless_it_is_meant() -> None:
    assert set(failed_checks(hums)) == {"silence"}

    class Hum:
        makes_sound = True

        def process(self, frame: AudioFrame) -> Pcm:
            return hums(frame)

    assert failed_checks(Hum) == {}


def test_more_than_the_budget_is_found_also_when_it_sleeps() -> None:
    class Sleepy:
        def __init__(self) -> None:
            self.frames = 0

        def process(self, frame: AudioFrame) -> None:
            self.frames += 1
            # Often: on a busy machine some of it passes for the host's own stall.
            if 20 <= self.frames < 30:
                time.sleep(0.008)

    assert set(failed_checks(Sleepy)) == {"budget"}


def test_two_slow_frames_are_no_overrun_and_a_tap_may_take_its_time() -> None:
    class Twice:
        def __init__(self) -> None:
            self.frames = 0

        def process(self, frame: AudioFrame) -> None:
            self.frames += 1
            if self.frames in (20, 21):
                time.sleep(0.008)

    class Tap(Twice):
        listens = True

        def process(self, frame: AudioFrame) -> None:
            super().process(frame)
            if self.frames == 22:
                time.sleep(0.008)

    assert failed_checks(Twice) == {}
    assert failed_checks(Tap) == {}


def late_by(samples: int, claim: int) -> type:
    class Late:
        latency_samples = claim

        def __init__(self) -> None:
            self.past: Pcm = np.zeros(samples, np.int16)

        def process(self, frame: AudioFrame) -> Pcm:
            whole = np.concatenate((self.past, frame))
            self.past = whole[FRAME_SAMPLES:]
            return whole[:FRAME_SAMPLES]

    return Late


def test_a_latency_that_is_not_as_claimed_is_found() -> None:
    assert failed_checks(late_by(500, 0)) == {"latency": "latency_samples is 0, measured 500"}
    assert failed_checks(late_by(0, 96)) == {"latency": "latency_samples is 96, measured 0"}
    assert failed_checks(late_by(500, 500)) == {}


def test_state_that_outlives_a_stream_is_found() -> None:
    class Shared:
        heard = 0

        def process(self, frame: AudioFrame) -> Pcm:
            Shared.heard += 1
            softer: Pcm = frame // (1 + Shared.heard % 7)
            return softer

    found = failed_checks(Shared)
    assert "something else" in found["reset"]
    assert "they share state" in found["streams apart"]


def test_an_event_that_is_no_json_and_a_thread_that_stays_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conformance, "THREAD_WAIT_S", 0.01)
    over = threading.Event()

    class Careless:
        def open(self, context: PluginContext) -> None:
            self.context = context
            threading.Thread(target=over.wait, name="forgotten", daemon=True).start()

        def process(self, frame: AudioFrame) -> None:
            self.context.emit("frame", frame)

    found = failed_checks(Careless)
    over.set()
    assert "expected a value that is JSON" in found["events"]
    assert "forgotten" in found["close"]
    assert len(found) == 2


def test_failures_to_open_and_close_are_found_and_settings_are_errors_at_once() -> None:
    class NoOpen:
        def open(self, context: PluginContext) -> None:
            raise OSError("no such model")

        def process(self, frame: AudioFrame) -> None: ...

    class NoClose:
        def process(self, frame: AudioFrame) -> None: ...

        def close(self) -> None:
            raise ValueError("twice")

    assert set(failed_checks(NoOpen)) == set(CHECKS)
    assert set(failed_checks(NoClose).values()) == {"close raised ValueError: twice"}
    with pytest.raises(PluginConfigError, match=r"config\.gain_db"):
        check_conformance("gain", {"gain_db": 99})
    with pytest.raises(UnknownPluginError, match="no plugin 'nope'"):
        assert_conforms("nope")


def test_a_coroutine_is_a_tap() -> None:
    heard: list[int] = []

    async def note(frame: AudioFrame) -> None:
        await asyncio.sleep(0)
        heard.append(frame.timestamp)

    assert failed_checks(note) == {}
    assert heard


def test_assert_conforms_names_every_check_that_fails() -> None:
    with pytest.raises(ConformanceError, match="silence: expected silence") as caught:
        assert_conforms(hums)
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("samples", [0, 1, 96, 1599, 30_000])
def test_lags_are_measured_to_the_sample(samples: int) -> None:
    given = speech_like(4.0)
    late = np.concatenate((np.zeros(samples, np.int16), given))[: given.size]
    lag, likeness = measured_lag(given, late)
    assert lag == samples
    assert likeness > 0.4


def test_the_checks_run_outside_the_main_thread() -> None:
    seen: set[str] = set()

    def note(frame: AudioFrame) -> None:
        seen.add(threading.current_thread().name)

    assert failed_checks(note) == {}
    assert all(name.startswith("mixminus-conformance") for name in seen)


def test_frames_are_described_as_in_a_call() -> None:
    frames = list(frames_of(np.concatenate((np.zeros(320, np.int16), np.ones(330, np.int16)))))
    assert [frame.is_silence for frame in frames] == [True, False, False]
    assert [frame.timestamp for frame in frames] == [0, 200_000, 400_000]
    assert frames[2][10:].any() == np.False_
