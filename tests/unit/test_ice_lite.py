"""The lite side of ICE: who is answered, with what, and who is met with silence."""

from __future__ import annotations

import random
import time

import pytest
from aioice import stun

from mixminus.media.transports.ice_lite import Check, Credentials, Heard, check, new_credentials
from tests.webrtc_kit import binding_request

OURS = Credentials("ourufrag", "p" * 32)
SOURCE = ("192.0.2.7", 4_000)


def find(ufrag: bytes) -> Credentials | None:
    return OURS if ufrag == b"ourufrag" else None


def heard(data: bytes) -> Check:
    return check(data, SOURCE, find)


def request(**how: object) -> bytes:
    return binding_request(OURS.ufrag, OURS.password, **how)  # type: ignore[arg-type]


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def message(body: bytes, kind: bytes = b"\x00\x01") -> bytes:
    return kind + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + body


def test_a_good_check_is_answered_with_where_it_came_from() -> None:
    data = request(priority=77)
    result = heard(data)
    assert result.heard is Heard.VALID
    assert result.credentials is OURS
    assert result.priority == 77
    assert not result.nominates
    assert result.response is not None
    response = stun.parse_message(result.response)
    assert response.message_class is stun.Class.RESPONSE
    assert response.transaction_id == data[8:20]
    assert response.attributes["XOR-MAPPED-ADDRESS"] == SOURCE
    assert "FINGERPRINT" in response.attributes
    assert response.check_message_integrity(OURS.password.encode())
    assert heard(request(nominates=True)).nominates


@pytest.mark.parametrize("source", [("2001:db8::9", 5), ("fe80::1%2", 5)])
def test_ipv6_is_answered_too(source: tuple[str, int]) -> None:
    result = check(request(), source, find)
    assert result.response is not None
    mapped = stun.parse_message(result.response).attributes["XOR-MAPPED-ADDRESS"]
    assert mapped == (source[0].partition("%")[0], 5)


def test_who_takes_itself_for_controlled_is_told_and_proves_no_address() -> None:
    result = heard(request(controlled=True, nominates=True))
    assert result.heard is Heard.ROLE_CONFLICT
    assert not result.nominates
    assert result.response is not None
    response = stun.parse_message(result.response)
    assert response.error_code == 487
    assert response.check_message_integrity(OURS.password.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (binding_request("nobody", "x" * 32), Heard.UNKNOWN_USER),
        (binding_request("ourufrag", "x" * 32), Heard.FORGED),
        (message(attribute(6, b"ourufrag:x")), Heard.FORGED),
        (message(attribute(6, b"ourufrag:x") + attribute(8, bytes(20))), Heard.FORGED),
        (message(attribute(6, b"ourufrag:x") + attribute(8, b"")), Heard.FORGED),
        (message(attribute(8, bytes(20)) + attribute(6, b"ourufrag:x")), Heard.MALFORMED),
        (message(attribute(6, b"nobody:x") + attribute(6, b"ourufrag:x")), Heard.UNKNOWN_USER),
        (message(attribute(6, b"ourufrag:x") + attribute(6, b"nobody:x")), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:\xff")), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:x") + attribute(0x24, b"1")), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:x") + attribute(0x20, b"\x00\x02\x00")), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:x") + attribute(9, b"12345")), Heard.FORGED),
        (message(attribute(6, b"ourufrag:x") + attribute(9, b"1")), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:" + b"x" * 600)), Heard.MALFORMED),
        (message(attribute(6, b"ourufrag:x") + b"\x00\x08\xff\xff"), Heard.MALFORMED),
        (message(attribute(0x8022, b"") * 40 + attribute(6, b"ourufrag:x")), Heard.MALFORMED),
        (message(attribute(0x8022, b"x" * 2000)), Heard.MALFORMED),
        (message(b""), Heard.MALFORMED),
        (message(attribute(6, b"")), Heard.UNKNOWN_USER),
        (message(b"", b"\x00\x11"), Heard.INDICATION),
        (message(attribute(6, b"ourufrag:x"), b"\x01\x01"), Heard.UNEXPECTED),
        (message(attribute(6, b"ourufrag:x"), b"\x00\x03"), Heard.UNEXPECTED),
        (request()[:-1], Heard.MALFORMED),
        (request() + b"\0\0\0\0", Heard.MALFORMED),
        (b"", Heard.UNEXPECTED),
        (b"\x00\x01", Heard.MALFORMED),
    ],
    ids=lambda value: value.name if isinstance(value, Heard) else f"{len(value)}-bytes",
)
def test_all_others_are_met_with_silence(data: bytes, why: Heard) -> None:
    assert heard(data) == Check(why)


def test_a_changed_byte_is_never_answered() -> None:
    good = request(nominates=True)
    for at in range(len(good) - 8):  # Of FINGERPRINT itself, which proves nothing, below.
        for bit in (0x01, 0x80):
            spoiled = bytearray(good)
            spoiled[at] ^= bit
            assert heard(bytes(spoiled)).response is None, at


def test_attributes_after_the_integrity_do_not_count() -> None:
    body = request()[20:-8]
    for extra in (attribute(0x25, b""), attribute(0x24, b"\xff" * 4)):
        result = heard(message_like(request()[:20], body + extra))
        assert not result.nominates
        assert result.priority in (0, 1_000)


def message_like(header: bytes, body: bytes) -> bytes:
    return header[:2] + len(body).to_bytes(2, "big") + header[4:] + body


def test_random_bytes_raise_nothing_and_are_never_answered() -> None:
    chance = random.Random(3)
    good = request()
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[at] = (data[at] + chance.randrange(1, 256)) % 256
                case 1:
                    del data[at:]
                    data += b"\0" * (4 - len(data) % 4)
                case _:
                    data[at:at] = chance.randbytes(4)
        if len(data) >= 20 and chance.random() < 0.7:
            data[2:4] = (len(data) - 20).to_bytes(2, "big")
        signed = slice(4, len(good) - 8)
        if data[signed] != good[signed] or data[:2] != good[:2]:
            assert heard(bytes(data)).response is None


def test_a_forged_request_costs_little() -> None:
    forged = binding_request("nobodyatall1", "x" * 32)
    least_s = 1.0
    for _ in range(5):
        begin_s = time.perf_counter()
        for _ in range(1000):
            heard(forged)
        least_s = min(least_s, time.perf_counter() - begin_s)
    # 1,000 a second are a flood: 2 % of a core at most, on a machine ten times as slow as this.
    assert least_s < 0.02


def test_credentials_are_many_ice_chars() -> None:
    made = [new_credentials() for _ in range(100)]
    assert len({one.ufrag for one in made}) == len({one.password for one in made}) == 100
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    for one in made:
        assert len(one.ufrag) == 12
        assert len(one.password) == 32
        assert set(one.ufrag + one.password) <= allowed
