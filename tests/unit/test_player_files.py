"""Files in the player: what is wrong with one is one clear error, and the call goes on."""

from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from mixminus.media.pipeline import AudioFileError, load_audio
from mixminus.media.player import Player
from mixminus.media.player.load import PlayerSource
from tests.player_kit import Stage, ramp, stage
from tests.signals import sine, sine_snr_db
from tests.support import ROOT
from tests.unit.test_decode import write_audio

SPEECH = ROOT / "tests/data/speech.wav"


def wav(
    body: bytes = b"\x01\x02" * 4000,
    *,
    kind: int = 1,
    channels: int = 1,
    rate_hz: int = 16_000,
    align: int | None = None,
    bits: int = 16,
    data_bytes: int | None = None,
    riff_bytes: int | None = None,
    format_bytes: int = 16,
) -> bytes:
    """A WAV file whose header says what it is told to."""
    data_bytes = len(body) if data_bytes is None else data_bytes
    return (
        struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            36 + len(body) if riff_bytes is None else riff_bytes,
            b"WAVE",
            b"fmt ",
            format_bytes,
            kind,
            channels,
            rate_hz,
            rate_hz * channels * bits // 8 & 0xFFFF_FFFF,
            channels * bits // 8 & 0xFFFF if align is None else align,
            bits,
            b"data",
            data_bytes,
        )
        + body
    )


LIES_THAT_HURT = {
    "no channels": wav(channels=0),
    "255 channels": wav(channels=255),
    "65535 channels": wav(channels=65_535),
    "0 Hz": wav(rate_hz=0),
    "1 Hz": wav(rate_hz=1),
    "4 GHz": wav(rate_hz=4_000_000_000),
    "0 bits": wav(bits=0),
    "255 bits": wav(bits=255),
    "an unknown codec": wav(kind=0x7777),
    "mp3 inside that is none": wav(kind=0x55),
    "a header of 2 GB": wav(format_bytes=0x7FFF_FFFF),
    "no data": wav(b""),
}

LIES_TO_LIVE_WITH = {
    "more data than there is": wav(data_bytes=0xFFFF_FFF0),
    "no data where there is some": wav(data_bytes=0),
    "half a sample at the end": wav(b"\x01\x02" * 4000 + b"\x03"),
    "blocks of 7 bytes": wav(align=7),
    "an empty RIFF": wav(riff_bytes=0),
}

NOT_AUDIO = {
    "a playlist": b"#EXTM3U\nhttp://127.0.0.1:1/x.ts\n",
    "an ffconcat script": b"ffconcat version 1.0\nfile speech.wav\n",
    "a pls": b"[playlist]\nFile1=http://127.0.0.1:1/\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "zeros": bytes(1000),
    "nothing": b"",
}


@pytest.mark.parametrize("lie", LIES_THAT_HURT)
async def test_a_wav_header_that_lies_is_one_error_and_the_call_lives(
    lie: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "prompt.wav"
    path.write_bytes(LIES_THAT_HURT[lie])
    caplog.set_level(logging.WARNING)
    async with stage() as it:
        message = await _refused(it, path)
        assert message.startswith(f"{path}: expected wav, flac, ogg, mp3, m4a or webm audio, got")
        assert len([r for r in caplog.records if r.name.startswith("mixminus")]) == 1
        assert await _is_heard(it)
        # The same as bytes.
        assert "expected wav" in await _refused(it, LIES_THAT_HURT[lie])
        assert await _is_heard(it)


@pytest.mark.parametrize("lie", LIES_TO_LIVE_WITH)
async def test_a_wav_header_that_is_only_wrong_about_lengths_is_played(lie: str) -> None:
    async with stage() as it:
        clip = it.player.enqueue(LIES_TO_LIVE_WITH[lie])
        await it.until(clip.done.done)
        assert await clip.done == "played"
        assert clip.position_samples == 4000
        assert it.said.tolist() == [0x0201] * 4000


@pytest.mark.parametrize("what", NOT_AUDIO)
async def test_what_is_no_audio_is_refused_whatever_its_name(what: str, tmp_path: Path) -> None:
    path = tmp_path / "prompt.wav"
    path.write_bytes(NOT_AUDIO[what])
    async with stage() as it:
        assert "expected wav, flac, ogg, mp3, m4a or webm audio" in await _refused(it, path)
        assert await _is_heard(it)


@pytest.mark.parametrize(
    "name",
    [
        f"concat:{SPEECH}|{SPEECH}",
        f"file:{SPEECH}",
        f"subfile,,start,0,end,100,,:{SPEECH}",
        "http://127.0.0.1:1/prompt.wav",
        "data:audio/wav;base64,UklGRg==",
        "async:cache:prompt.wav",
        "pipe:0",
        "prompt\0.wav",
        "x" * 5000,
    ],
)
async def test_a_name_is_a_file_and_no_protocol(name: str) -> None:
    async with stage() as it:
        message = await _refused(it, name)
        assert "no file of that name" in message or "name too long" in message
        assert await _is_heard(it)


async def test_directories_and_devices_are_refused(tmp_path: Path) -> None:
    async with stage() as it:
        assert "a directory" in await _refused(it, tmp_path)
        assert "no file of that name" in await _refused(it, "/dev/zero")
        assert await _is_heard(it)


async def test_a_file_without_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.wav"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=10, width=16, height=16, pix_fmt="yuv420p")
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    async with stage() as it:
        assert "a webm file without audio" in await _refused(it, path)
        assert await _is_heard(it)


async def test_a_small_file_of_hours_is_refused_and_costs_no_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.flac"
    write_audio(bomb, "flac", seconds=20, amplitude=0)
    assert bomb.stat().st_size < 20 * 16_000 // 10
    async with stage() as it:
        it.player = Player(it.session.audio, max_file_s=1.0)
        message = await _refused(it, bomb)
        assert message == f"{bomb}: expected at most 1 s of audio, got more"
        assert await _is_heard(it)


@pytest.mark.parametrize("given", ["path", "text", "bytes"])
async def test_a_file_is_heard_from_its_first_sample_to_its_last(given: str) -> None:
    sources: dict[str, PlayerSource] = {
        "path": SPEECH,
        "text": str(SPEECH),
        "bytes": SPEECH.read_bytes(),
    }
    source = sources[given]
    async with stage() as it:
        clip = it.player.enqueue(source)
        assert clip.name.endswith("speech.wav") or given == "bytes"
        assert it.player.remaining_ms == float("inf"), "not known until it is read"
        await it.until(clip.done.done)
        expected = load_audio(SPEECH)
        assert clip.position_samples == expected.size
        first = np.flatnonzero(expected)[0]
        last = np.flatnonzero(expected)[-1]
        np.testing.assert_array_equal(it.said, expected[first : last + 1])


async def test_raw_samples_of_another_rate_are_resampled_in_place() -> None:
    async with stage() as it:
        clip = it.player.enqueue(sine(440, 24_000, 0.5), rate_hz=24_000)
        await it.until(clip.done.done)
        assert 8_000 <= clip.position_samples <= 8_033
        assert sine_snr_db(it.said[500:7_000], 440, 16_000) >= 60


async def test_raw_samples_that_look_like_mpeg_are_samples() -> None:
    async with stage() as it:
        said = np.full(800, -1025, np.int16)  # FF FB: the first bytes of an MPEG frame
        clip = it.player.enqueue(said.tobytes())
        await it.until(clip.done.done)
        np.testing.assert_array_equal(it.said, said)


async def test_a_bad_file_in_the_middle_of_a_row_leaves_no_hole(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"hello")
    async with stage() as it:
        first = it.player.enqueue(ramp(4000))
        broken = it.player.enqueue(bad)
        last = it.player.enqueue(ramp(1000))
        await it.until(last.done.done)
        assert await first.done == "played"
        with pytest.raises(AudioFileError):
            await broken.done
        np.testing.assert_array_equal(it.said, np.concatenate((ramp(4000), ramp(1000))))


async def test_a_file_that_is_cleared_while_it_is_read_is_never_heard() -> None:
    async with stage() as it:
        clip = it.player.enqueue(SPEECH)
        it.player.clear()
        assert await clip.done == "cleared"
        await it.tick(5)
        assert not it.pcm.any()
        assert await _is_heard(it)


async def _refused(it: Stage, source: str | Path | bytes) -> str:
    playing = asyncio.create_task(it.player.play(source))
    await it.until(playing.done)
    with pytest.raises(AudioFileError) as caught:
        await playing
    message = str(caught.value)
    assert "\n" not in message
    assert not it.player.is_playing
    return message


async def _is_heard(it: Stage) -> bool:
    it.heard.clear()
    clip = it.player.enqueue(ramp(400))
    await it.until(clip.done.done)
    return bool(np.array_equal(it.said, ramp(400)))
