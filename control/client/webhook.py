"""Inbound notifications: whether the bearer token is the call service's, and what the body says.

Source: Microsoft Graph, commsNotifications; Bot Framework, "authenticate inbound requests".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..graph.notifications import (
    Notification,
    NotificationError,
    parse_envelope,
)
from ..jws import BadTokenError, check_claims, read_token
from ..whole_json import read_json
from .keys import KeySource

LEEWAY_S: Final = 60
"""How far the clocks of two machines may be apart."""
MAX_NOTIFICATIONS: Final = 256
MAX_TENANT_CHARS: Final = 256


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
    token = token.strip(" ")
    if scheme.casefold() != "bearer" or not token:
        raise TokenRefusedError("expected Authorization: Bearer")
    return token


class TokenValidator:
    """Decides whether a request comes from the call service."""

    def __init__(self, keys: KeySource, *, audience: str, issuers: Collection[str]) -> None:
        self._keys = keys
        self._audience = audience
        self._issuers = frozenset(issuers)

    async def validate(self, authorization: str | None, now_s: float) -> Caller:
        """Return who the ``Authorization`` header speaks for.

        A token that claims to be someone else's, or for someone else, costs no look at the keys.

        Raises: TokenRefusedError; KeysUnavailableError when nobody can tell.
        """
        try:
            token = read_token(bearer_token(authorization))
            check_claims(
                token.claims,
                issuers=self._issuers,
                audiences=(self._audience,),
                now_s=now_s,
                leeway_s=LEEWAY_S,
            )
            tenant_id = token.claims.get("tid")
            if not isinstance(tenant_id, str) or not _is_tenant(tenant_id):
                raise TokenRefusedError("the token names no tenant")
            key = await self._keys.get(token.key_id)
            if key is None:
                raise TokenRefusedError("the token is signed by an unknown key")
            token.verify(key)
        except BadTokenError as exc:
            raise TokenRefusedError(str(exc)) from None
        return Caller(tenant_id, token.claims["iss"])


def _is_tenant(tenant_id: str) -> bool:
    # A GUID or a domain name; never text that ends up as something else in a log or a URL.
    return (
        0 < len(tenant_id) <= MAX_TENANT_CHARS
        and tenant_id.isascii()
        and tenant_id.replace("-", "").replace(".", "").replace("_", "").isalnum()
    )


def parse_notifications(body: bytes) -> tuple[Notification, ...]:
    """Read a commsNotifications body, in its order.

    Raises: NotificationError.
    """
    try:
        document = read_json(body)
    except (ValueError, RecursionError):
        raise NotificationError("expected JSON") from None
    notifications = parse_envelope(document)
    if len(notifications) > MAX_NOTIFICATIONS:
        raise NotificationError(f"expected at most {MAX_NOTIFICATIONS} notifications")
    return notifications
