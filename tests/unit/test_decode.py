"""Audio files: every format we name, and what is none."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.pipeline import AudioFileError, is_silent, load_audio, open_audio
from tests.signals import sine, sine_snr_db
from tests.support import ROOT

FORMATS = {
    "wav": ("wav", "pcm_s16le", 44_100),
    "flac": ("flac", "flac", 48_000),
    "ogg": ("ogg", "libopus", 48_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 48_000),
    "webm": ("webm", "libopus", 48_000),
}


def write_audio(path: Path, kind: str, seconds: float = 0.5, amplitude: float = 12_000.0) -> Path:
    container_format, codec, rate_hz = FORMATS[kind]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(
            format=stream.format.name,
            layout="stereo",
            rate=rate_hz,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        mono = sine(440, rate_hz, seconds, amplitude)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(mono, 2).reshape(1, -1), format="s16", layout="stereo"
        )
        frame.sample_rate = rate_hz
        for piece in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_becomes_pcm16k(kind: str, tmp_path: Path) -> None:
    # The name says nothing: the content does.
    pcm = load_audio(write_audio(tmp_path / "noname", kind))
    assert pcm.dtype == np.int16
    # Codecs that know no exact length end on a whole block of theirs.
    assert 8000 <= pcm.size <= 8000 + 2 * 1152
    steady = pcm[2000:6000]
    assert sine_snr_db(steady, 440, 16_000) >= (60 if kind in ("wav", "flac") else 20)
    assert not is_silent(pcm)


def test_lossless_samples_stay_where_they_are(tmp_path: Path) -> None:
    decoded = load_audio(write_audio(tmp_path / "a.wav", "wav"))
    expected = sine(440, 16_000, 0.5, 12_000.0)
    assert decoded.size == expected.size
    assert np.abs(decoded[100:-100].astype(int) - expected[100:-100]).max() <= 24


def test_iterating_gives_whole_frames_and_silence_at_the_end(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", "flac", seconds=0.11)
    with open_audio(path) as decoder:
        frames = list(decoder)
    assert decoder.format_name == "flac"
    assert [frame.shape for frame in frames] == [(FRAME_SAMPLES,)] * 6
    np.testing.assert_array_equal(np.concatenate(frames)[:1760], load_audio(path))
    assert not frames[-1][1760 - 5 * FRAME_SAMPLES :].any()
    frames[0][:] = 0  # ours to write on


def test_the_repository_speech_file_is_what_its_readme_says() -> None:
    pcm = load_audio(ROOT / "tests/data/speech.wav")
    assert 8 <= pcm.size / 16_000 <= 12
    peak_dbfs = 20 * np.log10(np.abs(pcm.astype(int)).max() / 32768)
    assert -6.5 <= peak_dbfs <= -5.5


def test_a_long_file_stops_at_the_cap_and_says_so(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "long.flac", "flac", seconds=3)
    with open_audio(path, max_seconds=1.0) as decoder:
        assert sum(chunk.size for chunk in decoder.chunks()) == 16_000
        assert decoder.truncated
    with open_audio(path, max_seconds=3.0) as decoder:
        assert sum(chunk.size for chunk in decoder.chunks()) == 48_000
        assert not decoder.truncated


def test_a_silent_file_is_valid_and_can_be_told(tmp_path: Path) -> None:
    silent = load_audio(write_audio(tmp_path / "silent.wav", "wav", amplitude=0))
    assert silent.size == 8000
    assert is_silent(silent)
    assert is_silent(np.empty(0, np.int16))
    assert not is_silent(np.array([0, -32768], np.int16))


BAD: dict[str, bytes] = {
    "text": b"hello, this is no audio\n",
    "text, an ffconcat script": b"ffconcat version 1.0\nfile secret.wav\n",
    "text, a playlist": b"#EXTM3U\nhttp://127.0.0.1/x.ts\n",
    "an empty file": b"",
    "a broken wav file": b"RIFF\x10\0\0\0WAVEjunkjunkjunk",
    "a broken mp3 file": b"ID3\x03" + bytes(200),
    "a broken ogg file": b"OggS" + bytes(100),
    "a broken flac file": b"fLaC" + bytes(100),
    "a broken m4a file": b"\0\0\0\x18ftypM4A " + bytes(100),
    "a broken webm file": b"\x1a\x45\xdf\xa3" + bytes(100),
    "a file that begins with 00 00 00 00": bytes(100),
}


@pytest.mark.parametrize("came", BAD)
def test_what_is_no_audio_is_refused_in_one_line(came: str, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(BAD[came])
    with pytest.raises(AudioFileError) as caught:
        load_audio(path)
    message = str(caught.value)
    assert "expected wav, flac, ogg, mp3, m4a or webm audio, got" in message
    assert message.endswith(came.split(",")[0])
    assert str(path) in message
    assert "\n" not in message


def test_a_script_cannot_reach_other_files_under_a_forced_format(tmp_path: Path) -> None:
    write_audio(tmp_path / "secret.wav", "wav")
    for head in (b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC"):
        path = tmp_path / "x.wav"
        path.write_bytes(head + b"\nffconcat version 1.0\nfile secret.wav\n")
        with pytest.raises(AudioFileError):
            load_audio(path)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="no file of that name"):
        load_audio(tmp_path / "nothing.wav")
    with pytest.raises(AudioFileError, match="a directory"):
        load_audio(tmp_path)
    with pytest.raises(AudioFileError, match="no file of that name"):
        load_audio("concat:a.wav|b.wav")


def test_a_file_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", "wav")
    path.write_bytes(path.read_bytes()[: 44 + 44_100])
    assert 3900 <= load_audio(path).size <= 4100
