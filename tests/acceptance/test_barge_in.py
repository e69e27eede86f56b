"""Acceptance check 5: clear, on the wire of each way in. Virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_MS, FRAME_SAMPLES, Pcm
from mixminus.media.player import Player
from mixminus.media.session import MediaSession
from mixminus.media.transports.link import LinkGrant
from mixminus.media.transports.link_frames import KIND_AUDIO, KIND_CLEAR
from mixminus.media.transports.stream import AcsService, Audio
from tests.linkfar import SECRET, FakeSocket, open_link
from tests.manual import ManualPlatform
from tests.player_kit import ramp
from tests.session_kit import MP_URI, settle
from tests.signals import sine
from tests.streamfar import Far


class LinkWire:
    """A session with a player over the media link; what its socket was given, tick by tick."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        self.platform.tick()
        self.session = MediaSession(self.platform, mp_uri=MP_URI)
        self.socket: FakeSocket

    async def open(self) -> None:
        grant = self.session.grant()
        assert grant is not None
        granted = LinkGrant(SECRET, self.session.legs.link, grant.expires_ns, self.session)
        self.socket, link = await open_link(self.platform, self.session.legs.link, granted)
        self.session.attach(link)

    async def tick(self) -> None:
        await settle()
        self.platform.tick()
        await settle()

    def sent(self) -> list[Pcm | str]:
        """What went out so far: audio, and that the far end is to drop what it has."""
        return [
            np.frombuffer(record.payload or bytes(2 * FRAME_SAMPLES), np.int16)
            if record.kind == KIND_AUDIO
            else "clear"
            for record in self.socket.records()
            if record.kind in (KIND_AUDIO, KIND_CLEAR)
        ]

    async def close(self) -> None:
        await self.session.close()


class AcsWire:
    """The same over an ACS stream."""

    def __init__(self) -> None:
        self._far: Far

    async def open(self) -> None:
        self._far = await Far.open(AcsService())
        self.session = self._far.session

    async def tick(self) -> None:
        await self._far.tick()

    def sent(self) -> list[Pcm | str]:
        return [
            np.frombuffer(said.payload, np.int16) if isinstance(said, Audio) else said
            for said in self._far.sent()
            if isinstance(said, Audio) or said == "clear"
        ]

    async def close(self) -> None:
        await self._far.close()


@pytest.mark.parametrize("ticks", [3, 20, 21])
@pytest.mark.parametrize("wire_type", [LinkWire, AcsWire])
async def test_05_after_clear_the_last_sample_leaves_within_40_ms_and_the_position_is_exact(
    wire_type: type[LinkWire | AcsWire], ticks: int
) -> None:
    """Acceptance check 5, on what the socket is given; to a frame."""
    wire = wire_type()
    await wire.open()
    player = Player(wire.session.audio)
    said = ramp(16_000)
    clip = player.enqueue(said)
    waiting = player.enqueue(said)
    for _ in range(ticks):
        await wire.tick()
    before = len(wire.sent())
    player.clear()
    last_ms = 0.0
    for tick in range(10):
        seen = len(wire.sent())
        await wire.tick()
        for item in wire.sent()[seen:]:
            if not isinstance(item, str) and item.any():
                last_ms = tick * FRAME_MS + (int(np.flatnonzero(item)[-1]) + 1) / 16
    assert await clip.done == "cleared"
    assert (await waiting.done, waiting.position_samples) == ("cleared", 0)
    assert last_ms <= 40
    assert "clear" in wire.sent()[before:], "and the far end drops what it has"
    # What was heard as it was given, up to the fade, is what was played.
    whole = np.concatenate([item for item in wire.sent() if not isinstance(item, str)])
    heard = whole[np.flatnonzero(whole)[0] :] if whole.any() else whole[:0]
    same = int(np.argmax(np.append(heard[: said.size], 0) != np.append(said[: heard.size], 1)))
    assert same > 0 or ticks == 3
    assert 0 <= clip.position_samples - same <= FRAME_SAMPLES
    await player.close()
    await wire.close()


@pytest.mark.parametrize("wire_type", [LinkWire, AcsWire])
async def test_05_after_a_clear_the_far_end_is_sent_nothing_of_what_was_said_before(
    wire_type: type[LinkWire | AcsWire],
) -> None:
    """It stops at once: the end of the fade, behind a lead of silence, would be a click of 5 ms."""
    wire = wire_type()
    await wire.open()
    player = Player(wire.session.audio)
    clip = player.enqueue(ramp(16_000))
    for _ in range(20):
        await wire.tick()
    player.clear()
    for _ in range(10):
        await wire.tick()
    assert await clip.done == "cleared"
    sent = wire.sent()
    cleared = next(at for at, item in enumerate(sent) if isinstance(item, str))
    after = [item for item in sent[cleared:] if not isinstance(item, str)]
    assert len(after) >= 9
    assert not np.concatenate(after).any()
    # What is said next is whole.
    answer = player.enqueue(sine(440, 16_000, 0.1))
    seen = len(wire.sent())
    for _ in range(20):
        await wire.tick()
    assert await answer.done == "played"
    said = np.concatenate([item for item in wire.sent()[seen:] if not isinstance(item, str)])
    at = int(np.flatnonzero(said)[0]) - 1
    np.testing.assert_array_equal(said[at : at + 1600], sine(440, 16_000, 0.1))
    await player.close()
    await wire.close()
