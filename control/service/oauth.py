"""The token authority: what msal asks for, in the words of Entra."""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ..jws import ALGORITHM
from ..store.base import AppRow, Store
from .bodies import read_body
from .keys import SigningKey
from .tokens import ACCESS_TOKEN_S, GRAPH_APP_ID, GRAPH_RESOURCE, AccessTokens
from .urls import ServiceUrls

FORM_BYTES = 16 * 1024
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """A refused token request. Source: RFC 6749 section 5.2, with Entra's further members."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.number, self.message = status, error, number, message

    def response(self) -> JSONResponse:
        """Build the error body as Entra does."""
        trace, correlation = uuid.uuid4(), uuid.uuid4()
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        body = {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.message} Trace ID: {trace}"
            f" Correlation ID: {correlation} Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": str(trace),
            "correlation_id": str(correlation),
        }
        return JSONResponse(body, self.status, headers=NO_STORE)


class Authority:
    """Answers the requests of OAuth 2.0 client credentials and OpenID discovery."""

    def __init__(
        self,
        store: Store,
        urls: ServiceUrls,
        tokens: AccessTokens,
        token_key: SigningKey,
        notification_key: SigningKey,
    ) -> None:
        self._store, self._urls, self._tokens = store, urls, tokens
        self._token_key, self._notification_key = token_key, notification_key
        self.issued = self.refused = 0

    def router(self) -> APIRouter:
        """Return the routes of the authority, and of the notification keys."""
        router = APIRouter(tags=["authority"])
        add = router.add_api_route
        add("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"])
        add("/{tenant}/v2.0/.well-known/openid-configuration", self.metadata, methods=["GET"])
        add("/{tenant}/discovery/v2.0/keys", self.token_keys, methods=["GET"])
        add("/common/discovery/instance", self.instance, methods=["GET"])
        add("/v1/.well-known/OpenIdConfiguration", self.notification_metadata, methods=["GET"])
        add("/v1/.well-known/keys", self.notification_keys, methods=["GET"])
        return router

    async def token(self, tenant: str, request: Request) -> JSONResponse:
        """Give an application an access token for its secret (client credentials)."""
        try:
            self._check_tenant(tenant)
            form = await _read_form(request)
            app = await self._authenticate(form, request.headers.get("authorization"))
            self._check_grant(form)
        except OAuthError as error:
            self.refused += 1
            return error.response()
        self.issued += 1
        body = {
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_S,
            "ext_expires_in": ACCESS_TOKEN_S,
            "access_token": self._tokens.issue(app),
        }
        return JSONResponse(body, headers=NO_STORE)

    async def metadata(self, tenant: str) -> JSONResponse:
        """Describe the authority (OpenID Connect discovery)."""
        try:
            self._check_tenant(tenant)
        except OAuthError as error:
            return error.response()
        authority = self._urls.authority
        return JSONResponse(
            {
                "issuer": self._urls.token_issuer,
                "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                "token_endpoint": f"{authority}/oauth2/v2.0/token",
                "jwks_uri": f"{authority}/discovery/v2.0/keys",
                "response_types_supported": ["token"],
                "subject_types_supported": ["pairwise"],
                "grant_types_supported": ["client_credentials"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "client_secret_basic",
                ],
                "msgraph_host": self._urls.base.removeprefix("https://"),
            }
        )

    async def token_keys(self, tenant: str) -> JSONResponse:
        """Publish the keys that sign access tokens."""
        try:
            self._check_tenant(tenant)
        except OAuthError as error:
            return error.response()
        return JSONResponse(self._token_key.published())

    async def instance(self) -> JSONResponse:
        """Say that this authority vouches for itself (instance discovery)."""
        host = self._urls.base.removeprefix("https://")
        return JSONResponse(
            {
                "tenant_discovery_endpoint": (
                    f"{self._urls.authority}/v2.0/.well-known/openid-configuration"
                ),
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                ],
            }
        )

    async def notification_metadata(self) -> JSONResponse:
        """Describe who signs notifications, as the live service's document does."""
        return JSONResponse(
            {
                "issuer": self._urls.notification_issuer,
                "jwks_uri": self._urls.notification_keys,
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    async def notification_keys(self) -> JSONResponse:
        """Publish the keys that sign notifications."""
        return JSONResponse(self._notification_key.published())

    def _check_tenant(self, tenant: str) -> None:
        if tenant.casefold() != self._urls.tenant_id.casefold():
            raise OAuthError(400, "invalid_request", 90002, f"Tenant '{tenant[:64]}' not found.")

    async def _authenticate(self, form: Mapping[str, str], authorization: str | None) -> AppRow:
        client_id, secret = _credentials(form, authorization)
        if not client_id:
            raise _missing("client_id")
        app = await self._store.app(client_id)
        if app is None or app.tenant_id != self._urls.tenant_id:
            raise OAuthError(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id[:64]}' was not found in the directory.",
            )
        if not secret:
            raise OAuthError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_secret'.",
            )
        if not hmac.compare_digest(secret.encode(), app.secret.encode()):
            raise OAuthError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is"
                " the client secret value, not the client secret ID.",
            )
        return app

    def _check_grant(self, form: Mapping[str, str]) -> None:
        grant = form.get("grant_type")
        if not grant:
            raise _missing("grant_type")
        if grant != "client_credentials":
            raise OAuthError(
                400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
            )
        scope = form.get("scope")
        if not scope:
            raise _missing("scope")
        resources = (GRAPH_RESOURCE, GRAPH_APP_ID, self._urls.graph)
        if scope not in {f"{resource}/.default" for resource in resources}:
            raise OAuthError(
                400,
                "invalid_scope",
                1002012,
                "The provided value for scope is not valid. Client credential flows must have a"
                " scope value with /.default suffixed to the resource identifier.",
            )


def _missing(name: str) -> OAuthError:
    return OAuthError(
        400,
        "invalid_request",
        900144,
        f"The request body must contain the following parameter: '{name}'.",
    )


async def _read_form(request: Request) -> dict[str, str]:
    """Read a urlencoded body; a parameter that comes twice is an error (RFC 6749 section 3.2)."""
    raw = await read_body(request, FORM_BYTES)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        pairs = [("", ""), ("", "")]
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError(400, "invalid_request", 900144, "The request body is not a valid form.")
    return form


def _credentials(form: Mapping[str, str], authorization: str | None) -> tuple[str, str]:
    """Return client id and secret, from the body or from HTTP Basic."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.casefold() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return "", ""
        return unquote_plus(user), unquote_plus(password)
    return form.get("client_id", ""), form.get("client_secret", "")
