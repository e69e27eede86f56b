"""The built-in plugins that listen: who speaks, which keys, how loud, what was said, recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media.dtmf import KEYS, tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import load_audio
from mixminus.media.plugins.builtin import transcript
from mixminus.media.plugins.builtin.speech import SileroDetector, SpeechDetector, WebRtcDetector
from mixminus.media.plugins.chain import open_chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import Stream
from mixminus.media.plugins.errors import PluginError
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.plugins.probes import frames_of, silence
from tests.plugin_kit import mixed, plugged, speech, white_noise
from tests.signals import sine
from tests.support import ROOT

LABELS = [
    tuple(float(time_s) for time_s in line.split("\t")[:2])
    for line in (ROOT / "tests/data/speech_labels.txt").read_text().splitlines()
]


def labelled_frames() -> NDArray[np.bool_]:
    """Which frames of the test speech speak, as its label track says."""
    speaks = np.zeros(speech().size // FRAME_SAMPLES, np.bool_)
    for start_s, end_s in LABELS:
        speaks[round(start_s * 50) : round(end_s * 50)] = True
    return speaks


def said_of(detector: SpeechDetector, pcm: Pcm) -> NDArray[np.bool_]:
    return np.array([detector.is_speech(frame) for frame in pcm.reshape(-1, FRAME_SAMPLES)])


# Voice activity.


@pytest.mark.parametrize("noise_rms", [0.0, 150.0])  # A room at 20 dB below the voice.
@pytest.mark.parametrize("engine", ["webrtc", "silero"])
def test_detectors_agree_with_the_label_track(engine: str, noise_rms: float) -> None:
    detector = WebRtcDetector(2) if engine == "webrtc" else SileroDetector(0.5)
    given = mixed(speech(), white_noise(speech(), noise_rms))
    said, labelled = said_of(detector, given), labelled_frames()
    assert np.mean(said == labelled) >= 0.88
    assert np.mean(said[labelled]) >= 0.92


def test_noise_is_no_speech_and_hum_is_none_to_silero() -> None:
    noise = white_noise(silence(250), 1000.0)
    assert np.mean(said_of(WebRtcDetector(2), noise)) < 0.03
    hum = np.sign(sine(100, SAMPLE_RATE_HZ, 5.0)) * np.int16(1000)
    assert np.mean(said_of(SileroDetector(0.5), hum)) == 0.0


@pytest.mark.parametrize("engine", ["webrtc", "silero"])
def test_each_sentence_begins_and_ends_once(engine: str) -> None:
    given = np.concatenate((silence(25), speech(), silence(25)))
    told: list[tuple[float, bool]] = []
    with plugged("voice_activity", engine=engine, hangover_ms=100) as run:
        for index, frame in enumerate(frames_of(given)):
            before = len(run.said("speech"))
            run.process(frame)
            told += [(index * 0.02, value) for value in run.said("speech")[before:]]
    assert [value for _, value in told] == [True, False] * (len(told) // 2)
    starts = [at for at, value in told if value]
    ends = [at for at, value in told if not value]
    # Three sentences with pauses of 0.3 s between; each is told within 0.2 s of its label.
    for sentence_s in (LABELS[0][0], LABELS[3][0], LABELS[4][0]):
        assert min(abs(at - 0.5 - sentence_s) for at in starts) < 0.2
    assert ends[-1] - 0.5 - LABELS[-1][1] == pytest.approx(0.2, abs=0.15)


def test_short_noises_and_pauses_are_not_told() -> None:
    given = np.concatenate((silence(10), speech()[: 3 * SAMPLE_RATE_HZ], silence(60)))
    with plugged("voice_activity", start_ms=100, hangover_ms=1000) as run:
        run.hear(given)
    assert run.said("speech") == [True, False]
    with plugged("voice_activity") as run:
        run.hear(np.concatenate((silence(50), white_noise(silence(100), 1000.0))))
    assert run.said("speech") == []


# DTMF.


def test_every_key_is_found_once_and_silence_and_speech_are_none() -> None:
    pause = silence(4)
    tones = [part for key in KEYS for part in (tone_pcm(key, 80), pause)]
    with plugged("dtmf") as run:
        run.hear(np.concatenate((silence(100), *tones)))
        run.hear(speech())
        run.hear(silence(100))
    assert run.said("tone") == list(KEYS)


# Level meter.


def test_levels_are_those_of_the_sound() -> None:
    given = np.concatenate((sine(1000, SAMPLE_RATE_HZ, 0.4, 32_768 / 10), silence(20)))
    given[100] = 32_767
    with plugged("level_meter", interval_ms=200) as run:
        assert np.array_equal(run.hear(given), given)
    levels = run.said("level")
    assert len(levels) == 4
    assert levels[1]["rms_dbov"] == pytest.approx(-23.0, abs=0.1)
    assert levels[1]["peak_dbov"] == pytest.approx(-20.0, abs=0.1)
    assert [level["clipped_samples"] for level in levels] == [1, 0, 0, 0]
    assert levels[3] == {"rms_dbov": -127.0, "peak_dbov": -127.0, "clipped_samples": 0}


# Transcript.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the last words are waited for."""
    monkeypatch.setattr(transcript, "LAST_WORDS_S", 300.0)


@pytest.mark.slow  # Ten seconds of free speech.
@pytest.mark.usefixtures("patient")
def test_what_is_said_is_told_sentence_by_sentence() -> None:
    with plugged("transcript") as run:
        assert np.array_equal(run.hear(speech()), speech())
    said = run.said("transcript")
    assert len(said) == 3
    # A recogniser of the nineties on a synthetic voice: some words are right.
    words = " ".join(utterance["text"] for utterance in said).split()
    assert {"on", "real", "boxing", "if", "these", "is", "listening"} <= set(words)
    for utterance, (start_s, end_s) in zip(
        said, [(0.0, LABELS[2][1]), LABELS[3], (LABELS[4][0], LABELS[5][1])], strict=True
    ):
        assert utterance["start_ms"] == pytest.approx(start_s * 1000, abs=250)
        assert utterance["end_ms"] == pytest.approx(end_s * 1000, abs=250)


@pytest.mark.usefixtures("patient")
def test_the_last_words_are_told_when_the_call_ends(tmp_path: Path) -> None:
    grammar = tmp_path / "bot.gram"
    grammar.write_text("#JSGF V1.0;\ngrammar bot;\npublic <s> = the bot is listening;\n")
    words = speech()[int(8.2 * SAMPLE_RATE_HZ) : int(9.42 * SAMPLE_RATE_HZ) // 320 * 320]
    with plugged("transcript", grammar_file=str(grammar), pause_ms=1000) as run:
        run.hear(words)
        assert run.said("transcript") == []
    assert [u["text"] for u in run.said("transcript")] == ["the bot is listening"]


def test_a_model_that_cannot_be_read_is_an_error_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "words.dict").write_text("hello HH AH L OW\n")
    config = {
        "acoustic_model_dir": str(tmp_path),
        "dictionary_file": str(tmp_path / "words.dict"),
    }
    with pytest.raises(PluginError, match="the recogniser did not start"):
        open_chain([PluginSpec("transcript", config=config)])


def test_a_recogniser_that_dies_is_reported_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text("import sys\nprint('{}', flush=True)\nsys.stdin.close()\nsys.exit(3)\n")
    monkeypatch.setattr(transcript, "CHILD", dying)
    events: list[PluginEvent] = []
    chain = open_chain([PluginSpec("transcript")], on_event=events.append)
    # What the pipe still takes is not yet an error: it holds some hundred frames.
    for frame in frames_of(silence(1000)):
        assert np.array_equal(chain.process(frame), frame)
    chain.close()
    assert "the recogniser ended with 3" in next(e.detail for e in events if e.kind == "error")
    assert any(e.kind == "disabled" for e in events)


# Recorder.


@pytest.mark.parametrize(
    ("stream", "track"), [("speaker", "speaker-7"), ("mix", "mixed"), ("own", "own")]
)
def test_a_stream_is_recorded_to_the_sample(stream: Stream, track: str, tmp_path: Path) -> None:
    with plugged("recorder", stream=stream, directory=str(tmp_path)) as run:
        run.hear(speech())
    (recorded,) = run.said("recorded")
    directory = Path(recorded["directory"])
    assert directory.parent == tmp_path
    assert recorded["duration_s"] == pytest.approx(speech().size / SAMPLE_RATE_HZ)
    assert np.array_equal(load_audio(directory / f"{track}.wav"), speech())
    segments = [
        json.loads(line) for line in (directory / "segments.jsonl").read_text().splitlines()
    ]
    assert bool(segments) == (stream == "speaker")


def test_what_the_gate_shuts_out_is_not_stored(tmp_path: Path) -> None:
    opened = 0

    def may_store(timestamp: int) -> bool:
        return bool(opened) and timestamp >= 0

    given = speech()[: 4 * SAMPLE_RATE_HZ]
    with plugged("recorder", stream="mix", directory=str(tmp_path), may_store=may_store) as run:
        for index, frame in enumerate(frames_of(given)):
            opened = 50 <= index < 100
            run.process(frame)
    (recorded,) = run.said("recorded")
    assert recorded["duration_s"] == pytest.approx(1.0)
    stored = load_audio(Path(recorded["directory"]) / "mixed.wav")
    assert np.array_equal(stored, given[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ])


def test_a_shut_gate_leaves_nothing_behind_and_none_is_refused(tmp_path: Path) -> None:
    with plugged("recorder", directory=str(tmp_path), may_store=lambda timestamp: False) as run:
        run.hear(speech()[:SAMPLE_RATE_HZ])
    assert list(tmp_path.iterdir()) == []
    assert run.said("recorded") == []
    spec = PluginSpec("recorder", config={"directory": str(tmp_path)})
    with pytest.raises(PluginError, match="no recording gate"):
        open_chain([spec])


@pytest.mark.slow  # A megabyte of speech, put on the disk block by block.
def test_a_full_quota_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    config: dict[str, Any] = {"directory": str(tmp_path), "quota_mb": 1}
    given = np.tile(speech(), 5)
    with plugged("recorder", stream="mix", **config) as run:
        assert np.array_equal(run.hear(given), given)
    (recorded,) = run.said("recorded")
    assert recorded["reason"] == "quota"
    assert 20.0 < recorded["duration_s"] < given.size / SAMPLE_RATE_HZ
    stored = load_audio(Path(recorded["directory"]) / "mixed.wav")
    assert np.array_equal(stored, given[: stored.size])


def test_other_settings_begin_another_recording(tmp_path: Path) -> None:
    with plugged("recorder", stream="mix", directory=str(tmp_path)) as run:
        run.hear(speech()[:SAMPLE_RATE_HZ])
        run.set(format="flac")
        run.hear(speech()[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ])
    first, second = run.said("recorded")
    assert (first["reason"], second["reason"]) == ("stopped", "callEnded")
    stored = load_audio(Path(second["directory"]) / "mixed.flac")
    assert np.array_equal(stored, speech()[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ])
