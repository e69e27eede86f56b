"""A call by stream as a bot sees it: its handlers, its end, its ticket. The far end is the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mixminus.control.host.bot import Bot
from mixminus.control.host.errors import CallEndedError
from mixminus.control.host.parts import Peer
from mixminus.control.host.plugins import HostPlugins
from mixminus.control.host.stream_call import StreamCall
from mixminus.control.host.streams import HostStreams, StreamAccess, StreamTicket
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.transports.stream import AcsService, StreamError, TwilioService
from tests.manual import ManualPlatform
from tests.streamfar import FakeSocket, constant
from tests.support import eventually

ID = {"x-ms-call-connection-id": "connection-1", "x-ms-call-correlation-id": "correlation"}


@dataclass
class World:
    """Streams of one bot, and what it was told."""

    bot: Bot
    streams: HostStreams
    platform: ManualPlatform
    told: list[str] = field(default_factory=list)

    async def come(
        self,
        headers: dict[str, str] | None = None,
        *,
        ticket: StreamTicket | None = None,
        service: AcsService | TwilioService | None = None,
    ) -> tuple[FakeSocket, StreamCall]:
        service = service or AcsService()
        socket = FakeSocket()
        for message in service.write_start():
            socket.inbox.put_nowait(message)
        kind: Any = "acs" if isinstance(service, AcsService) else "twilio"
        return socket, await self.streams.take(kind, socket, headers or ID, ticket)

    async def refused(self, **options: Any) -> StreamError:
        with pytest.raises(StreamError) as caught:
            await self.come(**options)
        return caught.value


@asynccontextmanager
async def world_of(specs: Sequence[PluginSpec] = (), **access: Any) -> AsyncIterator[World]:
    """A world, and the proof that nothing of it is left."""
    before = asyncio.all_tasks()
    platform, bot = ManualPlatform(), Bot("test bot")
    platform.tick()
    plugins = HostPlugins(platform, specs)
    streams = HostStreams(
        platform=platform,
        bot=bot,
        access=StreamAccess(**access),
        url=lambda: "https://bot.example",
        plugins=plugins,
    )
    world = World(bot, streams, platform)
    async with plugins:
        yield world
        await streams.close()
    assert len(streams) == 0
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left running: {left}"


def stays(world: World) -> None:
    """Give the world a bot that stays until its call ends."""

    @world.bot.on_call
    async def stay(call: Any) -> None:
        world.told.append("call")
        await call.wait_ended()


async def test_handlers_are_told_in_order() -> None:
    async with world_of() as world:
        stays(world)
        told = world.told

        @world.bot.on_participants
        async def people(call: Any) -> None:
            told.append(f"people {sorted(call.participants)}")

        @world.bot.on_tone
        async def tone(call: Any, pressed: Any) -> None:
            told.append(f"tone {pressed.key}")

        @world.bot.on_media
        async def media(call: Any, is_back: bool) -> None:
            told.append(f"media {is_back}")

        socket, call = await world.come()
        await eventually(lambda: told == ["call"])
        service = AcsService()
        for message in (
            service.write_audio(constant(1).tobytes(), time_ms=0.0, speaker="4:+1555"),
            service.write_key("7"),
        ):
            socket.inbox.put_nowait(message)
        await eventually(lambda: len(told) == 3)
        socket.break_off()
        await eventually(lambda: len(told) == 4)
        assert told == ["call", "people ['4:+1555']", "tone 7", "media False"]
        assert not call.has_audio
        person = call.speaker("16")
        assert person is not None
        assert person.identity is not None
        assert (person.identity.kind, person.identity.id) == ("phone", "+1555")
        assert call.speaker(99) is None
        assert call.speaker("x") is None
        assert call.origin.correlation_id == "correlation"


@pytest.mark.parametrize("speaker", [None, "4:+1555"])
async def test_plugins_on_speakers_of_a_mixed_stream_are_named(
    speaker: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    specs = [PluginSpec("gain"), PluginSpec("delay", "mix")]
    async with world_of(specs) as world:
        stays(world)
        socket, call = await world.come()
        said = AcsService().write_audio(constant(1).tobytes(), time_ms=0.0, speaker=speaker)
        socket.inbox.put_nowait(said)
        session = call.session
        assert session is not None
        await eventually(lambda: session.counters().transport["frames_in"] == 1)
        await call.hang_up()
        await call.wait_closed()
    idle = [line for line in caplog.messages if "plugins on speaker did nothing (gain)" in line]
    assert len(idle) == (speaker is None)


async def test_a_second_socket_of_the_same_connection_is_the_same_call() -> None:
    async with world_of() as world:
        stays(world)
        first, call = await world.come()
        second, again = await world.come()
        assert again is call
        await eventually(lambda: first.closed_with is not None)
        assert call.has_audio
        assert world.streams.counters.resumed == 1
        assert world.told == ["call"]
        await call.hang_up()
        await call.wait_closed()
        assert second.closed_with == (1000, "")
        _, third = await world.come()
        assert third is not call


async def test_sockets_that_come_faster_than_they_go_are_all_closed() -> None:
    async with world_of() as world:
        stays(world)
        sockets = [(await world.come())[0] for _ in range(5)]
        await eventually(lambda: all(socket.closed_with for socket in sockets[:-1]))
        assert sockets[-1].closed_with is None
        assert len(world.streams) == 1


async def test_a_second_stream_of_twilios_with_one_id_is_refused() -> None:
    async with world_of() as world:
        stays(world)
        _, call = await world.come({}, service=TwilioService())
        error = await world.refused(headers={}, service=TwilioService())
        assert error.code == 1008
        assert "has its stream already" in str(error)
        assert call.id == "MZ00000000000000000000000000000000"


async def test_an_id_that_is_none_is_refused() -> None:
    async with world_of() as world:
        for wrong in ("", "a b", "a\nb", "x" * 200):
            error = await world.refused(headers={"x-ms-call-connection-id": wrong})
            assert error.code == 1008


async def test_a_bot_that_fails_or_returns_ends_its_call() -> None:
    async with world_of() as world:

        @world.bot.on_call
        async def fail(call: Any) -> None:
            raise LookupError("nothing there")

        _, call = await world.come()
        await call.wait_closed()
        assert call.bot_error == "LookupError: nothing there"
        assert call.end_reason == "hung up by the bot host"
        assert call.describe()["error"] == "LookupError: nothing there"
        report = world.streams.report(call.id)
        assert report is not None
        assert report.description["state"] == "terminated"


async def test_a_failing_handler_ends_its_call_and_no_other() -> None:
    async with world_of() as world:
        stays(world)

        @world.bot.on_tone
        async def fail(call: Any, tone: Any) -> None:
            raise LookupError(tone.key)

        socket, call = await world.come()
        _, other = await world.come({"x-ms-call-connection-id": "other"})
        socket.inbox.put_nowait(AcsService().write_key("1"))
        await call.wait_closed()
        assert call.bot_error == "LookupError: 1"
        assert not other.is_over


async def test_a_ticket_says_who_is_there_and_how_to_hang_up() -> None:
    async with world_of() as world:
        stays(world)
        hung_up: list[str] = []

        async def hang_up() -> None:
            hung_up.append("far end")

        peer = Peer("8:orgid:john", "John")
        ticket = world.streams.expect("acs", peer=peer, hang_up=hang_up, parameters={"a": "b"})
        _, call = await world.come(ticket=ticket)
        assert call.peer == peer
        assert call.origin.parameters == {"a": "b"}
        other = {"x-ms-call-connection-id": "other"}
        error = await world.refused(headers=other, ticket=ticket)
        assert error.code == 1008
        assert "another call's" in str(error)
        await call.hang_up()
        assert hung_up == ["far end"]
        await call.wait_closed()


async def test_a_ticket_that_is_forgotten_while_its_socket_is_silent_lets_nobody_in() -> None:
    async with world_of() as world:
        stays(world)
        ticket, socket = world.streams.expect("acs"), FakeSocket()
        taking = asyncio.create_task(world.streams.take("acs", socket, ID, ticket))
        await asyncio.sleep(0)
        # As call control does when the call comes to nothing; so it is when its call came and went.
        world.streams.forget(ticket)
        for message in AcsService().write_start():
            socket.inbox.put_nowait(message)
        with pytest.raises(StreamError, match="not expected any more") as caught:
            await taking
        assert caught.value.code == 1008
        assert len(world.streams) == 0
        assert socket.closed_with is not None


async def test_a_far_end_that_cannot_be_hung_up_keeps_no_call() -> None:
    async with world_of() as world:
        stays(world)

        async def hang_up() -> None:
            raise ConnectionError("no answer")

        _, call = await world.come(ticket=world.streams.expect("acs", hang_up=hang_up))
        with pytest.raises(ConnectionError, match="no answer"):
            await call.hang_up()
        await call.wait_closed()
        second = world.streams.expect("acs", hang_up=hang_up)
        _, left = await world.come(ticket=second)
        await world.streams.close()
        assert left.is_over


async def test_waiting_ends_with_the_call() -> None:
    async with world_of() as world:
        stays(world)
        socket, call = await world.come()
        await call.wait_established()
        await call.wait_media()
        keys = call.tones()
        socket.break_off()
        await eventually(lambda: not call.has_audio)
        waiting = asyncio.create_task(call.wait_media())
        await call.hang_up()
        with pytest.raises(CallEndedError):
            await waiting
        assert [key async for key in keys] == []


async def test_a_host_takes_as_many_as_it_may() -> None:
    async with world_of(most=1) as world:
        stays(world)
        await world.come()
        error = await world.refused(headers={"x-ms-call-connection-id": "other"})
        assert error.code == 1013
        assert world.streams.counters.busy == 1
