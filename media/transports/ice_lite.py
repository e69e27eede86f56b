"""The lite side of ICE: binding requests in, responses out. Pure; time and addresses are given.

A lite agent checks nothing itself (RFC 8445 section 2.5): it answers whoever proves to know its
password, and so learns from where the far end can be reached. All others are met with silence.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from aioice import stun

MAX_REQUEST_BYTES: Final = 1024
"""Browsers' checks have 90 to 200."""

MAX_ATTRIBUTES: Final = 24
MAX_USERNAME_BYTES: Final = 513
"""RFC 8489 section 14.3."""

UFRAG_CHARS: Final = 12
PASSWORD_CHARS: Final = 32
"""72 and 192 bits; RFC 8445 section 5.3 asks for 24 and 128."""

_HEADER_BYTES: Final = 20
_BINDING_REQUEST: Final = b"\x00\x01"
_BINDING_INDICATION: Final = b"\x00\x11"
_USERNAME: Final = 0x0006
_ROLE_CONFLICT: Final = (487, "Role Conflict")
_ICE_CHARS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Heard(Enum):
    """What became of a STUN message; the values name counters."""

    VALID = "stun_valid"
    """A good check: its source address is validated."""
    ROLE_CONFLICT = "stun_role_conflict"
    """The far end has proven itself, and takes itself for the controlled side: it was told."""
    INDICATION = "stun_indication"
    """A keep-alive, which nobody signs: it proves nothing."""
    UNEXPECTED = "stun_unexpected"
    """Another kind of message. We send no requests, so no response is ours."""
    UNKNOWN_USER = "stun_unknown_user"
    FORGED = "stun_forged"
    """For one of our legs, without good MESSAGE-INTEGRITY."""
    MALFORMED = "stun_malformed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One generation of our side of ICE. A restart makes another."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class Check:
    """What one message came to.

    ``response`` goes back to where it came from, once its address is routed; None: silence.
    ``credentials`` are those that the far end has proven to know; None if it has not.
    """

    heard: Heard
    response: bytes | None = None
    credentials: Credentials | None = None
    nominates: bool = False
    priority: int = 0


def new_credentials() -> Credentials:
    """Make credentials that nobody guesses."""
    return Credentials(
        "".join(secrets.choice(_ICE_CHARS) for _ in range(UFRAG_CHARS)),
        "".join(secrets.choice(_ICE_CHARS) for _ in range(PASSWORD_CHARS)),
    )


def check(
    data: bytes, source: tuple[str, int], find: Callable[[bytes], Credentials | None]
) -> Check:
    """Look at one STUN message that came from *source*; *find* knows our credentials by ufrag.

    Raises: nothing, whatever comes.
    Source: RFC 8445 sections 7.3 and 5.3, RFC 8489 section 9.1 (short-term credentials).

    A stranger's message is given up before anything is computed for it.
    """
    kind = data[:2]
    if kind == _BINDING_INDICATION:
        return Check(Heard.INDICATION)
    if kind != _BINDING_REQUEST:
        return Check(Heard.UNEXPECTED)
    username = _find_username(data)
    if username is None:
        return Check(Heard.MALFORMED)
    credentials = find(username.partition(b":")[0])
    if credentials is None:
        return Check(Heard.UNKNOWN_USER)
    try:
        request = stun.parse_message(data)
        if request.attributes.get("USERNAME", "").encode() != username:
            return Check(Heard.MALFORMED)
        key = credentials.password.encode()
        if not request.check_message_integrity(key):
            return Check(Heard.FORGED)
        conflict = "ICE-CONTROLLED" in request.attributes
        return Check(
            Heard.ROLE_CONFLICT if conflict else Heard.VALID,
            _respond(request.transaction_id, source, key, conflict),
            credentials,
            "USE-CANDIDATE" in request.attributes and not conflict,
            request.attributes.get("PRIORITY", 0),
        )
    except Exception:
        # The library answers broken bytes with ValueError, struct.error, KeyError and others.
        return Check(Heard.MALFORMED)


def _respond(transaction_id: bytes, source: tuple[str, int], key: bytes, conflict: bool) -> bytes:
    attributes: dict[str, object] = (
        {"ERROR-CODE": _ROLE_CONFLICT} if conflict else {"XOR-MAPPED-ADDRESS": source}
    )
    kind = stun.Class.ERROR if conflict else stun.Class.RESPONSE
    response = stun.Message(stun.Method.BINDING, kind, transaction_id, attributes)
    response.add_message_integrity(key)
    return bytes(response)


def _find_username(data: bytes) -> bytes | None:
    """Return USERNAME of a request whose attributes lie within it, else None."""
    size = len(data)
    if (
        not _HEADER_BYTES < size <= MAX_REQUEST_BYTES
        or size % 4
        or _HEADER_BYTES + int.from_bytes(data[2:4], "big") != size
    ):
        return None
    username = None
    at = _HEADER_BYTES
    for _ in range(MAX_ATTRIBUTES):
        kind = int.from_bytes(data[at : at + 2], "big")
        value_bytes = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 4 + value_bytes
        if end > size:
            return None
        if kind == _USERNAME and username is None:
            if value_bytes > MAX_USERNAME_BYTES:
                return None
            username = data[at + 4 : end]
        at = end + -end % 4
        if at == size:
            return username
    return None
