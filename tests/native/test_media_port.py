"""MediaPort over the engine's packet thread: what is Python's to answer, on the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import cast

import pytest

from mixminus.media import _native
from mixminus.media.platform import MediaPlatform
from mixminus.media.port import DATAGRAMS_A_WAKE, Datagram, MediaPort
from tests.native.address_types import udp
from tests.native.test_port import stun


@pytest.fixture
async def port() -> AsyncIterator[MediaPort]:
    async with MediaPlatform() as platform:
        made = platform.open_port("127.0.0.1")
        yield made
        made.close()


async def test_stun_of_anybody_comes_with_its_address_and_is_answered(port: MediaPort) -> None:
    came: asyncio.Queue[Datagram] = asyncio.Queue()
    port.on_datagram = came.put_nowait
    with udp() as caller:
        caller.sendto(stun(b"abcd"), port.address)
        got = await asyncio.wait_for(came.get(), 10)
        assert (got.kind, got.address, got.data) == ("stun", caller.getsockname(), stun(b"abcd"))
        assert port.send(b"answer", got.address)
        assert await asyncio.to_thread(caller.recvfrom, 100) == (b"answer", port.address)


async def test_a_handler_that_fails_costs_the_others_nothing(
    port: MediaPort, caplog: pytest.LogCaptureFixture
) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    def handle(datagram: Datagram) -> None:
        if datagram.data.endswith(b"evil"):
            raise ValueError("no")
        came.put_nowait(datagram.data)

    port.on_datagram = handle
    with udp() as caller:
        for body in (b"evil", b"good"):
            caller.sendto(stun(body), port.address)
        assert await asyncio.wait_for(came.get(), 10) == stun(b"good")
    assert "could not be handled" in caplog.text


async def test_a_closed_port_says_so(port: MediaPort) -> None:
    port.close()
    port.close()
    port.remove_route(("192.0.2.1", 5))
    with pytest.raises(RuntimeError, match="closed"):
        port.send(b"x", ("127.0.0.1", 9))


class Flooded:
    """In the place of _native.Port: there is always one more, and always a wake-up."""

    def __init__(self) -> None:
        self.reads = 0
        self.wakes = os.eventfd(1, os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self.wakes

    def read(self) -> tuple[int, str, int, bytes, int]:
        self.reads += 1
        os.eventfd_write(self.wakes, 1)
        return 1, "192.0.2.1", 5, stun(), 0

    def close(self) -> None:
        os.close(self.wakes)


async def test_under_a_flood_the_loop_has_its_turn_after_each_share() -> None:
    flooded = Flooded()
    port = MediaPort(cast(_native.Port, flooded))
    for turn in range(1, 20):
        await asyncio.sleep(0)
        assert flooded.reads <= (turn + 1) * DATAGRAMS_A_WAKE
    assert flooded.reads >= 10 * DATAGRAMS_A_WAKE
    port.close()
