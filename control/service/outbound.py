"""The one way in which this service opens an HTTP address that came from outside."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2

from .guard import AddressGuard, AddressRefusedError

USER_AGENT: Final = "mixminus (Calling/1.0)"
REPLY_BYTES: Final = 64 * 1024
"""More of a reply to a POST than this is not read."""

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
HTTPS: Final = ("https",)


class OutboundError(Exception):
    """Nothing came of a request; the message says why, without the address."""


class TooLargeError(OutboundError):
    """What was fetched is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from a POST: the body's first 64 KiB, ``is_cut`` when there was more."""

    status: int
    content_type: str
    body: bytes
    is_cut: bool

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300


class Outbound:
    """Posts to and fetches from addresses that came from outside.

    Every address passes the guard, which resolves its name once; the connection goes to that very
    address under the name's own certificate. HTTPS alone, no proxies, no cookies; a redirect is
    another address from outside. Safe for many requests at once.
    """

    def __init__(
        self, guard: AddressGuard, ssl_context: ssl.SSLContext, user_agent: str = USER_AGENT
    ) -> None:
        self._guard = guard
        self._client = httpx2.AsyncClient(
            verify=ssl_context,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # Each request has one for all of it.
            # No limit of connections: a receiver that hangs must not use up those of others.
            # Idle ones for 5 s: a receiver that catches up is not met by a handshake for each post.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
            headers={"User-Agent": user_agent},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def post(
        self, url: str, body: bytes | str, headers: Mapping[str, str], timeout_s: float
    ) -> Reply:
        """Post *body* and return what came back. A redirect is a reply, and not followed.

        Units:  timeout_s is for everything from the name's resolution to the reply's last byte.
        Raises: OutboundError; AddressRefusedError.
        """
        headers = {"Accept": "application/json", **headers}
        async with (
            _told(timeout_s),
            self._opened("POST", url, headers=headers, content=body) as response,
        ):
            content, is_cut = await _read(response.aiter_raw(), REPLY_BYTES)
            content_type = response.headers.get("content-type", "")
            return Reply(response.status_code, content_type, content, is_cut)

    async def fetch(self, url: str, limit_bytes: int, timeout_s: float) -> bytes:
        """Return what *url* holds, over at most five redirects.

        Raises: OutboundError when it cannot be had (TooLargeError when it has too many bytes);
                AddressRefusedError for an address, also a redirect's, that is not to be opened.
        """
        async with _told(timeout_s):
            for _ in range(1 + MAX_REDIRECTS):
                # As it is: a packed reply could unpack to any size.
                headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
                async with self._opened("GET", url, headers=headers) as response:
                    if response.status_code in REDIRECTS:
                        url = _redirected(url, response.headers.get("location"))
                        continue
                    return await _fetched(response, limit_bytes)
            raise OutboundError(f"expected at most {MAX_REDIRECTS} redirects, got more")

    async def close(self) -> None:
        """Close the connections. Again is no error."""
        await self._client.aclose()

    @asynccontextmanager
    async def _opened(
        self, method: str, url: str, headers: dict[str, str], content: bytes | str | None = None
    ) -> AsyncIterator[httpx2.Response]:
        extensions: dict[str, Any] = {}
        address = await self._guard.pin(url, HTTPS)
        if address is not None:
            parts = urlsplit(url)
            # The pool knows connections by address: one that proved to be this host must not carry
            # what is for another host there.
            headers = {**headers, "Host": parts.netloc, "Connection": "close"}
            extensions = {"sni_hostname": parts.hostname}
            url = _with_address(url, address)
        async with self._client.stream(
            method, url, content=content, headers=headers, extensions=extensions
        ) as response:
            yield response


@asynccontextmanager
async def _told(timeout_s: float) -> AsyncIterator[None]:
    """Turn what a request may fail with into an OutboundError."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except AddressRefusedError:
        raise
    except TimeoutError:
        raise OutboundError("timed out") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
        raise OutboundError(type(error).__name__) from error


async def _fetched(response: httpx2.Response, limit_bytes: int) -> bytes:
    if response.status_code != 200:
        raise OutboundError(f"status {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise OutboundError("expected a body that is not encoded")
    length = response.headers.get("content-length", "")
    is_cut = length.isdecimal() and int(length) > limit_bytes
    content = b""
    if not is_cut:
        content, is_cut = await _read(response.aiter_raw(), limit_bytes)
    if is_cut:
        raise TooLargeError(f"expected at most {limit_bytes} bytes, got more")
    return content


async def _read(chunks: AsyncIterator[bytes], limit_bytes: int) -> tuple[bytes, bool]:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit_bytes:
            return bytes(content[:limit_bytes]), True
    return bytes(content), False


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise OutboundError("a redirect without a location")
    return urljoin(url, location)


def _with_address(url: str, address: str) -> str:
    """Return *url* with its host replaced by *address*."""
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
