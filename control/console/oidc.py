"""Sign-in of people by OpenID Connect: authorization code with PKCE, by msal.

msal keeps state, nonce and code verifier; since 1.38 it no longer looks at the ID token, so that
is done here: signature, issuer, audience, times. Source: OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msal
import requests
from pydantic import SecretStr

from ..client.keys import KeyCache, KeysUnavailableError
from ..client.tokens import AuthoritySession
from ..tls import client_context
from .settings import EVERYONE, ConsoleSettings

log = logging.getLogger("mixminus.control.console")

FLOW_S: Final = 600.0
"""How long somebody may take at the issuer's page."""
MAX_FLOWS: Final = 256
LEEWAY_S: Final = 60.0
"""How far the issuer's clock may be from ours."""
SCOPES: Final = ("email",)
"""Beside openid and profile, which msal asks for by itself."""
ALGORITHMS: Final = ("RS256",)
CLAIMS: Final = ("oid", "sub", "preferred_username")
MAX_NAME: Final = 120
AGAIN: Final = "the sign-in could not be completed: start it again"


class OidcError(Exception):
    """Nobody was signed in. The message is for whoever tried, and tells nothing of the tokens."""


class NotAllowedError(OidcError):
    """The issuer vouches for them, but the settings do not name them."""


class _NoTokens(msal.TokenCache):  # type: ignore[misc]
    """Keeps nothing: who somebody is is all that is wanted."""

    def add(self, event: Any, now: Any = None) -> None:
        """Forget the tokens that came."""


@dataclass(frozen=True, slots=True)
class _Flow:
    until_s: float
    msal: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Issuer:
    """What discovery said, and msal's application made of it."""

    name: str
    application: msal.ClientApplication


class OidcSignIn:
    """Leads people to the issuer and back. *now* is for tests.

    Thread: the loop's; msal and requests work in threads.
    """

    def __init__(
        self, settings: ConsoleSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        if settings.oidc_authority is None or settings.oidc_client_id is None:
            raise ValueError("expected settings with oidc_authority and oidc_client_id")
        self._authority = settings.oidc_authority
        self._client_id = settings.oidc_client_id
        self._secret: SecretStr | None = settings.oidc_client_secret
        self._allowed = {name.casefold() for name in settings.oidc_allowed}
        self._now = now
        self._flows: OrderedDict[str, _Flow] = OrderedDict()
        self._session = AuthoritySession(settings.oidc_ca_file)
        self._metadata_url = f"{self._authority}/.well-known/openid-configuration"
        self._keys = KeyCache(self._metadata_url, ssl_context=client_context(settings.oidc_ca_file))
        self._issuer: _Issuer | None = None
        self._discovering = asyncio.Lock()

    async def start(self, redirect_uri: str) -> tuple[str, str]:
        """Return where to send the browser, and the id of the flow: a secret for its cookie.

        Raises: OidcError when the issuer cannot be reached, or is none.
        """
        issuer = await self._discovered()
        with warnings.catch_warnings():
            # msal advises form_post: a POST from another site, that brings no Lax cookie along. In
            # a query the code is as safe: good once, with its verifier, and led away from at once.
            warnings.filterwarnings("ignore", "response_mode", UserWarning)
            flow: dict[str, Any] = issuer.application.initiate_auth_code_flow(
                list(SCOPES), redirect_uri=redirect_uri
            )
        flow_id = secrets.token_urlsafe(32)
        self._forget_old()
        self._flows[flow_id] = _Flow(self._now() + FLOW_S, flow)
        while len(self._flows) > MAX_FLOWS:
            self._flows.popitem(last=False)
        return str(flow["auth_uri"]), flow_id

    async def finish(self, flow_id: str | None, answer: Mapping[str, str]) -> str | None:
        """Take the issuer's answer to the flow of that id, once; return the person's name.

        Raises: OidcError, NotAllowedError.
        """
        self._forget_old()
        flow = None if flow_id is None else self._flows.pop(flow_id, None)
        if flow is None:
            raise OidcError("that sign-in took too long, or was begun elsewhere: start it again")
        issuer = await self._discovered()
        id_token = await asyncio.to_thread(_redeem, issuer.application, flow.msal, dict(answer))
        claims = await self._verified(id_token, issuer.name)
        self._expect_allowed(claims)
        name = claims.get("name") or claims.get("preferred_username") or claims["sub"]
        return str(name)[:MAX_NAME]

    async def close(self) -> None:
        """Close the connections to the issuer. Again is no error."""
        await self._keys.close()
        self._session.close()

    def _forget_old(self) -> None:
        now_s = self._now()
        # In the order of their beginning, so that the oldest expire first.
        while self._flows and next(iter(self._flows.values())).until_s <= now_s:
            self._flows.popitem(last=False)

    async def _discovered(self) -> _Issuer:
        async with self._discovering:
            if self._issuer is None:
                self._issuer = await asyncio.to_thread(self._discover)
            return self._issuer

    def _discover(self) -> _Issuer:
        secret = None if self._secret is None else self._secret.get_secret_value()
        made = (
            msal.PublicClientApplication if secret is None else msal.ConfidentialClientApplication
        )
        try:
            metadata = self._metadata()
            application = made(
                self._client_id,
                client_credential=secret,
                oidc_authority=self._authority,
                instance_discovery=False,
                token_cache=_NoTokens(),
                http_client=self._session,
                # Entra alone knows that one, and no refresh is wanted.
                exclude_scopes=["offline_access"],
            )
        except requests.RequestException as error:
            raise OidcError(
                f"the issuer {self._authority} cannot be reached: {type(error).__name__}"
            ) from error
        except (ValueError, LookupError, AttributeError, TypeError, RuntimeError) as error:
            # msal's words for metadata that is none; its message may quote the answer.
            log.warning("the issuer %s: %s", self._authority, error)
            raise OidcError(f"{self._authority} does not answer as an OpenID issuer") from error
        name = metadata.get("issuer") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or "{" in name:
            raise OidcError(f"{self._authority} is of no one tenant: name it in oidc_authority")
        return _Issuer(name, application)

    def _metadata(self) -> Any:
        answer = self._session.get(self._metadata_url)
        try:
            return answer.json()
        except requests.JSONDecodeError as error:  # Which is a RequestException, too.
            raise ValueError(f"no JSON, with status {answer.status_code}") from error

    async def _verified(self, id_token: str, issuer: str) -> dict[str, Any]:
        """Return the claims of an ID token that is right in every respect.

        Raises: OidcError.
        """
        try:
            kid = jwt.get_unverified_header(id_token).get("kid", "")
            key = await self._keys.get(str(kid))
            if key is None:
                raise OidcError("the issuer signed with a key that it does not publish")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._client_id,
                issuer=issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except KeysUnavailableError as error:
            raise OidcError(f"the issuer's keys cannot be had: {error}") from error
        except jwt.PyJWTError as error:
            log.warning("an ID token was refused: %s", error)
            raise OidcError(f"the issuer's ID token was refused: {error}") from error
        audience = claims["aud"]
        if (
            isinstance(audience, list)
            and len(audience) > 1
            and claims.get("azp") != self._client_id
        ):
            raise OidcError("the issuer's ID token is for another application, too")
        return claims

    def _expect_allowed(self, claims: Mapping[str, Any]) -> None:
        names = [claims.get(claim) for claim in CLAIMS]
        if claims.get("email_verified") is True:
            names.append(claims.get("email"))
        is_known = any(isinstance(name, str) and name.casefold() in self._allowed for name in names)
        if not is_known and EVERYONE not in self._allowed:
            log.warning("somebody the issuer knows is not in console.oidc_allowed")
            raise NotAllowedError(
                "you are known to the issuer, but may not use this console: "
                "whoever runs it can name you in console.oidc_allowed"
            )


def _redeem(
    application: msal.ClientApplication, flow: dict[str, Any], answer: dict[str, str]
) -> str:
    """Exchange the code for an ID token, in a thread.

    Raises: OidcError.
    """
    try:
        given = application.acquire_token_by_auth_code_flow(flow, answer)
    except requests.RequestException as error:
        raise OidcError(f"the issuer cannot be reached: {type(error).__name__}") from error
    except Exception as error:
        # The boundary to msal, which has no error of its own for a wrong state or nonce, or for
        # a token that is none. Its message may quote them: only their kind is told.
        log.warning("a sign-in was refused: %s", type(error).__name__)
        raise OidcError(AGAIN) from error
    if "error" in given:
        # The issuer's word, cut to what an error code may be (RFC 6749 section 5.2).
        code = "".join(each for each in str(given["error"])[:40] if each.isalnum() or each == "_")
        log.warning("the issuer refused a sign-in: %s", code)
        raise OidcError(f"the issuer refused the sign-in ({code}): start it again")
    id_token = given.get("id_token")
    if not isinstance(id_token, str):
        raise OidcError("the issuer gave no ID token")
    return id_token
