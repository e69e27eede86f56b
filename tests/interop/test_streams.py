"""Calls by telephony streams over real TLS WebSockets: simulators ring a bot host, in real time."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mixminus.control.cli import run
from mixminus.control.cli.errors import AUTH, FAILED, NOT_FOUND, OK, USAGE
from mixminus.control.host import Bot, BotHost
from mixminus.control.host.stream_call import StreamCall
from mixminus.control.settings import HostSettings
from mixminus.control.simulate.keys import RESOURCE_ID, SimulatorKeys, local_settings
from mixminus.control.simulate.report import SimulationReport
from mixminus.control.simulate.ring import RingOptions, ring
from mixminus.control.simulate.services import PARTICIPANT, Service, SimulatedAcs, SimulatedTwilio
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context
from mixminus.media.pcm import FRAME_BYTES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import load_audio
from mixminus.media.transports.stream import AcsService
from tests.support import ROOT, eventually

pytestmark = pytest.mark.alone

SPEECH = ROOT / "tests/data/speech.wav"


def speech(seconds: float) -> Pcm:
    return load_audio(SPEECH)[: int(seconds * SAMPLE_RATE_HZ)]


@dataclass
class World:
    """A bot host, what its bot saw, and who rings it."""

    host: BotHost
    keys: SimulatorKeys
    context: ssl.SSLContext
    state_dir: Path
    calls: list[StreamCall] = field(default_factory=list)
    keys_heard: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    media: list[bool] = field(default_factory=list)
    marks: list[tuple[str, bool]] = field(default_factory=list)

    def url(self, kind: str) -> str:
        return f"{self.host.url.replace('https', 'wss')}/streams/{kind}"

    def acs(self, rate_hz: int = 16_000) -> SimulatedAcs:
        return SimulatedAcs(self.keys, rate_hz=rate_hz, audience=RESOURCE_ID)

    async def ring(self, service: Service, **options: Any) -> SimulationReport:
        ours = {"url": self.url(service.name), "speakers": [speech(2.0)], "duration_s": 2.4}
        given = {**ours, **options}
        return await ring(service, RingOptions(**given), self.context)

    async def close_code(self, headers: dict[str, str], kind: str = "acs") -> int:
        """Come with *headers*, talk at once, and return the code that one is sent away with."""
        talk = AcsService()
        async with connect(
            self.url(kind), ssl=self.context, additional_headers=headers, proxy=None
        ) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                for message in talk.write_start():
                    await socket.send(message)
                while True:
                    await socket.recv()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code


@asynccontextmanager
async def running(tmp_path: Path, **over: Any) -> AsyncIterator[World]:
    """A host with an echo bot, and the proof that nothing of it is left."""
    before = asyncio.all_tasks()
    bot = Bot("echo")
    authority = LocalAuthority(tmp_path)
    settings = HostSettings(
        tenant_id="tenant",
        app_id="app",
        client_secret=SecretStr("secret"),
        graph_base_url="https://localhost:1",
        open_id_config_url="https://localhost:1/keys",
        ca_file=authority.ca_file,
        state_dir=tmp_path,
        **{**local_settings(tmp_path), **over},
    )
    async with BotHost(bot, settings) as host:
        keys = SimulatorKeys(tmp_path / "simulate")
        world = World(host, keys, client_context(authority.ca_file), tmp_path)

        @bot.on_call
        async def echo(call: Any) -> None:
            world.calls.append(call)
            call.audio.unmixed = True
            call.audio.on_media(world.media.append)
            call.audio.on_mark(lambda name, played: world.marks.append((name, played)))
            number = 0
            async for frame in call.audio:
                number += 1
                mark = f"m{number}" if number % 40 == 0 else None
                await call.audio.send(np.asarray(frame) // -2, mark=mark)

        @bot.on_tone
        async def tone(call: Any, pressed: Any) -> None:
            world.keys_heard.append(pressed.key)

        @bot.on_participants
        async def people(call: Any) -> None:
            world.people = sorted(call.participants)

        yield world
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left running: {left}"


async def test_acs_rings_a_bot_with_speakers_apart_at_24_khz_and_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        heard = tmp_path / "heard.wav"
        report = await world.ring(
            world.acs(24_000),
            speakers=[speech(2.0), np.zeros(SAMPLE_RATE_HZ, np.int16)],
            is_unmixed=True,
            keys="12#",
            heard_file=heard,
        )
        assert report.echo is not None
        assert report.echo.gain == pytest.approx(-0.5, abs=0.05)
        assert report.malformed == report.reframed == 0
        assert report.received_frames > 60
        assert load_audio(heard).size == 2.4 * SAMPLE_RATE_HZ
        (call,) = world.calls
        await call.wait_closed()
        assert world.keys_heard == ["1", "2", "#"]
        assert world.people == sorted([PARTICIPANT.format(1), PARTICIPANT.format(2)])
        assert call.speaker(16) is call.participant(PARTICIPANT.format(1))
        assert call.state == "terminated"
        description = world.host.streams.ended[-1].description
        assert description["stream"] == "acs"
        assert description["transport"]["malformed"] == 0
        assert len(world.host.streams) == 0


@pytest.mark.slow
async def test_a_socket_dropped_in_mid_call_is_the_same_call_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as world:
        report = await world.ring(world.acs(), reconnect_after_s=0.8)
        assert report.reconnects == 1
        assert report.received_frames > 50  # more than could come before the drop: 40
        assert len(world.calls) == 1
        assert world.media == [False, True]
        assert world.host.streams.counters.resumed == 1
        await world.calls[0].wait_closed()
        assert (
            world.calls[0].end_reason == "the acs stream ended: the WebSocket was closed with 1000"
        )


@pytest.mark.slow
async def test_twilio_rings_a_bot_and_its_marks_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        service = SimulatedTwilio(world.keys, caller="+15555550199")
        report = await world.ring(service, keys="5")
        assert report.echo is not None
        assert report.marks >= 2
        assert world.keys_heard == ["5"]
        assert ("m40", True) in world.marks
        (call,) = world.calls
        assert call.peer.display_name == "+15555550199"
        assert call.origin.far_call_id == service.call_id
        await call.wait_closed()
        assert call.end_reason == "Twilio stopped the stream"


async def test_whoever_proves_nothing_is_closed_with_1008_before_any_audio(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        keys = world.keys
        now_s = 1_000_000_000
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": f"Bearer {keys.acs_token(audience='another resource')}"},
            {"Authorization": f"Bearer {keys.acs_token(now_s=now_s)}"},
            {"Authorization": f"Bearer {keys.acs_token(issuer='https://issuer.example')}"},
            {"Authorization": f"Bearer {SimulatorKeys(tmp_path / 'other').acs_token()}"},
        ):
            assert await world.close_code(headers) == 1008, headers
        assert await world.close_code({}, "twilio") == 1008
        assert await world.close_code({"X-Twilio-Signature": "x"}, "twilio") == 1008
        bad_id = {"x-ms-call-connection-id": "a b"}
        good = {"Authorization": f"Bearer {keys.acs_token()}"}
        assert await world.close_code({**good, **bad_id}) == 1008
        assert world.calls == []
        assert world.host.streams.counters.refused == 8
        assert world.host.streams.counters.failed == 1
        # And keys that cannot be had are no refusal.
        keys.jwks_file.unlink()
        assert await world.close_code(good) == 1011


async def test_a_full_host_says_try_again(tmp_path: Path) -> None:
    async with running(tmp_path, max_streams=0) as world:
        good = {"Authorization": f"Bearer {world.keys.acs_token()}"}
        assert await world.close_code(good) == 1013


async def test_a_stream_is_an_operators_call_like_any_other(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        ringing = asyncio.create_task(world.ring(world.acs(), duration_s=20))
        await eventually(lambda: len(world.host.streams) == 1)
        call_id = next(iter(world.host.streams)).id
        headers = {"Authorization": f"Bearer {world.host.admin_token}"}
        async with httpx2.AsyncClient(verify=world.context, trust_env=False) as http:
            url = f"{world.host.url}/mixminus/v1/calls"
            listed = (await http.get(url, headers=headers)).json()["value"]
            assert [call["callId"] for call in listed] == [call_id]
            shown = (await http.get(f"{url}/{call_id}", headers=headers)).json()
            assert "audio" in json.dumps(shown)
            assert (await http.delete(f"{url}/{call_id}", headers=headers)).status_code == 204
            assert (await http.get(f"{world.host.url}/healthz")).json()["streams"] == 0
        report = await asyncio.wait_for(ringing, 10)
        assert report.close_code == 1000
        assert report.ended_by_bot is not None


async def test_a_stream_can_be_fetched_from_a_server(tmp_path: Path) -> None:
    service = AcsService()
    heard: list[str] = []

    async def far_end(socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.headers["Authorization"] == "ours"
        for first in service.write_start():
            await socket.send(first)
        for number in range(10):
            await socket.send(service.write_audio(bytes(FRAME_BYTES), time_ms=number * 20.0))
        async for message in socket:
            assert isinstance(message, str)
            heard.append(message)

    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = LocalAuthority(tmp_path).issue(*LOCAL_HOSTS)
    server_context.load_cert_chain(certificate.cert_file, certificate.key_file)
    async with (
        serve(far_end, "127.0.0.1", 0, ssl=server_context) as server,
        running(tmp_path) as world,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        call = await world.host.streams.connect(
            "acs",
            f"wss://localhost:{port}/stream",
            headers={"Authorization": "ours"},
            ssl_context=world.context,
            far_call_id="fetched",
        )
        assert call.id == "fetched"
        await eventually(lambda: len(heard) > 5)
        assert service.parse(heard[0]) is not None
        await call.hang_up()
        await call.wait_closed()


async def test_the_command_rings_and_says_how_it_went_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]

    def simulate(*arguments: str) -> int:
        return run(["simulate", *arguments, *state])

    async with running(tmp_path) as world:
        ok = ["acs", "--input", str(SPEECH), "--duration", "0.5", "--json"]
        assert await asyncio.to_thread(simulate, *ok) == OK
        shown = json.loads(capsys.readouterr().out)
        assert shown["service"] == "acs"
        assert shown["receivedFrames"] > 10
        refused = ["acs", "--input", str(SPEECH), "--duration", "0.5", "--token", "x"]
        assert await asyncio.to_thread(simulate, *refused) == AUTH
        assert "1008" in capsys.readouterr().out
        elsewhere = ["twilio", "--input", str(SPEECH), "--bot", "wss://localhost:1/streams/twilio"]
        assert await asyncio.to_thread(simulate, *elsewhere) == FAILED
        assert "cannot connect to localhost:1" in capsys.readouterr().err
        assert len(world.calls) == 1


def test_what_cannot_be_simulated_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    for arguments, code, says in (
        (["acs", "--input", "nothing.wav"], NOT_FOUND, "no file nothing.wav"),
        (["acs", "--input", str(SPEECH)], NOT_FOUND, "or say --bot"),
        (["acs", "--input", str(SPEECH), "--rate", "8000"], USAGE, "16000 or 24000, got 8000"),
        (["acs", "--input", str(SPEECH), "--dtmf", "1x"], USAGE, "got 'X'"),
        (["acs", "--input", str(SPEECH), "--bot", "http://x"], USAGE, "expected a wss:// URL"),
        (["acs", "--input", str(SPEECH), "--out", "heard.mp3"], USAGE, "ends in .wav"),
        (["acs", "--input", str(SPEECH), "--out", "no/heard.wav"], NOT_FOUND, "no directory no"),
        (["acs", "--input", str(ROOT / "README.md"), "--bot", "wss://x"], FAILED, "README.md"),
        (["acs"], NOT_FOUND, "or say --bot"),
    ):
        assert run(["simulate", *arguments, *state]) == code, arguments
        err = capsys.readouterr().err
        assert says in err
        assert len(err.splitlines()) == 1
    assert not any(tmp_path.iterdir())
    assert run(["simulate", "keys", *state]) == OK
    assert json.loads(capsys.readouterr().out)["keys"][0]["kty"] == "RSA"
