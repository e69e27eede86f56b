"""Access tokens by client credentials, with msal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msal
import requests

GRAPH_SCOPE: Final = "https://graph.microsoft.com/.default"
"""The audience of a calls token, also at the embedded service: only who issues it differs."""
MICROSOFT_AUTHORITIES: Final = frozenset(
    {"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}
)
HTTP_TIMEOUT_S: Final = 10.0


class TokenError(Exception):
    """The authority gave no token. ``code`` is OAuth's, for example ``invalid_client``."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"no access token: {code}: {description}")
        self.code = code


class TokenSource(Protocol):
    """Whoever has access tokens."""

    async def token(self, *, refresh: bool = False) -> str:
        """Return a valid token; *refresh* asks for a new one, as after a 401."""


class _Session(requests.Session):
    """msal's HTTP: our own CA and no other, and never without a time limit."""

    def __init__(self, ca_file: Path | None) -> None:
        super().__init__()
        # REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE would otherwise win over `verify`, silently.
        self.trust_env = False
        if ca_file is not None:
            self.verify = str(ca_file)

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", HTTP_TIMEOUT_S)
        return super().request(*args, **kwargs)


class ClientCredentials:
    """Tokens for one application, cached until they expire.

    Thread: the loop's; msal works in a thread, one request at a time.
    """

    def __init__(
        self, authority: str, client_id: str, secret: str, *, ca_file: Path | None = None
    ) -> None:
        self._authority = authority
        self._client_id = client_id
        self._secret = secret
        self._session = _Session(ca_file)
        self._application: msal.ConfidentialClientApplication | None = None
        self._one_at_a_time = asyncio.Lock()

    async def token(self, *, refresh: bool = False) -> str:
        """Return a valid token, from the cache unless *refresh*.

        Raises: TokenError when the authority refuses or cannot be reached.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._acquire, refresh)

    async def close(self) -> None:
        """Close the connections to the authority. Again is no error."""
        async with self._one_at_a_time:
            self._session.close()

    def _acquire(self, refresh: bool) -> str:
        try:
            if self._application is None:
                host = urlsplit(self._authority).hostname
                self._application = msal.ConfidentialClientApplication(
                    self._client_id,
                    client_credential=self._secret,
                    authority=self._authority,
                    # Anyone else's authority is unknown to Microsoft's list of them.
                    instance_discovery=host in MICROSOFT_AUTHORITIES,
                    http_client=self._session,
                )
            if refresh:
                self._application.remove_tokens_for_client()
            answer = self._application.acquire_token_for_client([GRAPH_SCOPE])
        except requests.RequestException as exc:
            raise TokenError("unreachable", f"{self._authority}: {type(exc).__name__}") from exc
        except ValueError as exc:
            # msal's word for an authority that answers with something else than metadata.
            raise TokenError("invalid_authority", f"{self._authority}: {exc}") from exc
        token = answer.get("access_token")
        if not isinstance(token, str):
            description = str(answer.get("error_description", "without a description"))
            raise TokenError(str(answer.get("error", "unknown")), description.splitlines()[0])
        return token
