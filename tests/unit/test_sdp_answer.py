"""What is read out of offers, and what is answered to them."""

from __future__ import annotations

import random
import re
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from aiortc.sdp import SessionDescription

from mixminus.media.transports.sdp import SdpError
from mixminus.media.transports.sdp_answer import (
    Fingerprint,
    Local,
    Offer,
    parse_offer,
    write_answer,
)
from tests.offers import CHROMIUM, FIREFOX

LOCAL = Local(
    session_id=17,
    version=2,
    ufrag="ourUfrag",
    password="p" * 32,
    fingerprint=Fingerprint("sha-256", bytes(range(32))),
    is_dtls_client=False,
    candidates=[("192.0.2.1", 5000), ("2001:db8::1", 5000)],
    ssrc=4711,
    cname="cn",
)


def answer_lines(offer: Offer, local: Local = LOCAL) -> list[str]:
    text = write_answer(offer, local)
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def test_chromiums_offer_is_read() -> None:
    offer = parse_offer(CHROMIUM)
    stream = offer.stream
    assert (stream.codec, stream.payload_type, stream.fec, stream.dtx) == ("opus", 111, True, False)
    assert stream.payload_types == {
        111: "opus",
        9: "g722",
        0: "pcmu",
        8: "pcma",
        110: "telephone-event",
    }
    assert (stream.event_type, stream.event_clock_hz) == (110, 48_000)
    assert stream.level_extension_id == 1
    assert stream.bit_rate == 32_000
    assert (offer.ufrag, offer.password) == ("Zx3Q", "c0bLsO6b1PxSZ9oYj0cC3tqV")
    assert (offer.setup, offer.mid, offer.is_bundled) == ("actpass", "0", True)
    assert offer.direction == "sendrecv"
    (fingerprint,) = offer.fingerprints
    assert fingerprint.algorithm == "sha-256"
    assert fingerprint.digest[:2] == b"\x6b\x8b"


def test_firefoxs_offer_is_read() -> None:
    offer = parse_offer(FIREFOX)
    assert offer.stream.payload_types == {
        109: "opus",
        9: "g722",
        0: "pcmu",
        8: "pcma",
        101: "telephone-event",
    }
    assert (offer.stream.event_type, offer.stream.event_clock_hz) == (101, 8_000)
    assert offer.stream.level_extension_id == 1
    assert len(offer.fingerprints) == 1


def test_the_answer_is_lite_secured_and_has_every_candidate() -> None:
    lines = answer_lines(parse_offer(CHROMIUM))
    assert lines[0] == "v=0"
    for line in (
        "a=ice-lite",
        "a=group:BUNDLE 0",
        "m=audio 5000 UDP/TLS/RTP/SAVPF 111 9 0 8 110",
        "c=IN IP4 192.0.2.1",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=ssrc:4711 cname:cn",
        "a=ice-ufrag:ourUfrag",
        f"a=ice-pwd:{'p' * 32}",
        "a=setup:passive",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::1 5000 typ host",
        "a=end-of-candidates",
    ):
        assert lines.count(line) == 1, line
    assert any(line.startswith("a=fingerprint:sha-256 00:01:02:") for line in lines)
    # The session's attributes stand before the m-line.
    assert lines.index("a=ice-lite") < lines.index("m=audio 5000 UDP/TLS/RTP/SAVPF 111 9 0 8 110")
    text = "\n".join(lines)
    for not_answered in (
        "CN/8000",
        "red/48000",
        "transport-cc",
        "sdes:mid",
        "telephone-event/8000",
    ):
        assert not_answered not in text


@pytest.mark.parametrize("offer_text", [CHROMIUM, FIREFOX])
def test_another_implementation_reads_the_answer(offer_text: str) -> None:
    session = SessionDescription.parse(write_answer(parse_offer(offer_text), LOCAL))
    (media,) = session.media
    assert media.ice is not None
    assert media.ice.iceLite
    assert media.ice_candidates_complete
    assert [candidate.ip for candidate in media.ice_candidates] == ["192.0.2.1", "2001:db8::1"]
    assert media.dtls is not None
    assert media.dtls.role == "server"
    assert media.rtcp_mux


@pytest.mark.parametrize(
    ("offered", "answered", "sends", "receives"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", True, False),
        ("recvonly", "sendonly", False, True),
        ("inactive", "inactive", False, False),
    ],
)
def test_the_direction_is_mirrored(
    offered: str, answered: str, sends: bool, receives: bool
) -> None:
    offer = parse_offer(CHROMIUM.replace("a=sendrecv", f"a={offered}"))
    assert f"a={answered}" in answer_lines(offer)
    assert (offer.sends, offer.receives) == (sends, receives)


def test_the_dtls_role_is_the_other_one() -> None:
    active = parse_offer(CHROMIUM.replace("actpass", "active"))
    passive = parse_offer(CHROMIUM.replace("actpass", "passive"))
    assert (active.setup, passive.setup) == ("active", "passive")
    assert "a=setup:active" in answer_lines(passive, replace(LOCAL, is_dtls_client=True))


def test_without_opus_the_next_best_is_answered() -> None:
    bare = CHROMIUM.replace("a=rtpmap:111 opus/48000/2\n", "a=rtpmap:111 L16/48000\n")
    stream = parse_offer(bare).stream
    assert (stream.codec, stream.payload_type) == ("g722", 9)
    # Events on the clock of what they interrupt.
    assert (stream.event_type, stream.event_clock_hz) == (126, 8_000)
    telephone = bare.replace("111 63 9 0 8 13 110 126", "8 0 126")
    stream = parse_offer(telephone).stream
    assert (stream.codec, stream.payload_type) == ("pcmu", 0)
    lines = answer_lines(parse_offer(telephone))
    assert "m=audio 5000 UDP/TLS/RTP/SAVPF 0 8 126" in lines
    assert "a=rtpmap:0 PCMU/8000" in lines


@pytest.mark.parametrize(
    ("wish", "bit_rate"),
    [
        ("maxaveragebitrate=510000", 32_000),
        ("maxaveragebitrate=32000", 32_000),
        ("maxaveragebitrate=20000", 16_000),
        ("maxaveragebitrate=5", 6_000),
        ("maxaveragebitrate=0", 32_000),
        ("maxaveragebitrate=-1", 32_000),
        ("maxaveragebitrate=x", 32_000),
        ("maxaveragebitrate=" + "9" * 40, 32_000),
    ],
)
def test_a_lower_bit_rate_is_one_of_few(wish: str, bit_rate: int) -> None:
    text = CHROMIUM.replace("a=fmtp:111 minptime=10;useinbandfec=1", f"a=fmtp:111 {wish};usedtx=1")
    stream = parse_offer(text).stream
    assert stream.bit_rate == bit_rate
    assert stream.dtx
    assert not stream.fec


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a=rtcp-mux\n", "", "rtcp-mux"),
        ("t=0 0\n", "t=0 0\na=ice-lite\n", "got ice-lite"),
        ("m=audio 9 ", "m=audio 0 ", "in use"),
        ("a=ice-ufrag:Zx3Q", "a=ice-ufrag:Zx3", "ice-chars"),
        ("a=ice-pwd:c0bLsO6b1PxSZ9oYj0cC3tqV", "a=ice-pwd:short", "ice-chars"),
        ("a=ice-ufrag:Zx3Q", "a=ice-ufrag:Zx3 Q", "ice-chars"),
        ("a=mid:0", "a=mid:a b", "token"),
        ("a=mid:0", "a=mid:" + "m" * 65, "token"),
        ("a=setup:actpass", "a=setup:holdconn", "well-formed"),
        ("6B:8B:F0:", "", "32 bytes"),
        ("a=rtpmap:0 PCMU/8000", "a=rtpmap:x PCMU/8000", "well-formed"),
        ("SAVPF 111", "SAVPF 72 111", "well-formed"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "profile UDP/TLS/RTP/SAVPF, got RTP/AVP"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVPF", "got RTP/AVPF"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVP", "got RTP/SAVP"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "got RTP/SAVPF"),
        ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "got UDP/TLS/RTP/SAVP"),
        ("a=fingerprint", "a=x", "fingerprint"),
    ],
)
def test_what_cannot_be_answered_is_refused(old: str, new: str, said: str) -> None:
    assert old in CHROMIUM
    with pytest.raises(SdpError, match=re.escape(said)):
        parse_offer(CHROMIUM.replace(old, new))


def mutated(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 3:
                place = chance.randrange(len(lines[at]) + 1)
                what = chance.choice(
                    [
                        "\x00",
                        "\r",
                        " ",
                        ":",
                        "/",
                        "-1",
                        "999999999999",
                        "\ud800",
                        "é",
                        "٣",
                        "a=",
                        ";",
                    ]
                )
                lines[at] = lines[at][:place] + what + lines[at][place:]
            case 4:
                lines[at] = " ".join(chance.sample(parts := lines[at].split(" "), len(parts)))
            case _:
                lines[at] += chance.choice([";x=y", " 5", "/2", ":", "=" * 50])
        if not lines:
            break
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_ten_thousand_mutations_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(2000):
        text = mutated(chance.choice([CHROMIUM, FIREFOX]), chance)
        try:
            offer = parse_offer(text)
        except SdpError:
            refused += 1
            continue
        lines = answer_lines(offer)
        # Whatever it was, the answer is ours: one secured stream, no line of the far end's.
        assert sum(line.startswith("m=") for line in lines) == 1
        assert all(re.fullmatch(r"[a-z]=[ -~]*", line) for line in lines)
    assert 200 < refused < 1900, refused


@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:111 opus/48000/2",
        "a=ssrc:{n} cname:x",
        "a=rtcp-fb:* nack",
        "a=fmtp:8 x=1",
        "a=extmap:{n} urn:x",
        "a=fingerprint:sha-1 00:11",
    ],
)
def test_the_largest_description_is_read_in_little_time(line: str) -> None:
    head = CHROMIUM.strip()
    text = head + "\n" + "\n".join(line.format(n=n) for n in range(511 - head.count("\n")))
    least_s = 1.0
    for _ in range(3):
        begin_s = time.perf_counter()
        with suppress(SdpError):
            parse_offer(text)
        least_s = min(least_s, time.perf_counter() - begin_s)
    assert least_s < 0.05
