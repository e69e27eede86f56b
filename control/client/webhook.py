"""Inbound notifications: whether the bearer token is the call service's, and what the body says.

Source: Microsoft Graph, commsNotifications; Bot Framework, "authenticate inbound requests".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..graph.notifications import (
    Notification,
    NotificationError,
    parse_envelope,
)
from .keys import KeySource

ALGORITHM: Final = "RS256"
LEEWAY_S: Final = 60
MAX_TOKEN_CHARS: Final = 16_384
MAX_KID_CHARS: Final = 256
MAX_NOTIFICATIONS: Final = 256
KEY_FROM_TOKEN: Final = ("crit", "jku", "jwk", "x5u", "x5c")
"""Header members by which a token would bring its own key, or rules that we do not know."""


class TokenRefusedError(Exception):
    """The request's bearer token is not one of the call service for this application."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid token speaks for: the tenant of the calls it may report on."""

    tenant_id: str
    issuer: str


def bearer_token(authorization: str | None) -> str:
    """Return the token of an ``Authorization`` header.

    Raises: TokenRefusedError when there is none.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.casefold() != "bearer" or not token.strip():
        raise TokenRefusedError("expected Authorization: Bearer")
    return token.strip()


def read_key_id(token: str) -> str:
    """Return the id of the key that signed *token*, from a header that asks for nothing unusual.

    Raises: TokenRefusedError.
    """
    if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2:
        raise TokenRefusedError("expected a JWT of reasonable length")
    raw = token.split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise TokenRefusedError("expected a JWT") from None
    if not isinstance(header, dict):
        raise TokenRefusedError("expected a JWT")
    if header.get("alg") != ALGORITHM:
        raise TokenRefusedError(f"expected a token signed with {ALGORITHM}")
    for name in KEY_FROM_TOKEN:
        if name in header:
            raise TokenRefusedError(f"a token with {name} in its header is refused")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARS:
        raise TokenRefusedError("expected a token that names its key")
    return kid


def validate(
    token: str, key: RSAPublicKey, *, audience: str, issuers: Collection[str], now_s: float
) -> Caller:
    """Return who *token* speaks for if *key* signed it, for *audience*, by one of *issuers*.

    Units:  now_s in seconds of Unix time.
    Raises: TokenRefusedError.
    """
    try:
        # The claims are compared below, exactly and with the caller's clock.
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            options={
                "require": ["exp", "nbf", "iss", "aud"],
                "verify_signature": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
            },
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise TokenRefusedError(f"the token does not verify: {type(exc).__name__}") from None
    if not isinstance(claims["iss"], str) or claims["iss"] not in issuers:
        raise TokenRefusedError("the token is from another issuer")
    if claims["aud"] != audience:
        raise TokenRefusedError("the token is for another application")
    if now_s >= _time(claims, "exp") + LEEWAY_S:
        raise TokenRefusedError("the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) > now_s + LEEWAY_S:
            raise TokenRefusedError("the token is not valid yet")
    tenant_id = claims.get("tid")
    if not isinstance(tenant_id, str) or not tenant_id:
        raise TokenRefusedError("the token names no tenant")
    return Caller(tenant_id, claims["iss"])


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefusedError(f"expected {name} to be a time")
    return float(value)


class TokenValidator:
    """Decides whether a request comes from the call service."""

    def __init__(self, keys: KeySource, *, audience: str, issuers: Collection[str]) -> None:
        self._keys = keys
        self._audience = audience
        self._issuers = frozenset(issuers)

    async def validate(self, authorization: str | None, now_s: float) -> Caller:
        """Return who the ``Authorization`` header speaks for.

        Raises: TokenRefusedError; KeysUnavailableError when nobody can tell.
        """
        token = bearer_token(authorization)
        key = await self._keys.get(read_key_id(token))
        if key is None:
            raise TokenRefusedError("the token is signed by an unknown key")
        return validate(token, key, audience=self._audience, issuers=self._issuers, now_s=now_s)


def parse_notifications(body: bytes) -> tuple[Notification, ...]:
    """Read a commsNotifications body, in its order.

    Raises: NotificationError.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise NotificationError("expected JSON") from None
    notifications = parse_envelope(document)
    if len(notifications) > MAX_NOTIFICATIONS:
        raise NotificationError(f"expected at most {MAX_NOTIFICATIONS} notifications")
    return notifications
