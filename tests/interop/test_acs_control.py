"""Call control of Azure Communication Services: Microsoft's SDK against ours, a bot in calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from azure.communication.callautomation import (
    AudioFormat,
    CallAutomationClient,
    CommunicationUserIdentifier,
    MediaStreamingAudioChannelType,
    MediaStreamingContentType,
    MediaStreamingOptions,
    MicrosoftTeamsUserIdentifier,
    PhoneNumberIdentifier,
    StreamingTransportType,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from mixminus.control.acs.client import AcsClient, AcsRequestError
from mixminus.control.acs.signing import ConnectionString
from mixminus.control.host import Bot, BotHost
from mixminus.control.host.acs import AcsCallFailedError, IncomingAcsCall
from mixminus.control.serving import HttpsServer
from mixminus.control.settings import HostSettings
from mixminus.control.tls import LocalAuthority, client_context
from tests.acs_kit import ACCESS_KEY, RESOURCE_ID, Site, running_acs
from tests.support import eventually

EVENTS_TOKEN = "a-token-of-the-subscription"
JOHN, TEAMS = "+15551234567", "8:orgid:112f7296-5fa4-42ca-bae8-6a692b15d4b8"


class Inbox:
    """An application that takes callbacks: those that came, in their order."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.url = ""

    def kinds(self) -> set[str]:
        return {event["type"].removeprefix("Microsoft.Communication.") for event in self.events}

    def event(self, kind: str) -> dict[str, Any]:
        found = next(e for e in self.events if e["type"].endswith(f".{kind}"))
        data: dict[str, Any] = found["data"]
        return data

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.events += httpx2.Response(200, content=body).json()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    certificate = LocalAuthority(tmp_path / "acs").issue("localhost", directory=tmp_path / "inbox")
    app = Inbox()
    server = HttpsServer(app, certificate=certificate)
    app.url = f"https://localhost:{await server.start()}/callbacks"
    try:
        yield app
    finally:
        await server.stop()


def sdk(site: Site, key: str = ACCESS_KEY) -> CallAutomationClient:
    return CallAutomationClient(
        site.endpoint, AzureKeyCredential(key), connection_verify=str(site.ca_file)
    )


STREAMING = MediaStreamingOptions(
    transport_url="wss://localhost:1/nobody",
    transport_type=StreamingTransportType.WEBSOCKET,
    content_type=MediaStreamingContentType.AUDIO,
    audio_channel_type=MediaStreamingAudioChannelType.UNMIXED,
    start_media_streaming=False,
    enable_bidirectional=True,
    audio_format=AudioFormat.PCM24_K_MONO,
)


async def test_the_sdk_makes_a_call_and_does_all_that_there_is_in_it(tmp_path: Path) -> None:
    async with running_acs(tmp_path) as site, inbox(tmp_path) as told:
        client = sdk(site)

        def make() -> Any:
            return client.create_call(
                PhoneNumberIdentifier(JOHN),
                told.url,
                source_caller_id_number=PhoneNumberIdentifier("+15557654321"),
                operation_context="mine",
                media_streaming=STREAMING,
            )

        made = await asyncio.to_thread(make)
        assert made.call_connection_state == "connecting"
        await eventually(lambda: "ParticipantsUpdated" in told.kinds())
        assert told.event("CallConnected")["operationContext"] == "mine"
        call = client.get_call_connection(made.call_connection_id)
        shown = await asyncio.to_thread(call.get_call_properties)
        assert shown.call_connection_state == "connected"
        assert shown.media_streaming_subscription is not None
        assert shown.media_streaming_subscription.state == "inactive"
        people = await asyncio.to_thread(lambda: [p.identifier for p in call.list_participants()])
        assert PhoneNumberIdentifier(JOHN).raw_id in [who and who.raw_id for who in people]

        teams = MicrosoftTeamsUserIdentifier(TEAMS.removeprefix("8:orgid:"))
        await asyncio.to_thread(call.add_participant, teams)
        await eventually(lambda: "AddParticipantSucceeded" in told.kinds())
        assert told.event("AddParticipantSucceeded")["participant"]["rawId"] == TEAMS
        await asyncio.to_thread(call.remove_participant, teams)
        await asyncio.to_thread(call.send_dtmf_tones, ["one", "pound"], PhoneNumberIdentifier(JOHN))
        assert site.acs.calls[made.call_connection_id].tones == ["one", "pound"]
        await asyncio.to_thread(call.start_media_streaming)
        await eventually(lambda: "MediaStreamingFailed" in told.kinds())
        assert told.event("MediaStreamingFailed")["resultInformation"]["subCode"] == 8581
        await asyncio.to_thread(call.stop_media_streaming)
        await asyncio.to_thread(call.transfer_call_to_participant, teams)
        await eventually(lambda: {"CallTransferAccepted", "CallDisconnected"} <= told.kinds())
        with pytest.raises(HttpResponseError, match="no call connection"):
            await asyncio.to_thread(call.get_call_properties)
        client.close()


async def test_the_sdk_hears_of_a_declined_call_and_ends_one_for_all(tmp_path: Path) -> None:
    async with running_acs(tmp_path) as site, inbox(tmp_path) as told:
        client = sdk(site)
        site.acs.declining.add("8:acs:busy_user")
        await asyncio.to_thread(
            client.create_call, CommunicationUserIdentifier("8:acs:busy_user"), told.url
        )
        await eventually(lambda: "CreateCallFailed" in told.kinds())
        made = await asyncio.to_thread(
            client.create_call, CommunicationUserIdentifier("8:acs:free_user"), told.url
        )
        call = client.get_call_connection(str(made.call_connection_id))
        await asyncio.to_thread(call.hang_up, True)
        await eventually(lambda: "CallDisconnected" in told.kinds())
        client.close()


async def test_a_foreign_key_is_refused(tmp_path: Path) -> None:
    async with running_acs(tmp_path) as site:
        client = sdk(site, key="QUFBQQ==")
        user = CommunicationUserIdentifier("8:acs:user")
        with pytest.raises(ClientAuthenticationError, match="signature"):
            await asyncio.to_thread(client.create_call, user, "https://localhost:1/")
        client.close()


def settings(site: Site, tmp_path: Path, **over: Any) -> HostSettings:
    values: dict[str, Any] = {
        "tenant_id": "offline",
        "app_id": "offline",
        "client_secret": "offline",
        "state_dir": tmp_path / "host",
        "ca_file": site.ca_file,
        "acs_resource_id": RESOURCE_ID,
        "acs_keys_file": site.keys_file,
        "acs_connection_string": site.connection_string,
        "acs_ca_file": site.ca_file,
        "acs_number": "+15557654321",
        "acs_events_token": EVENTS_TOKEN,
    }
    return HostSettings(**values | over)


def echo_bot() -> Bot:
    bot = Bot("echo")

    @bot.on_call
    async def echo(call: Any) -> None:
        async for frame in call.audio:
            await call.audio.send(np.asarray(frame))

    return bot


@pytest.mark.alone
async def test_a_bot_is_rung_answers_echoes_and_hangs_up(tmp_path: Path) -> None:
    async with running_acs(tmp_path) as site:
        bot, rang = echo_bot(), list[IncomingAcsCall]()

        @bot.on_incoming_call
        async def take(call: IncomingAcsCall) -> None:
            rang.append(call)
            assert 0 < call.seconds_to_answer <= 30
            if call.peer.display_name == "Nuisance":
                await call.reject("busy")
            else:
                await call.answer()
                with pytest.raises(RuntimeError, match="already"):
                    await call.reject()

        async with BotHost(bot, settings(site, tmp_path)) as host:
            assert host.acs is not None
            url = f"{host.url}/acs/events/{EVENTS_TOKEN}"
            await site.acs.subscribe(url)
            site.acs.deliver_twice = True
            assert await site.acs.ring(url, JOHN, "Nuisance") == "rejected"
            assert await site.acs.ring(url, JOHN, "John") == "answered"
            await eventually(lambda: len(host.streams) == 1)
            (call,) = host.streams
            assert call.peer.display_name == "John"
            await eventually(lambda: any(np.frombuffer(b, "<i2").any() for b in site.heard))
            await eventually(lambda: host.acs is not None and host.acs.counters.repeated > 0)
            await call.hang_up()
            await call.wait_closed()
            assert not site.acs.calls
            assert [c.peer.display_name for c in rang] == ["Nuisance", "John"]


@pytest.mark.alone
async def test_a_bot_calls_a_telephone_and_learns_that_it_hung_up(tmp_path: Path) -> None:
    async with (
        running_acs(tmp_path) as site,
        BotHost(echo_bot(), settings(site, tmp_path)) as host,
    ):
        assert host.acs is not None
        call = await host.acs.call(JOHN)
        assert site.acs.calls[call.id].caller_number == "+15557654321"
        await site.acs.hang_up(call.id)
        await call.wait_closed()
        assert call.end_reason is not None
        assert len(host.streams) == 0

        site.acs.declining.add(f"4:{JOHN}")
        with pytest.raises(AcsCallFailedError, match="declined"):
            await host.acs.call(JOHN)

        site.acs.declining.clear()
        site.stream_audience = "another resource"
        with pytest.raises((AcsCallFailedError, TimeoutError)):
            await host.acs.call(JOHN, timeout_s=1.0)
        await eventually(lambda: not site.acs.calls, what="the call without audio to end")


async def test_what_a_stranger_posts_is_refused(tmp_path: Path) -> None:
    async with (
        running_acs(tmp_path) as site,
        BotHost(echo_bot(), settings(site, tmp_path)) as host,
        httpx2.AsyncClient(verify=client_context(site.ca_file), trust_env=False) as http,
    ):

        async def post(path: str, content: bytes, bearer: str = "") -> int:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            reply = await http.post(host.url + path, content=content, headers=headers)
            return reply.status_code

        assert await post("/acs/events/another-token-entirely", b"[]") == 404
        assert await post(f"/acs/events/{EVENTS_TOKEN}", b"no") == 400
        assert await post("/acs/callbacks", b"[]") == 401
        assert await post("/acs/callbacks", b"[]", site.bearer("another")) == 401
        assert await post("/acs/callbacks", b"no", site.bearer()) == 400
        assert await post("/acs/callbacks", b"[]", site.bearer()) == 200


async def test_our_client_repeats_a_post_that_is_done_once(tmp_path: Path) -> None:
    """A gateway loses the answer; the service has done it, and knows the second for the first."""
    async with running_acs(tmp_path) as site, inbox(tmp_path) as told:
        lost = [True]

        class Gateway(httpx2.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
                response = await super().handle_async_request(request)
                if lost.pop() if lost else False:
                    await response.aread()
                    return httpx2.Response(504)
                return response

        async def at_once(_: float) -> None:
            return

        context = client_context(site.ca_file)
        client = AcsClient(
            ConnectionString.parse(site.connection_string),
            ssl_context=context,
            sleep=at_once,
            transport=Gateway(verify=context, trust_env=False),
        )
        made = await client.create(["8:acs:user"], told.url)
        assert list(site.acs.calls) == [made.id]
        assert (await client.get(made.id)).targets[0].raw_id == "8:acs:user"
        assert await client.hang_up(made.id)
        assert not await client.hang_up(made.id)
        with pytest.raises(AcsRequestError, match="404 8522"):
            await client.participants(made.id)
        await client.close()
