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
FETCH_EVERY_S: Final = 30.0
"""However many ids are not known and however often a refresh fails: one fetch in this time."""
RETRY_S: Final = 1.0
"""How soon a fetch that failed is tried again while no usable key is known at all."""
UNKNOWN_S: Final = 300.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MAX_UNKNOWN: Final = 128
MIN_RSA_BITS: Final = 2048
MIN_RSA_EXPONENT: Final = 65537
FETCH_S: Final = 10.0
"""How long both documents together may take, however slowly they drip."""


class KeysUnavailableError(Exception):
    """Nobody can tell yet whose key it is: try again in *retry_after_s*."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


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
        if not _may_verify(entry) or not isinstance(kid, str) or not kid:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm="RS256").key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # One entry that nobody can read takes no other with it.
        if isinstance(key, RSAPublicKey) and _is_strong(key):
            keys[kid] = key
    if not keys:
        raise ValueError("expected at least one RSA signing key")
    return keys


def _may_verify(entry: Mapping[str, Any]) -> bool:
    """Say whether a JWK is for signatures of our kind. Source: RFC 7517 sections 4.2 to 4.4."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and entry.get("alg", "RS256") == "RS256"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _is_strong(key: RSAPublicKey) -> bool:
    return key.key_size >= MIN_RSA_BITS and key.public_numbers().e >= MIN_RSA_EXPONENT


class KeyCache:
    """The keys behind one OpenID metadata URL.

    Fetched at the first use and every two hours, while the known ones go on being used; a failed
    fetch keeps what is known, for up to a day. A key id that is not known makes it fetch too, but
    never twice in 30 s: until the issuer could be asked, nobody can tell whose it is. An id that
    the issuer did not know is not asked for again for five minutes. *now* is for tests.
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
        self._fetching: asyncio.Task[None] | None = None
        self.fetches = 0
        self.failed_fetches = 0
        self._last_good_fetch = 0

    async def get(self, kid: str) -> RSAPublicKey | None:
        """Return the key called *kid*, or None if the issuer said that it has none of that name.

        Raises: KeysUnavailableError when no keys are known and none can be fetched, or when the
        issuer may not be asked about *kid* yet.
        """
        fetches_before = self.fetches
        if self._is_due():
            self._start_fetch()
        if not self._is_usable():
            await self._fetched()
            if not self._is_usable():
                raise KeysUnavailableError(f"no signing keys from {self._metadata_url}")
        if kid in self._keys or self._is_known_to_be_unknown(kid):
            return self._keys.get(kid)
        if self._may_fetch():
            self._start_fetch()
        await self._fetched()
        if kid in self._keys:
            return self._keys[kid]
        if self._last_good_fetch <= fetches_before:
            # Not asked since this id came up, and a key may be new: that is no refusal.
            wait_s = (self._tried_at or 0.0) + FETCH_EVERY_S - self._now()
            raise KeysUnavailableError("the signing key is not known yet", max(wait_s, RETRY_S))
        self._remember_unknown(kid)
        return None

    @property
    def age_s(self) -> float | None:
        """How old the keys in use are; None before the first."""
        return None if self._fetched_at is None else self._now() - self._fetched_at

    async def close(self) -> None:
        """Stop fetching and close the connections. Again is no error."""
        task = self._fetching
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._http.aclose()

    def _is_due(self) -> bool:
        is_old = self._fetched_at is None or self._now() - self._fetched_at >= REFRESH_S
        return is_old and self._may_fetch()

    def _may_fetch(self) -> bool:
        pause_s = FETCH_EVERY_S if self._is_usable() else RETRY_S
        return self._tried_at is None or self._now() - self._tried_at >= pause_s

    def _is_usable(self) -> bool:
        return self._fetched_at is not None and self._now() - self._fetched_at < STALE_S

    def _is_known_to_be_unknown(self, kid: str) -> bool:
        return self._now() < self._unknown.get(kid, 0.0)

    def _remember_unknown(self, kid: str) -> None:
        self._unknown[kid] = self._now() + UNKNOWN_S
        self._unknown.move_to_end(kid)
        if len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)

    def _start_fetch(self) -> None:
        """Fetch the keys in a task of their own: who waits for them may go away."""
        if self._fetching is not None:
            return
        self._tried_at = self._now()
        self.fetches += 1
        self._fetching = asyncio.create_task(
            self._fetch(self.fetches, self._tried_at), name="signing keys"
        )

    async def _fetched(self) -> None:
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    async def _fetch(self, number: int, started_at: float) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                keys_url = read_keys_url(await self._get_json(self._metadata_url))
                keys = read_keys(await self._get_json(keys_url))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as exc:
            self.failed_fetches += 1
            log.warning("signing keys from %s: %s", self._metadata_url, exc or type(exc).__name__)
        else:
            self._keys, self._fetched_at, self._last_good_fetch = keys, started_at, number
        finally:
            self._fetching = None

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
