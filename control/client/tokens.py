"""Access tokens by client credentials, with msal."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import msal
import requests
import urllib3

GRAPH_SCOPE: Final = "https://graph.microsoft.com/.default"
"""The audience of a calls token, also at the embedded service: only who issues it differs."""
MICROSOFT_AUTHORITIES: Final = frozenset(
    {"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}
)
MAX_ANSWER_BYTES: Final = 1 << 20
HTTP_TIMEOUT_S: Final = 10.0
RENEW_S: Final = 300.0
"""How long before its end msal gets another token."""


class TokenError(Exception):
    """The authority gave no token. ``code`` is OAuth's, for example ``invalid_client``."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"no access token: {code}: {description}")
        self.code = code


@dataclass(slots=True)
class TokenCounts:
    """How often a token was asked for: had from the cache, fetched, or not had."""

    cached: int = 0
    fetched: int = 0
    failed: int = 0


class TokenSource(Protocol):
    """Whoever has access tokens."""

    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        """Return a valid token of a tenant, or of the application's own.

        *refresh* asks for a new one, as after a 401.
        """


class AuthoritySession(requests.Session):
    """msal's HTTP: our own CA and no other, never without a time limit.

    An answer of more than 1 MB is none.
    """

    def __init__(self, ca_file: Path | None) -> None:
        super().__init__()
        # REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE would otherwise win over `verify`, silently.
        self.trust_env = False
        if ca_file is not None:
            self.verify = str(ca_file)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, with a time limit of ours unless there is one."""
        kwargs.setdefault("timeout", HTTP_TIMEOUT_S)
        response = super().request(*args, **{**kwargs, "stream": True})
        # Read here, as far as an answer may go: requests itself would read without end.
        with response.raw as raw:
            try:
                body = raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise requests.ConnectionError(error, request=response.request) from error
        if len(body) > MAX_ANSWER_BYTES:
            raise requests.ConnectionError(
                f"expected at most {MAX_ANSWER_BYTES} bytes", request=response.request
            )
        response.raw = BytesIO(body)
        return response


@dataclass(frozen=True, slots=True)
class _Held:
    """The last token of an authority, and until when it holds, on the monotonic clock.

    msal forgets one five minutes before its end, whether another can be had or not. Before
    ``renew_s`` it need not be asked: that takes a thread, and one request at a time.
    """

    token: str
    until_s: float
    renew_s: float


class ClientCredentials:
    """Tokens for one application, cached for each tenant until they expire.

    *authority* names the application's own tenant in its path. The authority of another tenant,
    whose meeting is joined or whose user called, is the same with that tenant in its place.
    Thread: the loop's; msal works in a thread, one request at a time.
    """

    def __init__(
        self, authority: str, client_id: str, secret: str, *, ca_file: Path | None = None
    ) -> None:
        self._authority = authority.rstrip("/")
        self._client_id = client_id
        self._secret = secret
        self._session = AuthoritySession(ca_file)
        self._applications: dict[str, msal.ConfidentialClientApplication] = {}
        self._held: dict[str, _Held] = {}
        self.counts = TokenCounts()
        self._one_at_a_time = asyncio.Lock()

    async def token(self, *, tenant_id: str | None = None, refresh: bool = False) -> str:
        """Return a valid token of a tenant, or of the own one, from the cache unless *refresh*.

        One is renewed five minutes before its end; while that fails it is used until its end.
        Raises: TokenError when the authority refuses or cannot be reached.
        """
        authority = authority_of(self._authority, tenant_id)
        if not refresh and (held := self._fresh(authority)) is not None:
            return held
        async with self._one_at_a_time:
            # Who waited here has the token that the one before has brought.
            if not refresh and (held := self._fresh(authority)) is not None:
                return held
            try:
                token, is_cached = await asyncio.to_thread(self._acquire, authority, refresh)
            except TokenError:
                self.counts.failed += 1
                raise
        self.counts.cached += is_cached
        self.counts.fetched += not is_cached
        return token

    def fetch(self) -> str:
        """Return a valid token of the own tenant, without a loop.

        Raises: TokenError. Thread: any, while nobody else uses this object.
        """
        return self._acquire(self._authority, refresh=False)[0]

    async def close(self) -> None:
        """Close the connections to the authority. Again is no error."""
        async with self._one_at_a_time:
            self._session.close()

    def _fresh(self, authority: str) -> str | None:
        """Return the token that msal would give, or None when it has to be asked."""
        held = self._held.get(authority)
        if held is None or time.monotonic() >= held.renew_s:
            return None
        self.counts.cached += 1
        return held.token

    def _acquire(self, authority: str, refresh: bool) -> tuple[str, bool]:
        """Return a token, and whether it was in the cache."""
        held = self._held.get(authority)
        if refresh and held is not None:
            self._held[authority] = replace(held, renew_s=0.0)
        try:
            token, is_cached, lasts_s, renew_in_s = self._ask(authority, refresh)
        except TokenError:
            if refresh or held is None or time.monotonic() >= held.until_s:
                raise
            return held.token, True
        now_s = time.monotonic()
        self._held[authority] = _Held(token, now_s + lasts_s, now_s + renew_in_s)
        return token, is_cached

    def _ask(self, authority: str, refresh: bool) -> tuple[str, bool, float, float]:
        """Return a token, whether it was in msal's cache, and in seconds how long it holds.

        The last is after how long msal is to be asked again: at once for one of its cache.
        """
        try:
            application = self._application(authority)
            if refresh:
                application.remove_tokens_for_client()
            answer = application.acquire_token_for_client([GRAPH_SCOPE])
        except requests.RequestException as exc:
            raise TokenError("unreachable", f"{authority}: {type(exc).__name__}") from exc
        except msal.exceptions.MsalError as exc:
            # What msal says of a 5xx: that one may pass, as nobody who answers.
            raise TokenError("unreachable", f"{authority}: {exc}") from exc
        except ValueError as exc:
            # msal's word for an authority that answers with something else than metadata.
            raise TokenError("invalid_authority", f"{authority}: {exc}") from exc
        except (LookupError, AttributeError, TypeError, RecursionError) as exc:
            # What msal says of JSON that it did not expect.
            what = "it does not answer as an authority"
            raise TokenError("invalid_authority", f"{authority}: {what}") from exc
        token = answer.get("access_token")
        if not isinstance(token, str):
            description = str(answer.get("error_description") or "without a description")
            raise TokenError(str(answer.get("error", "unknown")), description.splitlines()[0])
        lasts_s = _seconds(answer.get("expires_in"), 0.0)
        if answer.get("token_source") == "cache":
            return token, True, lasts_s, 0.0
        # Tokens of a day are to be renewed long before their end.
        return token, False, lasts_s, min(lasts_s - RENEW_S, _seconds(answer.get("refresh_in")))

    def _application(self, authority: str) -> msal.ConfidentialClientApplication:
        application = self._applications.get(authority)
        if application is None:
            application = msal.ConfidentialClientApplication(
                self._client_id,
                client_credential=self._secret,
                authority=authority,
                # Anyone else's authority is unknown to Microsoft's list of them.
                instance_discovery=urlsplit(authority).hostname in MICROSOFT_AUTHORITIES,
                http_client=self._session,
            )
            self._applications[authority] = application
        return application


def _seconds(value: Any, default_s: float = math.inf) -> float:
    return float(value) if isinstance(value, int | float) else default_s


def authority_of(authority: str, tenant_id: str | None) -> str:
    """Return *authority* with *tenant_id* in the place of its tenant, the first part of its path.

    Source: Microsoft identity platform, endpoints: ``https://{host}/{tenant}``.
    """
    if tenant_id is None:
        return authority
    parts = urlsplit(authority)
    own, *rest = parts.path.strip("/").split("/")
    if own.casefold() == tenant_id.casefold():
        return authority
    path = "/".join(("", quote(tenant_id, safe=""), *rest))
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
