"""The signing keys of whoever sends notifications: fetched rarely, kept through failures."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = logging.getLogger("mixminus.control.client")

REFRESH_S: Final = 2 * 3600.0
"""Microsoft's own client refreshes at this pace; a key is announced long before it is used."""
STALE_S: Final = 24 * 3600.0
FORCED_FETCH_EVERY_S: Final = 30.0
RETRY_S: Final = 1.0
"""How soon a first fetch, or a refresh, that failed is tried again."""
UNKNOWN_S: Final = 300.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MAX_UNKNOWN: Final = 128
MIN_RSA_BITS: Final = 2048


class KeysUnavailableError(Exception):
    """The keys cannot be fetched, and none are known that are fresh enough: try again later."""


class KeySource(Protocol):
    """Whoever knows signing keys by their id."""

    async def get(self, kid: str) -> RSAPublicKey | None:
        """Return the key called *kid*, or None if there is none."""


def read_keys_url(metadata: Any) -> str:
    """Return where OpenID *metadata* says that the keys are.

    Raises: ValueError when it names no https URL.
    """
    url = metadata.get("jwks_uri") if isinstance(metadata, dict) else None
    if not isinstance(url, str) or urlsplit(url).scheme != "https":
        raise ValueError("expected metadata with an https jwks_uri")
    return url


def read_keys(document: Any) -> dict[str, RSAPublicKey]:
    """Return the RSA signing keys of a JWKS by their id; others are left out.

    Raises: ValueError when *document* is no JWKS, or has no such key.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("expected a JWKS: an object with a list called keys")  # noqa: TRY004
    keys: dict[str, RSAPublicKey] = {}
    for entry in document["keys"][:MAX_KEYS]:
        if not isinstance(entry, dict) or entry.get("kty") != "RSA":
            continue
        kid = entry.get("kid")
        usable = entry.get("use", "sig") == "sig" and entry.get("alg", "RS256") == "RS256"
        if not usable or not isinstance(kid, str) or not kid:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm="RS256").key
        except jwt.PyJWTError:
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
            keys[kid] = key
    if not keys:
        raise ValueError("expected at least one RSA signing key")
    return keys


class KeyCache:
    """The keys behind one OpenID metadata URL.

    Fetched at the first use and every two hours; a failed fetch keeps what is known, for up to a
    day. A key id that is not known may force a fetch, at most one in 30 s; an id that the issuer
    did not know then forces none for five minutes. *now* is for tests.
    """

    def __init__(
        self,
        metadata_url: str,
        *,
        ssl_context: ssl.SSLContext,
        now: Callable[[], float] = time.monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._metadata_url = metadata_url
        self._now = now
        self._http = httpx2.AsyncClient(
            verify=ssl_context, trust_env=False, timeout=5.0, transport=transport
        )
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._forced_at: float | None = None
        self._one_at_a_time = asyncio.Lock()
        self.fetches = 0

    async def get(self, kid: str) -> RSAPublicKey | None:
        """Return the key called *kid*, or None if the issuer has none of that name.

        Raises: KeysUnavailableError when no keys are known and none can be fetched.
        """
        async with self._one_at_a_time:
            if self._is_due():
                await self._fetch()
            if not self._is_usable():
                raise KeysUnavailableError(f"no signing keys from {self._metadata_url}")
            if kid not in self._keys and self._may_force(kid):
                self._forced_at = self._now()
                await self._fetch()
            key = self._keys.get(kid)
            if key is None:
                self._remember_unknown(kid)
            return key

    async def close(self) -> None:
        """Close the connections. Again is no error."""
        await self._http.aclose()

    def _is_due(self) -> bool:
        now = self._now()
        if self._tried_at is not None and now - self._tried_at < RETRY_S:
            return False
        return self._fetched_at is None or now - self._fetched_at >= REFRESH_S

    def _is_usable(self) -> bool:
        return self._fetched_at is not None and self._now() - self._fetched_at < STALE_S

    def _may_force(self, kid: str) -> bool:
        now = self._now()
        if now < self._unknown.get(kid, now):
            return False
        return self._forced_at is None or now - self._forced_at >= FORCED_FETCH_EVERY_S

    def _remember_unknown(self, kid: str) -> None:
        self._unknown.setdefault(kid, self._now() + UNKNOWN_S)
        if self._unknown[kid] <= self._now():
            self._unknown[kid] = self._now() + UNKNOWN_S
        if len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)

    async def _fetch(self) -> None:
        self._tried_at = self._now()
        self.fetches += 1
        try:
            keys_url = read_keys_url(await self._get_json(self._metadata_url))
            keys = read_keys(await self._get_json(keys_url))
        except (httpx2.HTTPError, ValueError) as exc:
            log.warning("signing keys from %s: %s", self._metadata_url, exc or type(exc).__name__)
            return
        self._keys = keys
        self._fetched_at = self._tried_at

    async def _get_json(self, url: str) -> Any:
        body = bytearray()
        async with self._http.stream("GET", url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"expected at most {MAX_DOCUMENT_BYTES} bytes from {url}")
        try:
            return json.loads(body)
        except RecursionError:
            raise ValueError(f"nested too deep: {url}") from None
