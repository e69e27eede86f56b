"""The media link's hello: who may carry which session, proven without sending the secret. No IO.

docs/media-link.md is the definition.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from .base import RemoteProtocolError
from .link_frames import U32, VERSION

NONCE_BYTES: Final = 32
MAX_HELLO_BYTES: Final = 4096
MAX_SESSION_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Hello:
    """What a call service says of itself: the session it carries, its epoch, and the proof.

    ``attempt`` counts the connections of one epoch, from 1.
    """

    session: str
    epoch: int
    attempt: int
    proof: str


def new_nonce() -> str:
    """Return a challenge that was never used before."""
    return secrets.token_hex(NONCE_BYTES)


def prove(secret: bytes, nonce: str, session: str, epoch: int, attempt: int) -> str:
    """Return the proof that the holder of *secret* answers this challenge, for this session.

    Source: RFC 2104 (HMAC) with SHA-256, over text, so that no encoding is ambiguous.
    """
    text = f"mixminus media link {VERSION}\n{nonce}\n{session}\n{epoch}\n{attempt}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def is_proven(hello: Hello, secret: bytes, nonce: str) -> bool:
    """Say whether *hello* carries the proof, in a time that does not depend on where it differs."""
    expected = prove(secret, nonce, hello.session, hello.epoch, hello.attempt)
    return hmac.compare_digest(expected.encode(), hello.proof.encode())


def write_challenge(nonce: str) -> str:
    """Write the host's first message."""
    return json.dumps({"type": "challenge", "version": VERSION, "nonce": nonce})


def write_hello(secret: bytes, nonce: str, session: str, epoch: int, attempt: int = 1) -> str:
    """Write the service's answer to a challenge."""
    return json.dumps(
        {
            "type": "hello",
            "version": VERSION,
            "session": session,
            "epoch": epoch,
            "attempt": attempt,
            "proof": prove(secret, nonce, session, epoch, attempt),
        }
    )


def write_welcome() -> str:
    """Write the host's consent: binary messages follow, both ways."""
    return json.dumps({"type": "welcome"})


def parse_challenge(message: bytes | str) -> str:
    """Return the nonce of a challenge.

    Raises: RemoteProtocolError.
    """
    fields = _parse(message, "challenge")
    return _text(fields, "nonce", 4 * NONCE_BYTES)


def parse_hello(message: bytes | str) -> Hello:
    """Return what a hello says; whether it is true is :func:`is_proven`'s to tell.

    Raises: RemoteProtocolError.
    """
    fields = _parse(message, "hello")
    return Hello(
        session=_text(fields, "session", MAX_SESSION_CHARS),
        epoch=_number(fields, "epoch"),
        attempt=_number(fields, "attempt"),
        proof=_text(fields, "proof", 4 * NONCE_BYTES),
    )


def parse_welcome(message: bytes | str) -> None:
    """Take the host's consent.

    Raises: RemoteProtocolError when it is something else.
    """
    _parse(message, "welcome")


def _parse(message: bytes | str, wanted: str) -> dict[str, Any]:
    if not isinstance(message, str) or len(message) > MAX_HELLO_BYTES:
        raise RemoteProtocolError(f"expected a {wanted}, a short JSON text")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"expected a {wanted}, got no JSON") from exc
    if not isinstance(fields, dict) or fields.get("type") != wanted:
        raise RemoteProtocolError(f"expected a {wanted}, got another message")
    if wanted != "welcome" and fields.get("version") != VERSION:
        raise RemoteProtocolError(f"expected version {VERSION} of the media link")
    return fields


def _text(fields: dict[str, Any], name: str, max_chars: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= max_chars or not value.isascii():
        raise RemoteProtocolError(f"expected {name} as a text of at most {max_chars} characters")
    return value


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= U32:
        raise RemoteProtocolError(f"expected {name} as a number of 0 to 2^32 - 1")
    return value
