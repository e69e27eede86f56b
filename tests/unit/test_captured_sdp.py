"""Offers that Chromium and stock aiortc made, as tests/data/README.md tells, read and answered."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from mixminus.media.transports.sdp_answer import (
    Fingerprint,
    Local,
    parse_offer,
    reoffer_problem,
    write_answer,
)
from tests.support import ROOT

LOCAL = Local(
    session_id=1,
    version=1,
    ufrag="ours",
    password="p" * 22,
    fingerprint=Fingerprint("sha-256", bytes(32)),
    is_dtls_client=False,
    candidates=[("192.0.2.7", 4000)],
    ssrc=7,
    cname="ours",
)


def captured(name: str) -> str:
    return (ROOT / f"tests/data/sdp/{name}.sdp").read_bytes().decode()


@pytest.mark.parametrize(("sender", "opus", "event", "level"), [
    ("chromium", 111, 110, 1), ("aiortc", 96, None, 2),
])  # fmt: skip
def test_captured_offers_are_answered_with_what_they_offer(
    sender: str, opus: int, event: int | None, level: int
) -> None:
    offer = parse_offer(captured(f"{sender}_offer"))
    stream = offer.stream
    assert (stream.codec, stream.payload_type, stream.event_type) == ("opus", opus, event)
    assert stream.level_extension_id == level
    assert (offer.direction, offer.setup) == ("sendrecv", "actpass")
    answer = SessionDescription.parse(write_answer(offer, LOCAL))
    (media,) = answer.media
    (asked,) = SessionDescription.parse(captured(f"{sender}_offer")).media
    offered = {codec.payloadType for codec in asked.rtp.codecs}
    assert {codec.payloadType for codec in media.rtp.codecs} <= offered
    assert media.ice is not None
    assert media.ice.iceLite
    assert reoffer_problem(offer, parse_offer(captured(f"{sender}_offer")), False) is None


def test_offer_of_another_certificate_is_another_connection() -> None:
    offer = parse_offer(captured("chromium_offer"))
    assert reoffer_problem(offer, parse_offer(captured("aiortc_offer")), False) == "certificate"
