"""A bot that stalls: holes that are not there the second time, and delay that is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.session import MediaSession, SessionClosedError
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, settle
from tests.signals import sine


class Echo:
    """A bot that answers each frame with itself, and whose Python stands still when told."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.session.attach(FakeTransport())
        self.said: list[Pcm] = []
        self.heard: list[AudioFrame] = []
        self._bot = asyncio.create_task(self._echo())

    async def _echo(self) -> None:
        with suppress(SessionClosedError):
            async for frame in self.session.audio:
                await self.session.audio.send(frame)

    async def run(self, words: Pcm, *, stalled: bool = False) -> None:
        """Say *words* to the bot, a frame a tick; *stalled*: its loop gets no turn meanwhile."""
        for frame in words.reshape(-1, FRAME_SAMPLES):
            self.said.append(frame)
            self.session.legs.link.source.write(frame)
            if stalled:
                self.platform._engine.run_ticks(1)
            else:
                self.platform.tick()
                await settle()
            while (heard := self.session.legs.link.render.read()) is not None:
                self.heard.append(heard)

    async def close(self) -> None:
        await self.session.close()
        await self._bot

    @property
    def concealed(self) -> int:
        return self.session.legs.application.counters().concealed

    def delay_frames(self) -> int:
        """By how much the echo is behind, over the last second."""
        said = np.concatenate(self.said).astype(np.float64)
        heard = np.concatenate([np.asarray(frame) for frame in self.heard[-50:]])
        last = heard.astype(np.float64)
        scores = [
            last @ said[said.size - last.size - lag : said.size - lag]
            for lag in range(0, 40 * FRAME_SAMPLES, FRAME_SAMPLES)
        ]
        return int(np.argmax(scores))


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    yield echo
    await echo.close()


def talk(seconds: float, seed: int = 1, room: float = 0.01) -> Pcm:
    """Noise in words of 300 to 700 ms with pauses of 120 to 300 ms, as speech has them.

    *room*: how loud the pauses are, against the words.
    """
    rng = np.random.default_rng(seed)
    frames: list[Pcm] = []
    while len(frames) < seconds * 50:
        for is_word in (True, False):
            for _ in range(int(rng.integers(15, 35) if is_word else rng.integers(6, 15))):
                loud = rng.integers(-6000, 6000, FRAME_SAMPLES)
                frames.append((loud if is_word else loud * room).astype(np.int16))
    return np.concatenate(frames[: round(seconds * 50)])


async def test_the_second_stall_of_60_ms_leaves_no_hole(echo: Echo) -> None:
    tone = sine(440, 16_000, 20.0)
    position = 0

    def words(frames: int) -> Pcm:
        nonlocal position
        start = position
        position += frames * FRAME_SAMPLES
        return tone[start:position]

    await echo.run(words(100))
    assert echo.concealed == 0
    await echo.run(words(3), stalled=True)
    await echo.run(words(50))
    first = echo.concealed
    assert first <= 3, "60 ms, faded"
    for _ in range(3):
        await echo.run(words(3), stalled=True)
        await echo.run(words(50))
    assert echo.concealed == first


@pytest.mark.parametrize("room", [0.01, 0.1], ids=["quiet room", "noisy room"])
async def test_delay_of_a_stall_is_given_back_within_5_s_and_no_speech_is_dropped(
    echo: Echo, room: float
) -> None:
    await echo.run(talk(3.0, 1, room))
    before = echo.delay_frames()
    await echo.run(talk(0.3, 2, room), stalled=True)
    await echo.run(talk(5.0, 3, room))
    assert echo.delay_frames() <= before + 1
    heard = {frame.tobytes() for frame in echo.heard}
    left_out = [frame for frame in echo.said if frame.tobytes() not in heard]
    assert left_out, "something had to go"
    loudest = max(int(np.abs(frame.astype(np.int32)).max()) for frame in left_out[:-2])
    assert loudest <= 6000 * room, "only pauses went"
    assert echo.session.audio.counters().unread == 0


async def test_a_live_sine_with_15_ms_of_jitter_has_no_hole_once_the_depth_is_found() -> None:
    """A bot that sends each 20 ms as they come, unevenly, and has no player to smooth that."""
    rng = np.random.default_rng(20261121)
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    session.attach(FakeTransport())
    one_period = sine(400, 16_000, 0.02)
    arrivals_ms = np.sort(np.arange(3000) * 20.0 + rng.uniform(-15, 15, 3000))
    concealed: list[int] = []
    sent = 0
    for tick in range(3000):
        while sent < arrivals_ms.size and arrivals_ms[sent] <= tick * 20:
            assert session.audio.send_nowait(one_period)
            sent += 1
        platform.tick()
        concealed.append(session.legs.application.counters().concealed)
    assert concealed[50] <= 3
    assert concealed[-1] == concealed[50]
    assert session.audio.counters().silence_unsent == 0
    await session.close()


def vowel(seconds: float) -> Pcm:
    """A voice that sings one vowel: 130 Hz and its harmonics, as formants shape them."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    parts = [(1, 0.5), (2, 0.3), (5, 0.4), (6, 0.25), (9, 0.2)]
    wave = sum(share * np.sin(2 * np.pi * 130 * n * time_s + n) for n, share in parts)
    return np.round(6000 * wave).astype(np.int16)


@pytest.mark.parametrize("sound", ["tone", "vowel"])
async def test_delay_is_given_back_in_a_sound_without_a_pause_and_without_a_click(
    echo: Echo, sound: str
) -> None:
    said = sine(440, 16_000, 9.0, 9000) if sound == "tone" else vowel(9.0)
    steepest = int(np.abs(np.diff(said.astype(np.int32))).max())
    await echo.run(said[: 100 * FRAME_SAMPLES])
    await echo.run(said[100 * FRAME_SAMPLES : 115 * FRAME_SAMPLES], stalled=True)
    assert echo.session.audio.unread_frames == 15
    audio = echo.session.audio
    await echo.run(said[115 * FRAME_SAMPLES : 365 * FRAME_SAMPLES])
    assert audio.waiting_frames + audio.unread_frames <= 2, "of 15, within 5 s"
    heard = np.concatenate([np.asarray(frame) for frame in echo.heard])
    after = heard[125 * FRAME_SAMPLES :].astype(np.int32)  # The stall itself is concealed.
    assert np.abs(np.diff(after)).max() <= 1.3 * steepest, "a click"
    assert np.abs(after).max() <= 1.1 * np.abs(said.astype(np.int32)).max()
