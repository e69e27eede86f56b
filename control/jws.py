"""A bearer token (JWS compact), read without mercy: one algorithm, one spelling, no key of its own.

Used on both sides: by a bot host for notifications, by a call service for access tokens.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHM: Final = "RS256"
MAX_TOKEN_CHARS: Final = 16_384
MAX_KEY_ID_CHARS: Final = 256
MAX_TIME_S: Final = 253_402_300_799
"""The end of the year 9999: no issuer means a later moment, and no clock of ours can show one."""
REFUSED_MEMBERS: Final = ("crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "epk", "cty")
"""Header members by which a token would bring its own key, a rule that we do not know, or another
kind of content. Others that we do not know are ignored (RFC 7515 section 4)."""
TYPES: Final = ("jwt", "at+jwt")

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")
_KEY_ID = re.compile(r"[A-Za-z0-9._~-]+\Z")


class Fault(Enum):
    """What is wrong with a token, as far as its sender is told."""

    MALFORMED = "malformed"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    LIFETIME = "lifetime"
    EXPIRED = "expired"


class BadTokenError(Exception):
    """A token that proves nothing. The message names what was expected, never the token."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class ReadToken:
    """A token of the right shape. Its claims are anyone's until ``verify`` has returned."""

    key_id: str
    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, key: RSAPublicKey) -> None:
        """Check that *key* signed the token.

        Raises: BadTokenError.
        Source: RFC 7518 section 3.3 (RS256).
        """
        try:
            key.verify(self.signature, self.signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise BadTokenError(Fault.SIGNATURE, "the token's signature does not hold") from None


def read_token(token: str) -> ReadToken:
    """Take *token* apart.

    Raises: BadTokenError unless it is three canonical base64url parts, the first an object that
    asks for RS256 and nothing unusual, the second an object; no member twice in either.
    Source: RFC 7515 section 3.1; RFC 8725 sections 3.1, 3.2, 3.10.
    """
    if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2:
        raise _malformed("expected a JWT of reasonable length")
    head, body, tail = token.split(".")
    header = _read_object(_decode(head), "header")
    if header.get("alg") != ALGORITHM:
        raise _malformed(f"expected a token signed with {ALGORITHM}")
    for name in REFUSED_MEMBERS:
        if name in header:
            raise _malformed(f"a token with {name} in its header is refused")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.casefold() not in TYPES:
        raise _malformed("expected a token of type JWT")
    for name in ("x5t", "x5t#S256"):
        if not isinstance(header.get(name, ""), str):
            raise _malformed(f"expected {name} to be text")
    key_id = header.get("kid")
    if (
        not isinstance(key_id, str)
        or len(key_id) > MAX_KEY_ID_CHARS
        or _KEY_ID.match(key_id) is None
    ):
        raise _malformed("expected a token that names its key")
    claims = _read_object(_decode(body), "claims")
    return ReadToken(key_id, claims, f"{head}.{body}".encode(), _decode(tail))


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuers: Collection[str],
    audiences: Collection[str],
    now_s: float,
    leeway_s: float = 0.0,
) -> None:
    """Check that *claims* are one of *issuers*' for one of *audiences*, and of this moment.

    Raises: BadTokenError. Times must be there (exp, nbf), or be times if they are (iat).
    Units:  now_s in seconds of Unix time.
    """
    issuer, audience = claims.get("iss"), claims.get("aud")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise BadTokenError(Fault.ISSUER, "the token is from another issuer")
    if not isinstance(audience, str) or audience not in audiences:
        raise BadTokenError(Fault.AUDIENCE, "the token is for another application")
    expires_s, not_before_s = _time(claims, "exp"), _time(claims, "nbf")
    issued_s = _time(claims, "iat") if "iat" in claims else not_before_s
    if now_s >= expires_s + leeway_s:
        raise BadTokenError(Fault.EXPIRED, "the token has expired")
    if max(not_before_s, issued_s) > now_s + leeway_s:
        raise BadTokenError(Fault.LIFETIME, "the token is not valid yet")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # Compared before it is converted: an int of a thousand digits does not fit a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME_S:
        raise BadTokenError(Fault.LIFETIME, f"expected {name} to be a time")
    return float(value)


def _decode(segment: str) -> bytes:
    """Decode base64url in its one spelling: no padding, no other character, no spare bits."""
    if _SEGMENT.match(segment) is None:
        raise _malformed("expected a JWT")
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise _malformed("expected a JWT") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise _malformed("expected a JWT in canonical base64url")
    return raw


def _read_object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        # Two readers may differ about a member that comes twice: nobody sends one honestly.
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique_members, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise _malformed(f"expected a JWT whose {what} is JSON") from None
    if not isinstance(value, dict):
        raise _malformed(f"expected a JWT whose {what} is an object")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _malformed(message: str) -> BadTokenError:
    return BadTokenError(Fault.MALFORMED, message)
