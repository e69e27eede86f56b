"""The media link over real TLS WebSockets on loopback, and over sockets that misbehave."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from functools import partial

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mixminus.media.bridge import Leg
from mixminus.media.pcm import FLAG_SILENCE
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import (
    LinkError,
    LinkRefusedError,
    ServiceLink,
    accept_link,
    connect_link,
)
from mixminus.media.transports.link_frames import KIND_BYE, pack_message, parse_message
from mixminus.media.transports.link_hello import parse_challenge, write_hello
from mixminus.media.transports.message_socket import SocketClosedError
from tests.linkfar import (
    SECRET,
    SESSION,
    FakeSocket,
    audio,
    constant,
    grant,
    open_link,
    two_legs,
)
from tests.linkserver import LinkServer, link_server
from tests.manual import ManualPlatform
from tests.support import eventually

OTHER_SECRET = bytes(31) + b"\1"


async def connect_to(
    server: LinkServer,
    platform: MediaPlatform,
    leg: Leg,
    secret: bytes = SECRET,
    session: str = SESSION,
) -> ServiceLink:
    return await connect_link(
        platform,
        leg,
        mp_uri=server.mp_uri,
        session_id=session,
        secret=secret,
        ssl_context=server.client_context,
    )


async def test_audio_flows_both_ways_and_bye_ends_both() -> None:
    tasks_before = asyncio.all_tasks()
    async with MediaPlatform() as platform, link_server(platform) as server:
        bridge_s, leg_s, caller = two_legs(platform)
        bridge_h, leg_h, bot = two_legs(platform, relay=True)
        server.grants[SESSION] = grant(leg_h)
        service_end = await connect_to(server, platform, leg_s)
        await eventually(lambda: server.admitted)
        host_end = server.admitted[0]
        heard_by_bot: list[int] = []
        heard_by_caller: list[int] = []
        speakers: set[tuple[int, ...]] = set()

        def talk() -> None:
            caller.source.write(constant(1000))
            bot.source.write(constant(-500))
            while (frame := bot.render.read()) is not None:
                heard_by_bot.append(int(frame[0]))
                speakers.add(frame.active_speakers)
            while (frame := caller.render.read()) is not None:
                heard_by_caller.append(int(frame[0]))

        unsubscribe = platform.on_tick(talk)
        await eventually(lambda: heard_by_bot.count(1000) > 10, what="the caller at the bot")
        await eventually(lambda: heard_by_caller.count(-500) > 10, what="the bot at the caller")
        unsubscribe()
        # Nobody hears itself, and the caller's name travelled with its voice.
        assert set(heard_by_bot) <= set(range(1001))
        assert set(heard_by_caller) <= set(range(-500, 1))
        assert (2,) in speakers
        for end in (service_end, host_end):
            counts = end.counters()
            assert counts["frames_in"] > 10
            assert counts["frames_out"] > 10
            assert counts["malformed"] == counts["out_of_order"] == counts["other_epoch"] == 0
        await service_end.close()
        await service_end.close()
        assert await asyncio.wait_for(host_end.closed, 5) == "the far end said bye: closed"
        assert await service_end.closed == "closed here"
        await host_end.close()
        bridge_s.close()
        bridge_h.close()
    assert asyncio.all_tasks() == tasks_before


async def test_the_host_hanging_up_ends_the_services_end() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        _, leg_s, _ = two_legs(platform)
        _, leg_h, _ = two_legs(platform, relay=True)
        server.grants[SESSION] = grant(leg_h)
        service_end = await connect_to(server, platform, leg_s)
        await eventually(lambda: server.admitted)
        await server.admitted[0].close()
        assert "bye" in await asyncio.wait_for(service_end.closed, 5)
        await service_end.close()


async def close_of(server: LinkServer, answer: Callable[[str], str | bytes]) -> tuple[int, str]:
    """Answer the server's challenge by hand; return the code and reason it closes with."""
    async with connect(
        server.mp_uri, ssl=server.client_context, compression=None, proxy=None
    ) as socket:
        await socket.send(answer(parse_challenge(await socket.recv())))
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(socket.recv(), 10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def changed(hello: str, **members: object) -> str:
    return json.dumps(json.loads(hello) | members)


def flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


async def test_every_wrong_hello_meets_the_same_refusal() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        _, leg, _ = two_legs(platform)
        server.grants[SESSION] = grant(leg)
        server.grants["late"] = grant(leg, ttl_s=0)
        seen: list[str] = []

        def hello(nonce: str) -> str:
            return write_hello(SECRET, nonce, SESSION, 1)

        def remember(nonce: str) -> str:
            seen.append(hello(nonce))
            return changed(seen[-1], session="unknown")

        wrong: dict[str, Callable[[str], str | bytes]] = {
            "secret": lambda nonce: write_hello(OTHER_SECRET, nonce, SESSION, 1),
            "one byte of the proof": lambda nonce: changed(
                hello(nonce), proof=flip(json.loads(hello(nonce))["proof"])
            ),
            "session": remember,
            "replayed proof of an earlier challenge": lambda nonce: seen[0],
            "too late": lambda nonce: write_hello(SECRET, nonce, "late", 1),
            "version": lambda nonce: changed(hello(nonce), version=2),
            "epoch not the proven one": lambda nonce: changed(hello(nonce), epoch=2),
            "no hello": lambda nonce: '{"type":"welcome"}',
            "binary": lambda nonce: hello(nonce).encode(),
        }
        closes = {name: await close_of(server, answer) for name, answer in wrong.items()}
        assert closes == dict.fromkeys(wrong, (4401, "refused"))
        assert not server.admitted
        assert {str(error) for error in server.errors} == {
            "refused a media link that proved no right to a session"
        }
        # And all that used up nothing: the right hello is still admitted.
        transport = await connect_to(server, platform, two_legs(platform)[1])
        await transport.close()


async def test_a_session_is_given_once_only() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        server.grants[SESSION] = grant(two_legs(platform)[1])
        first = await connect_to(server, platform, two_legs(platform)[1])
        with pytest.raises(LinkRefusedError, match="refused the link's hello"):
            await connect_to(server, platform, two_legs(platform)[1])
        assert not first.closed.done()
        await first.close()
        with pytest.raises(LinkRefusedError):
            await connect_to(server, platform, two_legs(platform)[1])


async def test_a_wrong_secret_is_one_clear_error_for_the_service() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        server.grants[SESSION] = grant(two_legs(platform)[1])
        with pytest.raises(LinkRefusedError) as caught:
            await connect_to(server, platform, two_legs(platform)[1], OTHER_SECRET)
        assert str(caught.value) == (
            f"cannot connect to {server.mp_uri}: the bot host refused the link's hello"
        )


async def test_a_silent_far_end_is_given_up_on_both_ends() -> None:
    async with MediaPlatform() as platform, link_server(platform, timeout_s=0.05) as server:
        async with connect(
            server.mp_uri, ssl=server.client_context, compression=None, proxy=None
        ) as socket:
            await socket.recv()
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(socket.recv(), 10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401


@pytest.mark.parametrize(
    ("mp_uri", "says"),
    [
        (
            "net.tcp://bot.contoso.com:8445/MediaProcessor",
            "cannot connect to net.tcp://bot.contoso.com:8445/MediaProcessor: this service reaches "
            "media over wss:// (the mixminus media link)",
        ),
        ("ws://localhost:1/media", "cannot connect to ws://localhost:1/media: this service"),
        ("https://u:secret@localhost/?token=secret", "cannot connect to https://localhost/: this"),
        ("wss:///nothing", "this service reaches media over wss://"),
        ("wss://localhost:port/", "mpUri is no valid URI"),
        ("wss://[::1/", "mpUri is no valid URI"),
        ("nonsense", "this service reaches media over wss://"),
        ("wss://localhost:1/media", "cannot connect to wss://localhost:1/media: "),
    ],
)
async def test_an_address_that_leads_nowhere_is_one_clear_error(mp_uri: str, says: str) -> None:
    platform = ManualPlatform()
    with pytest.raises(LinkError) as caught:
        await connect_link(
            platform,
            two_legs(platform)[1],
            mp_uri=mp_uri,
            session_id=SESSION,
            secret=SECRET,
            ssl_context=ssl.create_default_context(),
        )
    message = str(caught.value)
    assert says in message
    assert "secret" not in message
    assert "\n" not in message


async def test_an_untrusted_certificate_is_one_clear_error() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        server.client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(LinkError, match="TLS failed"):
            await connect_to(server, platform, two_legs(platform)[1])


async def test_it_goes_to_the_address_and_trusts_the_name_alone() -> None:
    async with MediaPlatform() as platform, link_server(platform) as server:
        server.grants[SESSION] = grant(two_legs(platform, relay=True)[1])
        for name, why in (("localhost", None), ("bot.contoso.com", "TLS failed")):
            connecting = connect_link(
                platform,
                two_legs(platform)[1],
                mp_uri=server.mp_uri.replace("localhost", name),
                session_id=SESSION,
                secret=SECRET,
                ssl_context=server.client_context,
                address="127.0.0.1",
            )
            if why is None:
                await (await connecting).close()
            else:
                with pytest.raises(LinkError, match=why):
                    await connecting


# ---- sockets that misbehave, on ticks that the test makes ----------------------------------------


async def test_a_blocked_socket_makes_the_sender_drop_stale_audio_and_never_queue_it() -> None:
    platform = ManualPlatform()
    _, leg, talker = two_legs(platform)
    socket, transport = await open_link(platform, leg)
    for value in range(1, 3):
        talker.source.write(constant(value))
        platform.tick()
        await eventually(partial(socket.has_sent, value))
    socket.open.clear()
    for value in range(3, 43):
        talker.source.write(constant(value))
        platform.tick()
        await eventually(lambda: socket.waiting)
    socket.open.set()
    # The message that was being sent goes out, then the newest three frames.
    await eventually(partial(socket.has_sent, 6))
    records = socket.records()
    assert [record.sequence for record in records] == [0, 1, 2, 39, 40, 41]
    assert [record.payload[0] for record in records] == [1, 2, 3, 40, 41, 42]
    # What is due at once goes in one message.
    assert [len(parse_message(message)) for message in socket.sent] == [1, 1, 1, 3]
    assert transport.counters()["dropped_stale"] == 36
    assert transport.counters()["frames_out"] == 6
    await transport.close()
    assert socket.records()[-1].kind == KIND_BYE
    assert socket.closed_with == (1000, "")


async def test_what_comes_is_taken_once_in_order_and_the_rest_is_counted() -> None:
    platform = ManualPlatform()
    _, leg, _ = two_legs(platform, relay=True)
    socket, transport = await open_link(platform, leg)
    socket.inbox.put_nowait(pack_message([audio(2**32 - 1), audio(0, flags=FLAG_SILENCE)]))
    socket.inbox.put_nowait(pack_message([audio(3), audio(1)]))
    socket.inbox.put_nowait(pack_message([audio(3)]))
    socket.inbox.put_nowait(pack_message([audio(4, epoch=2), audio(4, stream=9), audio(4, call=1)]))
    socket.inbox.put_nowait(pack_message([audio(4, kind=200)]))
    socket.inbox.put_nowait(b"\x01 not a record")
    socket.inbox.put_nowait("text")
    await eventually(socket.inbox.empty)
    await eventually(lambda: transport.counters()["malformed"] == 2)
    expected = {
        "frames_in": 3,
        "missing": 2,
        "out_of_order": 2,
        "other_epoch": 1,
        "other_stream": 2,
        "unknown_kind": 1,
    }
    counters = transport.counters()
    assert {name: counters[name] for name in expected} == expected
    platform.tick()
    assert leg.counters().source_written == 3
    assert leg.heard_frames == 3
    # The link writes to the peer, and to nobody's ring.
    assert leg.source.counters().written == 0
    await transport.close()


async def test_a_far_end_that_says_nothing_for_five_seconds_is_lost_and_then_given_up() -> None:
    platform = ManualPlatform()
    _, leg, _ = two_legs(platform)
    socket, transport = await open_link(platform, leg)
    told: list[bool] = []
    transport.on_media = told.append
    for _ in range(250):
        platform.tick()
        # With plugins the loop is woken at each edge of a tick: that is no time that passed.
        for callback in tuple(platform._callbacks.values()):
            callback()
    assert told == []
    platform.tick()
    assert told == [False]
    await eventually(lambda: socket.closed_with == (1001, "lost"))
    platform.tick(750)
    assert not transport.closed.done()
    platform.tick()
    assert "nothing came for 5 s" in await transport.closed
    assert told == [False]
    await transport.close()


async def test_a_loop_that_stood_still_does_not_take_that_for_the_far_ends_silence() -> None:
    platform = ManualPlatform()
    _, leg, _ = two_legs(platform)
    socket, transport = await open_link(platform, leg)
    platform.tick(100)
    platform._engine.run_ticks(500)
    platform.tick()
    assert not transport.is_lost
    socket.inbox.put_nowait(pack_message([audio(0)]))
    await eventually(socket.inbox.empty)
    assert transport.counters()["lost"] == 0
    await transport.close()


async def test_a_lost_socket_that_nobody_replaces_ends_the_link_and_leaves_no_task() -> None:
    platform = ManualPlatform()
    before = asyncio.all_tasks()
    _, leg, _ = two_legs(platform)
    socket, transport = await open_link(platform, leg)
    socket.inbox.put_nowait(SocketClosedError("the far end closed the socket with code 1006"))
    await eventually(lambda: transport.is_lost)
    platform.tick(751)
    reason = await asyncio.wait_for(transport.closed, 5)
    assert reason == "the media link was lost: the far end closed the socket with code 1006"
    await transport.close()
    assert asyncio.all_tasks() == before


async def test_closing_does_not_wait_for_a_socket_that_takes_nothing() -> None:
    platform = ManualPlatform()
    _, leg, _ = two_legs(platform)
    socket, transport = await open_link(platform, leg)
    socket.open.clear()
    platform.tick()
    await eventually(lambda: socket.waiting)
    await asyncio.wait_for(transport.close(), 10)


async def test_the_hello_ending_early_is_an_error_of_its_own() -> None:
    platform = ManualPlatform()
    socket = FakeSocket()
    socket.inbox.put_nowait(SocketClosedError("gone"))
    with pytest.raises(LinkError, match="lost during its hello"):
        await accept_link(platform, socket, lambda _: None)
    assert socket.closed_with is not None


async def test_a_leg_that_was_closed_during_the_hello_ends_the_link_with_an_error() -> None:
    platform = ManualPlatform()
    bridge, leg, _ = two_legs(platform)
    socket = FakeSocket()
    accepting = asyncio.create_task(accept_link(platform, socket, lambda _: grant(leg)))
    await eventually(lambda: socket.sent)
    challenge = socket.sent.pop()
    socket.open.clear()
    socket.inbox.put_nowait(write_hello(SECRET, parse_challenge(challenge), SESSION, 1))
    # While the welcome is on its way, the session ends.
    await eventually(lambda: socket.waiting)
    bridge.close()
    socket.open.set()
    with pytest.raises(LinkError, match="its leg ended meanwhile"):
        await accepting
    assert socket.closed_with == (1000, "")
