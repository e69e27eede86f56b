"""Acceptance check 10: who proves nothing is closed with 1008 before any audio. Real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mixminus.control.simulate.keys import RESOURCE_ID
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.transports.stream import AcsService
from tests.interop.test_streams import World, running
from tests.support import eventually

pytestmark = pytest.mark.alone

LOUD = np.full(FRAME_SAMPLES, 9000, np.int16).tobytes()
LONG_AGO_S = 1_000_000_000


async def talk_at_once(world: World, headers: dict[str, str]) -> tuple[int, list[str | bytes]]:
    """Come with *headers* and audio; return the code it ends with, and all that came back."""
    service, came = AcsService(), []
    async with connect(
        world.url("acs"), ssl=world.context, additional_headers=headers, proxy=None
    ) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            for message in (*service.write_start(), service.write_audio(LOUD, time_ms=0.0)):
                await socket.send(message)
            while True:
                came.append(await socket.recv())
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, came


async def test_10_without_a_token_or_with_a_wrong_one_1008_comes_before_any_audio(
    tmp_path: Path,
) -> None:
    """Acceptance check 10: no JWT, an expired one, one for another audience; 1008 each time.

    Signatures, issuers, keys and other ways to be wrong are in tests/interop/test_streams.py.
    """
    async with running(tmp_path) as world:
        keys = world.keys
        wrong = {
            "no token": {},
            "expired": {"Authorization": f"Bearer {keys.acs_token(now_s=LONG_AGO_S)}"},
            "audience": {"Authorization": f"Bearer {keys.acs_token(audience='another')}"},
        }
        for number, (what, headers) in enumerate(wrong.items(), 1):
            assert await talk_at_once(world, headers) == (1008, []), what
            assert world.host.streams.counters.refused == number
        assert world.calls == []
        assert len(world.host.streams) == 0
        # With the right one there is a call, and it has audio.
        good = {"Authorization": f"Bearer {keys.acs_token(audience=RESOURCE_ID)}"}
        service = AcsService()
        async with connect(
            world.url("acs"), ssl=world.context, additional_headers=good, proxy=None
        ) as socket:
            for message in (*service.write_start(), service.write_audio(LOUD, time_ms=0.0)):
                await socket.send(message)
            assert await asyncio.wait_for(socket.recv(), 10)
            await eventually(lambda: len(world.calls) == 1)
        await asyncio.wait_for(world.calls[0].wait_closed(), 20)
