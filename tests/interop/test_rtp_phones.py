"""Telephones behind a gateway: plain RTP over real sockets, and lines that do not come about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.phones import DEFAULT_NUMBER, PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import APP_INSTANCE_ID, ServiceSettings
from tests.interop.rtp_peer import RtpPeer, decode
from tests.service_kit import (
    SILENT,
    FakeMedia,
    GraphHttp,
    Receiver,
    call_body,
    running_service,
)
from tests.signals import sine, tone_dbov
from tests.site import Site
from tests.support import eventually
from tests.unit.test_prompts import wav

CALLS = "/v1.0/communications/calls"
MEDIA_CONFIG = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}


def script(**values: Any) -> PhoneScript:
    return PhoneScript.model_validate(
        {"number": DEFAULT_NUMBER, "answer_after_s": 0.0, "rtp": "192.0.2.10:4000", **values}
    )


async def call_phone(graph: GraphHttp, receiver: Receiver) -> str:
    instance = {"id": APP_INSTANCE_ID, "displayName": "IVR"}
    return await graph.created(
        call_body(
            receiver.url,
            mediaConfig=MEDIA_CONFIG,
            source={"identity": {"applicationInstance": instance}},
            targets=[{"identity": {"phone": {"id": DEFAULT_NUMBER}}}],
        )
    )


def audio(receiver: Receiver, call_id: str) -> list[str]:
    return [data["mediaState"]["audio"] for data in receiver.of(call_id) if data.get("mediaState")]


def tones(receiver: Receiver, call_id: str) -> list[str]:
    return [data["toneInfo"]["tone"] for data in receiver.of(call_id) if data.get("toneInfo")]


def ending(receiver: Receiver, call_id: str) -> tuple[int, int]:
    last = receiver.of(call_id)[-1]
    assert last["state"] == "terminated"
    return last["resultInfo"]["code"], last["resultInfo"]["subcode"]


# ---- what becomes of a line ----------------------------------------------------------------------


@asynccontextmanager
async def faked(state_dir: Path, **values: Any) -> AsyncIterator[tuple[FakeMedia, Receiver, str]]:
    media = FakeMedia()
    async with (
        running_service(state_dir, media, phones=(script(**values),)) as service,
        Receiver(state_dir) as receiver,
        GraphHttp(service.dev_file) as graph,
    ):
        if values.get("display_name") == "unreachable":
            media.line_failure = "no route to it"
        yield media, receiver, await call_phone(graph, receiver)


@pytest.mark.slow
async def test_a_gateway_that_cannot_be_reached_is_a_callee_that_cannot(tmp_path: Path) -> None:
    async with faked(tmp_path, display_name="unreachable") as (_, receiver, call_id):
        await eventually(lambda: "terminated" in receiver.states(call_id))
        assert ending(receiver, call_id) == (408, 10057)


@pytest.mark.slow
async def test_a_gateway_that_says_bye_has_hung_up(tmp_path: Path) -> None:
    async with faked(tmp_path, codec="opus", payload_type=96) as (media, receiver, call_id):
        await eventually(lambda: "established" in receiver.states(call_id))
        (line,) = media.lines
        assert (line.script.host, line.script.port) == ("192.0.2.10", 4000)
        assert (line.script.codec, line.script.payload_type) == ("opus", 96)
        assert line.transport is not None
        line.transport.end("the far end said bye")
        await eventually(lambda: "terminated" in receiver.states(call_id))
        assert ending(receiver, call_id) == (200, 540000)


@pytest.mark.slow
async def test_a_line_is_hung_up_when_its_script_says_so(tmp_path: Path) -> None:
    async with faked(tmp_path, hang_up_after_s=0.05) as (media, receiver, call_id):
        await eventually(lambda: "terminated" in receiver.states(call_id))
        assert ending(receiver, call_id) == (200, 540000)
        (line,) = media.lines
        assert line.transport is not None
        assert line.transport.closed.done()


@pytest.mark.slow
async def test_a_silent_gateway_is_told_of_and_not_hung_up(tmp_path: Path) -> None:
    async with faked(tmp_path) as (media, receiver, call_id):
        await eventually(lambda: media.lines and media.lines[0].transport)
        (line,) = media.lines
        assert line.transport is not None
        line.transport.leg.source.write(SILENT)
        await eventually(lambda: audio(receiver, call_id) == ["active"])
        line.transport.on_media(False)
        await eventually(lambda: audio(receiver, call_id) == ["active", "inactive"])
        line.transport.on_media(True)
        await eventually(lambda: audio(receiver, call_id) == ["active", "inactive", "active"])


# ---- over real sockets ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    "codec",
    [
        "pcmu",
        pytest.param("pcma", marks=pytest.mark.slow),
        pytest.param("g722", marks=pytest.mark.slow),
        "opus",
    ],
)
async def test_a_gateway_speaks_listens_and_presses_keys(tmp_path: Path, codec: str) -> None:
    gateway = await RtpPeer.open(codec)
    rtp = f"127.0.0.1:{gateway.address[1]}"
    settings = ServiceSettings(
        state_dir=tmp_path, drain_s=0.0, phones=(script(rtp=rtp, codec=codec),)
    )
    async with (
        CallService(settings) as service,
        Receiver(tmp_path) as receiver,
        Site(tmp_path) as site,
        GraphHttp(service.dev_file) as graph,
    ):
        call_id = await call_phone(graph, receiver)
        # Where the service's packets come from, a gateway knows by its own signalling.
        edge = await _address_of_line(gateway)
        speaking = asyncio.create_task(gateway.play(sine(500, 16_000, 2.0, 8000.0), 20, edge))
        await eventually(lambda: audio(receiver, call_id) == ["active"], 10.0, "audio")
        subscribed = await graph.http.post(f"{CALLS}/{call_id}/subscribeToTone", json={})
        assert subscribed.status_code == 200, subscribed.text
        await speaking
        await gateway.press("7", 100, edge)
        await eventually(lambda: tones(receiver, call_id) == ["tone7"], 10.0, "the key")

        said = wav(sine(900, 16_000, 1.0, 8000.0))
        site.answers["/said.wav"] = (200, {"content-type": "audio/wav"}, said)
        prompt = {
            "@odata.type": "#microsoft.graph.mediaPrompt",
            "mediaInfo": {
                "@odata.type": "#microsoft.graph.mediaInfo",
                "uri": site.url("/said.wav"),
                "resourceId": "said",
            },
        }
        before = len(gateway.audio)
        played = await graph.http.post(f"{CALLS}/{call_id}/playPrompt", json={"prompts": [prompt]})
        assert played.status_code == 200, played.text
        await eventually(lambda: len(gateway.audio) > before + 75, 10.0, "the prompt")
        heard = decode(codec, [packet.payload for packet in gateway.audio[before:]])
        assert tone_dbov(heard, 900) > -30.0
        assert tone_dbov(heard, 500) < -50.0

        resource = (await graph.http.get(f"{CALLS}/{call_id}")).json()
        assert (await graph.http.delete(f"{CALLS}/{call_id}")).status_code == 204
        await eventually(lambda: gateway.byes, 5.0, "the goodbye")
        url = f"/v1.0/communications/callRecords/{resource['callChainId']}"

        async def is_there() -> bool:
            return (await graph.http.get(url)).status_code == 200

        await eventually(is_there, 5.0, "the record")
        expand = {"$expand": "sessions($expand=segments)"}
        record = (await graph.http.get(url, params=expand)).json()
        (media,) = record["sessions"][0]["segments"][0]["media"]
        from_gateway = media["streams"][1]
        assert from_gateway["audioCodec"] == codec
        # 100 of audio, and those of the key.
        assert 100 <= from_gateway["packetUtilization"] <= 110
        assert from_gateway["averagePacketLossRate"] == 0.0
        assert media["calleeNetwork"]["networkTransportProtocol"] == "udp"
    await gateway.close()


async def _address_of_line(gateway: RtpPeer) -> tuple[str, int]:
    """Wait for the first packet; return where it came from."""
    sources: list[tuple[str, int]] = []
    received = gateway.datagram_received

    def taken(data: bytes, address: Any) -> None:
        sources.append((address[0], address[1]))
        received(data, address)

    gateway.datagram_received = taken  # type: ignore[method-assign]
    await eventually(lambda: sources, 10.0, "the first packet")
    return sources[0]
