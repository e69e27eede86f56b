"""The media link's hello, without a socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.link_hello import (
    is_proven,
    new_nonce,
    parse_challenge,
    parse_hello,
    parse_welcome,
    prove,
    write_challenge,
    write_hello,
    write_welcome,
)
from tests.support import ROOT

SECRET = bytes(range(32))
NONCE = "a" * 64


def test_the_documented_test_vector() -> None:
    vector = prove(SECRET, NONCE, "s", 1, 1)
    assert vector in (ROOT / "docs/media-link.md").read_text()


def test_a_hello_proves_its_own_challenge_session_and_epoch_only() -> None:
    hello = parse_hello(write_hello(SECRET, NONCE, "session", 3, 2))
    assert is_proven(hello, SECRET, NONCE)
    assert not is_proven(hello, SECRET, new_nonce())
    assert not is_proven(hello, SECRET[:-1] + b"\0", NONCE)
    for other in (
        write_hello(SECRET, NONCE, "sessiom", 3, 2),
        write_hello(SECRET, NONCE, "session", 4, 2),
        write_hello(SECRET, NONCE, "session", 3, 3),
    ):
        moved = json.loads(other) | {"proof": hello.proof}
        assert not is_proven(parse_hello(json.dumps(moved)), SECRET, NONCE)


def test_challenges_never_repeat_and_come_back() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    nonce = nonces.pop()
    assert parse_challenge(write_challenge(nonce)) == nonce
    parse_welcome(write_welcome())


def test_the_secret_is_not_in_the_hello() -> None:
    text = write_hello(SECRET, NONCE, "session", 1)
    assert SECRET.hex() not in text


@pytest.mark.parametrize(
    "message",
    [
        b"bytes",
        "",
        "{",
        "[]",
        "3",
        "[" * 4000,
        "x" * 5000,
        '{"type":"welcome"}',
        '{"type":"hello","version":2,"session":"s","epoch":1,"attempt":1,"proof":"p"}',
        '{"type":"hello","session":"s","epoch":1,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"","epoch":1,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":7,"epoch":1,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"s","epoch":true,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"s","epoch":-1,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"s","epoch":4294967296,"attempt":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"s","epoch":1,"attempt":1,"proof":"\\ud800"}',
        '{"type":"hello","version":1,"session":"s","epoch":1,"attempt":1}',
        '{"type":"hello","version":1,"session":"s","epoch":1,"proof":"p"}',
        '{"type":"hello","version":1,"session":"s","epoch":1,"attempt":1.5,"proof":"p"}',
    ],
)
def test_what_is_no_hello_is_a_protocol_error(message: bytes | str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_hello(message)


@given(st.one_of(st.binary(max_size=100), st.text(max_size=200)))
def test_any_message_parses_or_raises_a_protocol_error(message: bytes | str) -> None:
    for parse in (parse_hello, parse_challenge, parse_welcome):
        try:
            parse(message)
        except RemoteProtocolError:
            continue
