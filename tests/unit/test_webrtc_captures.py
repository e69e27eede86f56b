"""What Chromium and aiortc really sent in a call (tests/data), against each part by itself."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from aioice import stun

from mixminus.media.transports.dtls import DtlsSession, DtlsState
from mixminus.media.transports.ice_lite import Check, Credentials, Heard, check
from mixminus.media.transports.sdp_answer import parse_offer
from tests.support import ROOT
from tests.webrtc_kit import credentials

PEERS = ["chromium", "aiortc"]


def capture(peer: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / f"tests/data/webrtc_{peer}.json").read_text())
    return loaded


def known(ours: Credentials, ufrag: bytes) -> Credentials:
    return ours


def datagrams(peer: str, kind: str, sender: str) -> list[bytes]:
    return [
        bytes.fromhex(one["data"])
        for one in capture(peer)["datagrams"]
        if (one["kind"], one["from"]) == (kind, sender)
    ]


@pytest.mark.parametrize("peer", PEERS)
def test_the_offer_is_read(peer: str) -> None:
    offer = parse_offer("\r\n".join(capture(peer)["offer"]) + "\r\n")
    assert offer.stream.codec == "opus"
    assert offer.stream.event_clock_hz == 48_000
    assert offer.stream.level_extension_id is not None
    assert offer.is_bundled


@pytest.mark.parametrize("peer", PEERS)
def test_every_check_gets_the_same_answer_as_then(peer: str) -> None:
    ufrag, password = credentials("\r\n".join(capture(peer)["answer"]))
    ours = Credentials(ufrag, password)
    requests, responses = datagrams(peer, "stun", "far"), datagrams(peer, "stun", "us")
    assert len(requests) == len(responses) >= 2
    nominations = 0
    for request, response in zip(requests, responses, strict=True):
        source = stun.parse_message(response).attributes["XOR-MAPPED-ADDRESS"]
        result = check(request, source, partial(known, ours))
        assert result.heard is Heard.VALID
        assert result.response == response
        assert result.priority > 0
        nominations += result.nominates
        # With another password it would have been a stranger's.
        other = Credentials(ufrag, password[::-1])
        assert check(request, source, partial(known, other)) == Check(Heard.FORGED)
    assert nominations >= 1


@pytest.mark.parametrize("peer", PEERS)
def test_its_client_hello_is_answered(peer: str) -> None:
    """Chromium's is longer than a datagram: it comes in fragments."""
    offer = parse_offer("\r\n".join(capture(peer)["offer"]) + "\r\n")
    server = DtlsSession(offer.fingerprints, is_client=False)
    flight: list[bytes] = []
    for datagram in datagrams(peer, "dtls", "far"):
        server.receive(datagram)
        flight += server.outgoing()
        if flight:
            break
    assert flight
    assert flight[0][0] == 22
    assert flight[0][13] == 2  # ServerHello
    assert server.dropped == 0
    assert server.state is DtlsState.HANDSHAKE
