"""The player keeps a ring filled in order; the WAV writer's file is readable at every moment."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import FilePlayer, WavWriter
from mixminus.media.ring import FrameRing
from tests.manual import ManualPlatform


def ramp(samples: int) -> Pcm:
    return np.arange(1, samples + 1).astype(np.int16)


def play(player: FilePlayer, ring: FrameRing, platform: ManualPlatform, frames: int) -> Pcm:
    heard = []
    for _ in range(frames):
        frame = ring.read()
        if frame is None:
            break
        heard.append(np.asarray(frame))
        platform.tick()
    return np.concatenate(heard)


async def test_every_sample_is_played_once_then_silence_to_the_frame_end() -> None:
    platform, ring = ManualPlatform(), FrameRing(16)
    pcm = ramp(40 * FRAME_SAMPLES + 17)
    player = FilePlayer(platform, ring, pcm)
    heard = play(player, ring, platform, 1000)
    np.testing.assert_array_equal(heard[: pcm.size], pcm)
    assert heard.size == 41 * FRAME_SAMPLES
    assert not heard[pcm.size :].any()
    assert player.done.is_set()
    assert player.written_frames == 41


async def test_a_loop_has_no_gap_and_no_end() -> None:
    platform, ring = ManualPlatform(), FrameRing(16)
    pcm = ramp(777)
    player = FilePlayer(platform, ring, pcm, loop=True)
    heard = play(player, ring, platform, 50)
    np.testing.assert_array_equal(heard, np.resize(pcm, 50 * FRAME_SAMPLES))
    assert not player.done.is_set()
    assert player.loops >= 20


async def test_the_ring_is_kept_filled_but_never_lapped() -> None:
    platform, ring = ManualPlatform(), FrameRing(16)
    player = FilePlayer(platform, ring, ramp(100 * FRAME_SAMPLES), depth_frames=500)
    assert ring.depth_frames == 12
    platform.tick(50)
    assert ring.depth_frames == 12
    assert ring.counters().skipped == 0
    player.close()
    ring.read()
    platform.tick()
    assert ring.depth_frames == 11
    assert player.done.is_set()
    player.close()


async def test_it_is_done_only_when_the_last_frame_was_taken() -> None:
    platform, ring = ManualPlatform(), FrameRing(16)
    player = FilePlayer(platform, ring, ramp(FRAME_SAMPLES))
    platform.tick(3)
    assert not player.done.is_set()
    ring.read()
    platform.tick()
    assert player.done.is_set()


async def test_nothing_to_play_is_refused() -> None:
    platform = ManualPlatform()
    with pytest.raises(ValueError, match="samples"):
        FilePlayer(platform, FrameRing(16), np.empty(0, np.int16))
    with pytest.raises(ValueError, match="depth_frames"):
        FilePlayer(platform, FrameRing(16), ramp(5), depth_frames=0)


def read_wav(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_the_file_is_valid_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    pcm = ramp(2 * 16_000 + 5)
    with WavWriter(path) as writer:
        assert read_wav(path).size == 0
        for at in range(0, pcm.size, FRAME_SAMPLES):
            writer.write(pcm[at : at + FRAME_SAMPLES])
            on_disk = read_wav(path)
            np.testing.assert_array_equal(on_disk, pcm[: on_disk.size])
            assert writer.samples - on_disk.size < 16_000
    np.testing.assert_array_equal(read_wav(path), pcm)
    writer.close()


def test_silence_keeps_the_timeline(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with WavWriter(path) as writer:
        writer.write(ramp(3))
        writer.write_silence(40_000)
        writer.write(ramp(2))
    pcm = read_wav(path)
    assert pcm.size == 40_005
    np.testing.assert_array_equal(pcm[-2:], ramp(2))
    assert not pcm[3:-2].any()


def test_other_samples_are_refused(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav") as writer, pytest.raises(ValueError, match="int16"):
        writer.write(np.zeros(4, np.float32))
