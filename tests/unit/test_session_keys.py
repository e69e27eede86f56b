"""Keys pressed at the far end: told by the transport, heard in the audio, each press once."""

from __future__ import annotations

import asyncio

import numpy as np

from mixminus.media.dtmf import tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.session import MediaSession
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, settle


class Caller:
    """A session and what the far end presses into it."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.transport = FakeTransport()
        self.session.attach(self.transport)
        self.heard: list[str] = []
        self.stop = self.session.audio.on_tone(self.heard.append)

    def tell(self, key: str) -> None:
        assert self.transport.on_tone is not None
        self.transport.on_tone(key)

    def say(self, pcm: Pcm, speaker: int | None = None) -> None:
        legs = self.session.legs
        leg = legs.link if speaker is None else legs.speakers[speaker]
        frames = -(-pcm.size // FRAME_SAMPLES)
        whole = np.zeros(frames * FRAME_SAMPLES, np.int16)
        whole[: pcm.size] = pcm
        for frame in whole.reshape(-1, FRAME_SAMPLES):
            leg.source.write(frame)
            self.platform.tick()

    def pause(self, seconds: float) -> None:
        self.say(np.zeros(round(16_000 * seconds), np.int16))


async def test_keys_of_the_transport_are_told_to_all_who_ask() -> None:
    caller = Caller()
    first, second = caller.session.audio.tones(), caller.session.audio.tones()
    for key in "12#":
        caller.tell(key)
    second.close()
    caller.tell("4")
    reading = asyncio.create_task(_all(first))
    await settle()
    await caller.session.close()
    assert await asyncio.wait_for(reading, 5) == ["1", "2", "#", "4"]
    assert [key async for key in second] == ["1", "2", "#"]
    assert caller.heard == ["1", "2", "#", "4"]
    assert [key async for key in caller.session.audio.tones()] == [], "of a session that is over"


async def _all(tones: object) -> list[str]:
    return [key async for key in tones]  # type: ignore[attr-defined]


async def test_a_callback_that_was_taken_off_hears_no_more() -> None:
    caller = Caller()
    caller.tell("1")
    caller.stop()
    caller.stop()
    caller.tell("2")
    assert caller.heard == ["1"]
    await caller.session.close()


async def test_keys_in_the_audio_are_heard_when_asked_for() -> None:
    caller = Caller()
    caller.say(tone_pcm("7", 100))
    caller.pause(0.1)
    assert caller.heard == []
    caller.session.audio.detect_tones = True
    for key in "19*":
        caller.say(tone_pcm(key, 80))
        caller.pause(0.08)
    assert caller.heard == ["1", "9", "*"]
    caller.session.audio.detect_tones = False
    caller.say(tone_pcm("3", 100))
    caller.pause(0.1)
    assert caller.heard == ["1", "9", "*"]
    await caller.session.close()


async def test_a_key_that_comes_on_both_ways_counts_once() -> None:
    caller = Caller()
    caller.session.audio.detect_tones = True
    caller.tell("5")
    caller.say(tone_pcm("5", 100))
    caller.pause(0.2)
    caller.say(tone_pcm("5", 100))
    caller.tell("5")
    caller.pause(0.2)
    assert caller.heard == ["5", "5"]
    await caller.session.close()


async def test_each_speaker_is_listened_to_apart() -> None:
    caller = Caller()
    caller.session.audio.detect_tones = True
    alice = caller.session.open_speaker(101)
    bob = caller.session.open_speaker(102)
    unclaim = caller.session.want_speakers()
    speech = np.random.default_rng(6).integers(-9000, 9000, 20 * FRAME_SAMPLES).astype(np.int16)
    tone = np.zeros_like(speech)
    tone[3200:4800] = tone_pcm("8", 100)
    for talk, keys in zip(
        speech.reshape(-1, FRAME_SAMPLES), tone.reshape(-1, FRAME_SAMPLES), strict=True
    ):
        alice.source.write(talk)
        bob.source.write(keys)
        caller.platform.tick()
    assert caller.heard == ["8"], "Alice talks over it"
    unclaim()
    await caller.session.close()
