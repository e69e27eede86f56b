"""What strangers send to the Python side: it parses, or is refused by the one error agreed upon.

Mutations of what far ends really sent. MIXMINUS_FUZZ_EXAMPLES makes a run long (`make fuzz`).
"""

from __future__ import annotations

import contextlib
import os

from aioice import stun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixminus.media.transports import ice_lite, link_hello, rtp_sdp, sdp_answer
from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.link_frames import parse_message
from mixminus.media.transports.sdp import SdpError
from tests.support import ROOT

LONG = settings(
    max_examples=int(os.environ.get("MIXMINUS_FUZZ_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CAPTURED = [path.read_text() for path in sorted((ROOT / "tests/data/sdp").glob("*.sdp"))]
PLAIN_OFFER = rtp_sdp.write_offer(("192.0.2.1", 5004))
CREDENTIALS = ice_lite.Credentials("Zx3Qabcd", "c0bLsO6b1PxSZ9oYj0cC3tqV")
SOURCE = ("192.0.2.9", 5000)


@st.composite
def mutated_text(draw: st.DrawFn, seeds: list[str]) -> str:
    """A description with lines lost, doubled, swapped, or with strange values."""
    lines = draw(st.sampled_from(seeds)).splitlines()
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        match draw(st.integers(0, 5)):
            case 0:
                del lines[at : at + draw(st.integers(1, 3))]
            case 1:
                lines[at:at] = lines[at : at + 1] * draw(st.integers(1, 20))
            case 2:
                lines.insert(at, draw(st.text(max_size=60)))
            case 3 if lines:
                head, sign, _ = lines[at].partition(draw(st.sampled_from(":=/ ")))
                lines[at] = head + sign + draw(st.text(max_size=40))
            case 4 if lines:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.characters()) + lines[at][cut:]
            case 5:
                lines.insert(at, f"m=audio {draw(st.integers(-1, 99999))} RTP/AVP 0")
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines)


@st.composite
def mutated_bytes(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0 if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at:at] = draw(st.binary(max_size=16))
            case 2:
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                del data[at:]
    return bytes(data)


def binding_request(username: str = "Zx3Qabcd:far") -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, transaction_id=b"0123456789ab")
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes["ICE-CONTROLLING"] = 7
    message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(CREDENTIALS.password.encode())
    return bytes(message)


STUN = [binding_request(), binding_request("strange:far"), bytes(20), b"\x00\x01\x00\x00"]


@LONG
@given(st.one_of(mutated_text(CAPTURED), st.text(max_size=500)))
def test_a_webrtc_offer_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdpError):
        sdp_answer.parse_offer(text)


@LONG
@given(st.one_of(mutated_text([PLAIN_OFFER, *CAPTURED]), st.text(max_size=500)))
def test_a_plain_offer_is_answered_or_refused(text: str) -> None:
    with contextlib.suppress(SdpError):
        answer, _ = rtp_sdp.answer_offer(text, ("192.0.2.2", 5006))
        rtp_sdp.parse_answer(answer, offer=text)


@LONG
@given(mutated_text([rtp_sdp.answer_offer(PLAIN_OFFER, ("192.0.2.2", 5006))[0]]))
def test_a_plain_answer_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdpError):
        rtp_sdp.parse_answer(text, offer=PLAIN_OFFER)


@LONG
@given(st.one_of(mutated_bytes(STUN), st.binary(max_size=200)))
def test_a_stun_message_is_judged_whatever_it_is(data: bytes) -> None:
    known = {CREDENTIALS.ufrag.encode(): CREDENTIALS}
    judged = ice_lite.check(data, SOURCE, known.get)
    assert isinstance(judged, ice_lite.Check)
    if judged.heard is ice_lite.Heard.VALID:  # only what we made can be: its integrity is checked
        assert data[:20] == STUN[0][:20]


@LONG
@given(st.binary(max_size=2000))
def test_a_link_message_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_message(data)


@LONG
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300),
        mutated_text([link_hello.write_hello(b"s" * 32, "n" * 32, "session", 1),
                      link_hello.write_challenge("n" * 32), link_hello.write_welcome()]),
    )
)  # fmt: skip
def test_a_hello_is_read_or_refused(message: bytes | str) -> None:
    for parse in (link_hello.parse_challenge, link_hello.parse_hello, link_hello.parse_welcome):
        with contextlib.suppress(RemoteProtocolError):
            parse(message)
