"""Prompts: fetched once for each name, decoded whatever they are, refused with the right code."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from mixminus.control.graph.requests_common import MediaInfo
from mixminus.control.service.guard import AddressRefusedError
from mixminus.control.service.ivr.prompts import (
    DOWNLOAD_FAILED,
    INVALID_FORMAT,
    PLAY_FAILED,
    PromptError,
    PromptLibrary,
    decode_prompt,
)
from mixminus.media.pcm import Pcm
from tests.hosted import Files, infos
from tests.signals import sine, sine_snr_db
from tests.support import eventually


def wav(pcm: Pcm, rate_hz: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes(np.repeat(pcm, channels).astype("<i2").tobytes())
    return file.getvalue()


def flac(pcm: Pcm) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


async def test_the_documented_format_comes_out_sample_for_sample() -> None:
    pcm = sine(440, 16_000, 0.5)
    library = PromptLibrary(Files(a=wav(pcm)))
    got = await library.get("app", *infos("a"))
    np.testing.assert_array_equal(got, pcm)
    with pytest.raises(ValueError, match="read-only"):
        got[0] = 1


def test_other_rates_channels_and_formats_are_resampled() -> None:
    for data in (wav(sine(440, 48_000, 0.5), 48_000, 2), flac(sine(440, 16_000, 0.5))):
        pcm = decode_prompt(data)
        assert pcm.size == 8000
        assert sine_snr_db(pcm[400:-400], 440, 16_000) > 40


async def test_a_resource_is_fetched_once_and_what_has_no_name_each_time() -> None:
    files = Files(a=wav(sine(440, 16_000, 0.1)), b=wav(sine(880, 16_000, 0.1)))
    library = PromptLibrary(files)
    one, two = MediaInfo("a", "same"), MediaInfo("b", "same")
    first = await library.get("app", one)
    assert await library.get("app", two) is first
    assert files.fetched == ["a"]
    await library.get("app", MediaInfo("a", "new"))
    assert files.fetched == ["a", "a"]
    await library.get("app", MediaInfo("a", None))
    await library.get("app", MediaInfo("a", None))
    assert files.fetched == ["a"] * 4


async def test_applications_do_not_share_names() -> None:
    files = Files(a=wav(sine(440, 16_000, 0.1)), b=wav(sine(880, 16_000, 0.1)))
    library = PromptLibrary(files)
    mine = await library.of("mine").get(MediaInfo("a", "welcome"))
    yours = await library.of("yours").get(MediaInfo("b", "welcome"))
    assert files.fetched == ["a", "b"]
    assert not np.array_equal(mine, yours)


async def test_many_who_ask_at_once_are_one_fetch_and_none_stops_the_others() -> None:
    files = Files(a=wav(sine(440, 16_000, 0.1)))
    files.gate.clear()
    library = PromptLibrary(files)
    tasks = [asyncio.create_task(library.get("app", *infos("a"))) for _ in range(10)]
    await eventually(lambda: files.fetched)
    tasks[0].cancel()
    files.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(result is results[1] for result in results[1:])
    assert files.fetched == ["a"]


async def test_a_failed_fetch_is_not_kept() -> None:
    files = Files()
    library = PromptLibrary(files)
    with pytest.raises(PromptError):
        await library.get("app", *infos("a"))
    files.files["a"] = wav(sine(440, 16_000, 0.1))
    assert (await library.get("app", *infos("a"))).size == 1600


async def test_the_longest_unused_makes_room() -> None:
    files = Files(**{name: wav(sine(440, 16_000, 0.1)) for name in "abc"})
    library = PromptLibrary(files, max_cache_bytes=2 * 3200)
    for name in "abac":
        await library.get("app", *infos(name))
    assert library.cached_bytes == 2 * 3200
    await library.get("app", *infos("a"))
    assert files.fetched == ["a", "b", "c"]
    await library.get("app", *infos("b"))
    assert files.fetched == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not found</html>",
        b"\x00" * 1000,
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
        wav(np.zeros(0, np.int16)),
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\nhttps://10.0.0.1/a.ts\n",
    ],
)
async def test_what_is_no_audio_is_8535(data: bytes) -> None:
    library = PromptLibrary(Files(a=data))
    with pytest.raises(PromptError, match="file format is invalid") as caught:
        await library.get("app", *infos("a"))
    assert caught.value.subcode == INVALID_FORMAT
    assert "/tmp" not in caught.value.message


def test_audio_that_unpacks_to_hours_is_8535() -> None:
    with pytest.raises(PromptError, match="at most 600 s") as caught:
        decode_prompt(flac(np.zeros(601 * 16_000, np.int16)))
    assert caught.value.subcode == INVALID_FORMAT


async def test_what_cannot_be_had_is_8536() -> None:
    with pytest.raises(PromptError, match="could not be downloaded: status 404") as caught:
        await PromptLibrary(Files()).get("app", *infos("a"))
    assert caught.value.subcode == DOWNLOAD_FAILED

    class Refusing:
        async def fetch(self, url: str, limit_bytes: int, timeout_s: float) -> bytes:
            raise AddressRefusedError("the host 'inside' is not on a public network")

    with pytest.raises(PromptError, match="not on a public network") as caught:
        await PromptLibrary(Refusing()).get("app", *infos("a", cached=False))
    assert caught.value.subcode == DOWNLOAD_FAILED


async def test_a_repeated_prompt_is_fetched_once_and_comes_as_often() -> None:
    files = Files(a=wav(sine(440, 16_000, 0.1)), b=wav(sine(880, 16_000, 0.2)))
    prompts = PromptLibrary(files).of("app")
    got = await prompts.get_all(infos("a", "b", "a", cached=False))
    assert [pcm.size for pcm in got] == [1600, 3200, 1600]
    assert files.fetched == ["a", "b"]


async def test_prompts_that_are_too_long_together_are_refused() -> None:
    hour = flac(np.zeros(590 * 16_000, np.int16))
    prompts = PromptLibrary(Files(a=hour, b=hour, c=hour), max_cache_bytes=1).of("app")
    with pytest.raises(PromptError, match="longer than 1200 s") as caught:
        await prompts.get_all(infos("a", "b", "c"))
    assert caught.value.subcode == PLAY_FAILED


async def test_what_is_fetched_ahead_is_there_and_a_failure_is_the_plays() -> None:
    files = Files(a=wav(sine(440, 16_000, 0.1)))
    prompts = PromptLibrary(files).of("app")
    await prompts.prefetch(*infos("a"))
    await prompts.prefetch(*infos("missing"))
    await prompts.prefetch(MediaInfo("a", None))
    await prompts.get(*infos("a"))
    assert files.fetched == ["a", "missing"]


async def test_close_stops_what_is_fetched() -> None:
    files = Files()
    files.gate.clear()
    library = PromptLibrary(files)
    waiting = asyncio.create_task(library.get("app", *infos("a")))
    await eventually(lambda: files.fetched)
    await library.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await library.close()


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    decode_prompt(wav(sine(440, 16_000, 0.1)))
    with pytest.raises(PromptError):
        decode_prompt(b"no audio")
    assert list(tmp_path.iterdir()) == []
