"""Tokens: what an application shows us, and what we show an application."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..graph import errors
from ..graph.enums import Role
from ..jws import BadTokenError, Fault, check_claims
from ..store.base import AppRow
from .keys import SigningKey
from .urls import ServiceUrls

GRAPH_RESOURCE = "https://graph.microsoft.com"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
ACCESS_TOKEN_S = 3599
"""How long an access token holds: what Entra says for one hour."""

NOTIFICATION_TOKEN_S = 3900
"""How long a notification's token holds: 65 minutes, as observed from the live service."""
RENEW_S = 600
"""A notification token with less left than this is made anew."""

REFUSALS = {
    Fault.EXPIRED: "Lifetime validation failed, the token is expired.",
    Fault.AUDIENCE: "Access token validation failure. Invalid audience.",
}
"""What Graph's gateway says of these; of all else it says that validation failed."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The application that sent a request."""

    app_id: str
    tenant_id: str
    roles: frozenset[str]

    def require(self, roles: frozenset[Role]) -> None:
        """Refuse the request unless the token carries all of *roles*.

        Raises: GraphError 403.
        """
        if not {role.value for role in roles} <= self.roles:
            raise errors.insufficient_permissions()

    def has_any(self, roles: frozenset[Role]) -> bool:
        """Say whether the token carries one of *roles*."""
        return not self.roles.isdisjoint(role.value for role in roles)


class AccessTokens:
    """Issues and checks the tokens of the Graph API."""

    def __init__(
        self, key: SigningKey, urls: ServiceUrls, clock: Callable[[], float] = time.time
    ) -> None:
        self._key, self._urls, self._clock = key, urls, clock

    def issue(self, app: AppRow) -> str:
        """Make a token for *app*, with the permissions it has now."""
        now = int(self._clock())
        claims: dict[str, Any] = {
            "aud": GRAPH_RESOURCE,
            "iss": self._urls.token_issuer,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_TOKEN_S,
            "app_displayname": app.display_name,
            "appid": app.app_id,
            "appidacr": "1",
            "idtyp": "app",
            "roles": list(app.roles),
            "sub": app.app_id,
            "tid": app.tenant_id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return self._key.sign(claims)

    def check(self, authorization: str | None) -> Principal:
        """Return who sent a request with that Authorization header.

        Raises: GraphError 401, in the words of Graph's gateway.
        """
        scheme, _, token = (authorization or "").strip(" ").partition(" ")
        token = token.strip(" ")
        if scheme.casefold() != "bearer" or not token:
            raise errors.unauthenticated("Access token is empty.")
        try:
            claims = self._key.verify(token)
            check_claims(
                claims,
                issuers=(self._urls.token_issuer,),
                audiences=(GRAPH_RESOURCE, GRAPH_APP_ID),
                now_s=self._clock(),
            )
        except BadTokenError as error:
            raise errors.unauthenticated(
                REFUSALS.get(error.fault, "Access token validation failure.")
            ) from None
        app_id, tenant_id, roles = claims.get("appid"), claims.get("tid"), claims.get("roles", [])
        if (
            not isinstance(app_id, str)
            or not app_id
            or tenant_id != self._urls.tenant_id
            or not isinstance(roles, list)
            or not all(isinstance(role, str) for role in roles)
        ):
            raise errors.unauthenticated("Access token validation failure.")
        return Principal(app_id, tenant_id, frozenset(roles))


class NotificationTokens:
    """Signs what we send to applications."""

    def __init__(
        self, key: SigningKey, urls: ServiceUrls, clock: Callable[[], float] = time.time
    ) -> None:
        self._key, self._urls, self._clock = key, urls, clock
        self._cache: dict[tuple[str, str], tuple[int, str]] = {}

    def bearer(self, app_id: str, tenant_id: str) -> str:
        """Return a token that tells *app_id* that a notification is from this service."""
        now = int(self._clock())
        expires, token = self._cache.get((app_id, tenant_id), (0, ""))
        # More left than it was made with: the clock was put back, and nobody takes it as valid yet.
        if not RENEW_S <= expires - now <= NOTIFICATION_TOKEN_S:
            expires = now + NOTIFICATION_TOKEN_S
            claims = {
                "aud": app_id,
                "iss": self._urls.notification_issuer,
                "iat": now,
                "nbf": now,
                "exp": expires,
                "tid": tenant_id,
            }
            token = self._key.sign(claims)
            self._cache[app_id, tenant_id] = (expires, token)
        return token
