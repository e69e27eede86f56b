"""Requests to the Graph API: token, retries, and errors as values."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2

from ..histogram import REQUEST_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..operation.call_context import step
from ..whole_json import read_json
from .exchanges import note_exchange
from .tokens import TokenSource

log = logging.getLogger("mixminus.control.client")

TIMEOUT: Final = httpx2.Timeout(10.0, connect=5.0)
MAX_ATTEMPTS: Final = 4
MAX_WAIT_S: Final = 60.0
_ID: Final = re.compile(r"/(?=[^/]*\d)[^/]{6,}")
THROTTLED: Final = frozenset({429, 503})
BROKEN_OFF: Final = frozenset({502, 504})
"""A gateway's word that it does not know what became of the request."""
SAFE_TO_REPEAT: Final = frozenset({"GET", "DELETE"})
"""Sent twice they do the same as once; of other methods the caller knows."""


class GraphRequestError(Exception):
    """Graph refused: ``status`` is HTTP's, ``code`` and ``message`` are the error body's."""

    def __init__(self, status: int, code: str, message: str, request_id: str = "") -> None:
        super().__init__(f"Graph answered {status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id

    @classmethod
    def from_response(cls, response: httpx2.Response) -> Self:
        """Read the error envelope, also one that a gateway has wrapped in its message."""
        error: Mapping[str, Any] = {}
        try:
            body = response.json()
            if isinstance(body, dict) and isinstance(body.get("error"), dict):
                error = body["error"]
        except ValueError:
            pass
        code, message = str(error.get("code", "")), str(error.get("message", ""))
        if code == "UnknownError":
            code, message = _unwrap(code, message)
        request_id = response.headers.get("request-id", "")
        return cls(response.status_code, code, message or response.reason_phrase, request_id)


class GraphConnectionError(ConnectionError):
    """Graph could not be reached, or broke off."""


@dataclass(frozen=True, slots=True)
class GraphResponse:
    """A successful answer; ``body`` is None when it had none."""

    status: int
    body: Any
    headers: Mapping[str, str]


def _unwrap(code: str, message: str) -> tuple[str, str]:
    try:
        inner = json.loads(message)
    except ValueError:
        return code, message
    if not isinstance(inner, dict):
        return code, message
    return str(inner.get("errorCode", code)), str(inner.get("message", message))


def retry_after_s(response: httpx2.Response, attempt: int) -> float:
    """Return how long to wait: as the server asks, else 0.5 s doubled per *attempt*, jittered."""
    try:
        asked = float(response.headers.get("Retry-After", ""))
    except ValueError:
        asked = float("nan")
    if asked >= 0.0:
        return min(asked, MAX_WAIT_S)
    # Spread, so that hosts throttled together do not come back together. No secret depends on it.
    return 0.5 * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311


class GraphClient:
    """Graph at one base URL, for one application.

    A 401 gets one new token; 429 and 503 wait as told, four attempts in all; a broken connection
    is tried again where repeating is safe. *gate* is awaited with method and URL before each
    request is sent, and raises GraphConnectionError when it must not be. *sleep* is for tests.
    """

    def __init__(
        self,
        base_url: str,
        tokens: TokenSource,
        *,
        version: str = "v1.0",
        ssl_context: ssl.SSLContext,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
        journal: Journal | None = None,
        gate: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        self._gate = gate
        self._tokens = tokens
        self._journal = journal
        self._sleep = sleep
        self._root = base_url.rstrip("/")
        self._base = f"{self._root}/{version}"
        self.answers: Counter[tuple[str, str]] = Counter()
        """Attempts by method and status; ``unreachable`` without one."""
        self.times = TimeHistogram(REQUEST_BOUNDS_S)
        self._http = httpx2.AsyncClient(
            # Explicit: SSL_CERT_FILE and proxies of the environment are not for us.
            verify=ssl_context,
            trust_env=False,
            timeout=TIMEOUT,
            transport=transport,
            headers={"User-Agent": "mixminus"},
        )

    def is_here(self, url: str) -> bool:
        """Say whether *url* is of this Graph: only there may its tokens go."""
        return url == self._root or url.startswith(f"{self._root}/")

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant_id: str | None = None,
        is_repeatable: bool | None = None,
        scenario_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> GraphResponse:
        """Send one request and return its answer.

        *path* is below the version, or a whole URL of this Graph. *tenant_id* is whose token
        speaks; None is the application's own tenant. *is_repeatable* says that doing it twice is
        doing it once; None knows that of GET and DELETE alone.
        Raises: GraphRequestError on any status from 300 on; GraphConnectionError; TokenError;
                ValueError on a URL of someone else.
        """
        if "://" in path and not self.is_here(path):
            raise ValueError(f"expected a URL of {self._root}, got {path}")
        url = path if "://" in path else self._base + path
        may_repeat = method in SAFE_TO_REPEAT if is_repeatable is None else is_repeatable
        extra = {**(headers or {}), **({"Scenario-Id": scenario_id} if scenario_id else {})}
        refresh = refreshed = False
        for attempt in range(MAX_ATTEMPTS):
            last = attempt == MAX_ATTEMPTS - 1
            token = await self._tokens.token(tenant_id=tenant_id, refresh=refresh)
            refresh = False
            try:
                response = await self._send(method, url, body, token, extra)
            except httpx2.TransportError as exc:
                if last or not may_repeat:
                    what = str(exc) or type(exc).__name__
                    raise GraphConnectionError(f"{self._base}: {what}") from exc
                await self._sleep(0.1 * 2**attempt)
                continue
            if response.status_code == 401 and not refreshed and not last:
                refresh = refreshed = True
                continue
            if not last and _is_worth_repeating(response, may_repeat):
                wait_s = retry_after_s(response, attempt)
                log.warning("%s %s: %d, again in %.1f s", method, url, response.status_code, wait_s)
                await self._sleep(wait_s)
                continue
            return _accept(response)
        raise AssertionError("the last attempt returns or raises")

    async def request_service(self, method: str, path: str, body: Any = None) -> GraphResponse:
        """Send one request to the service's own routes beside Graph's; it may be repeated.

        Raises: as :meth:`request`.
        """
        return await self.request(method, self._root + path, body, is_repeatable=True)

    async def fetch(self, url: str, bearer: str, *, limit_bytes: int) -> bytes:
        """Return what is at *url*, with a token that is for it alone; never with one of ours.

        Raises: GraphRequestError, also when it is longer than *limit_bytes*; GraphConnectionError;
                ValueError on an address that is not https.
        """
        if not url.casefold().startswith("https://"):
            raise ValueError(f"expected an https URL, got {url!r}")
        headers, content = {"Authorization": f"Bearer {bearer}"}, bytearray()
        try:
            async with self._http.stream("GET", url, headers=headers) as response:
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > limit_bytes:
                        raise GraphRequestError(
                            response.status_code, "", f"expected at most {limit_bytes} bytes"
                        )
                if response.status_code >= 300:
                    raise GraphRequestError(
                        response.status_code, "", f"{response.reason_phrase}: no recording"
                    )
        except httpx2.TransportError as exc:
            raise GraphConnectionError(f"{url}: {str(exc) or type(exc).__name__}") from exc
        return bytes(content)

    async def close(self) -> None:
        """Close the connections. Again is no error."""
        await self._http.aclose()

    async def _send(
        self, method: str, url: str, body: Any, token: str, extra: Mapping[str, str]
    ) -> httpx2.Response:
        headers = {
            **extra,
            "Authorization": f"Bearer {token}",
            "Client-Request-Id": str(uuid.uuid4()),
        }
        if self._gate is not None:
            await self._gate(method, url)
        began_s = time.perf_counter()
        code, response = "unreachable", None
        try:
            with step(f"{method} {_route(url)}", "client", headers) as span:
                response = await self._http.request(method, url, json=body, headers=headers)
                code = str(response.status_code)
                if span is not None:
                    span.set_attribute("http.response.status_code", response.status_code)
        finally:
            took_s = time.perf_counter() - began_s
            self.answers[method, code] += 1
            self.times.observe(took_s)
            if self._journal is not None:
                note_exchange(self._journal, method, url, body, response, took_s * 1000)
        return response


def _route(url: str) -> str:
    """Return the path of a request without ids, as a trace names it."""
    path = urlsplit(url).path
    return _ID.sub("/{id}", path)


def _is_worth_repeating(response: httpx2.Response, may_repeat: bool) -> bool:
    """Say whether the request was not done, or is safe to repeat, and may do better next time.

    Who throttles has not done it. A 503 without a word of when to come back may be a gateway's,
    which does not know.
    """
    status = response.status_code
    if may_repeat:
        return status in THROTTLED or status in BROKEN_OFF
    return status == 429 or (status == 503 and "Retry-After" in response.headers)


def _accept(response: httpx2.Response) -> GraphResponse:
    if response.status_code >= 300:
        raise GraphRequestError.from_response(response)
    try:
        body = read_json(response.content) if response.content else None
    except (ValueError, RecursionError):
        raise GraphRequestError(response.status_code, "", "the answer is not JSON") from None
    return GraphResponse(response.status_code, body, response.headers)
