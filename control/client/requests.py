"""Requests to the Graph API: token, retries, and errors as values."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx2

from .tokens import TokenSource

log = logging.getLogger("mixminus.control.client")

TIMEOUT: Final = httpx2.Timeout(10.0, connect=5.0)
MAX_ATTEMPTS: Final = 4
MAX_WAIT_S: Final = 60.0
THROTTLED: Final = frozenset({429, 503})
SAFE_TO_REPEAT: Final = frozenset({"GET", "DELETE"})


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
    is tried again where repeating is safe. *sleep* is for tests.
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
    ) -> None:
        self._tokens = tokens
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/{version}",
            # Explicit: SSL_CERT_FILE and proxies of the environment are not for us.
            verify=ssl_context,
            trust_env=False,
            timeout=TIMEOUT,
            transport=transport,
            headers={"User-Agent": "mixminus"},
        )

    async def request(
        self, method: str, path: str, body: Any = None, *, scenario_id: str = ""
    ) -> GraphResponse:
        """Send one request and return its answer.

        Raises: GraphRequestError on any status from 300 on; GraphConnectionError; TokenError.
        """
        refresh = False
        refreshed = False
        for attempt in range(MAX_ATTEMPTS):
            last = attempt == MAX_ATTEMPTS - 1
            token = await self._tokens.token(refresh=refresh)
            refresh = False
            try:
                response = await self._send(method, path, body, token, scenario_id)
            except httpx2.TransportError as exc:
                if last or method not in SAFE_TO_REPEAT:
                    what = str(exc) or type(exc).__name__
                    raise GraphConnectionError(f"{self._http.base_url}: {what}") from exc
                await self._sleep(0.1 * 2**attempt)
                continue
            if response.status_code == 401 and not refreshed and not last:
                refresh = refreshed = True
                continue
            if response.status_code in THROTTLED and not last:
                wait_s = retry_after_s(response, attempt)
                log.warning(
                    "%s %s: %d, again in %.1f s", method, path, response.status_code, wait_s
                )
                await self._sleep(wait_s)
                continue
            return _accept(response)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close the connections. Again is no error."""
        await self._http.aclose()

    async def _send(
        self, method: str, path: str, body: Any, token: str, scenario_id: str
    ) -> httpx2.Response:
        headers = {
            "Authorization": f"Bearer {token}",
            "Client-Request-Id": str(uuid.uuid4()),
        }
        if scenario_id:
            headers["Scenario-Id"] = scenario_id
        return await self._http.request(method, path, json=body, headers=headers)


def _accept(response: httpx2.Response) -> GraphResponse:
    if response.status_code >= 300:
        raise GraphRequestError.from_response(response)
    try:
        body = response.json() if response.content else None
    except ValueError:
        raise GraphRequestError(response.status_code, "", "the answer is not JSON") from None
    return GraphResponse(response.status_code, body, response.headers)
