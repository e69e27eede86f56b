"""Azure Communication Services' call control by REST: calls made, answered, ended."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx2

from ..client.requests import retry_after_s
from .bodies import (
    MediaStreaming,
    RejectReason,
    answer_body,
    create_body,
    operation_body,
    redirect_body,
    reject_body,
)
from .identifiers import Identifier
from .signing import ConnectionString, signed_headers

log = logging.getLogger("mixminus.control.acs")

API_VERSION: Final = "2026-03-12"
CONNECTIONS: Final = "/calling/callConnections"
TIMEOUT: Final = httpx2.Timeout(10.0, connect=5.0)
MAX_ATTEMPTS: Final = 4
WORTH_REPEATING: Final = frozenset({429, 502, 503, 504})
MAX_PAGES: Final = 20

Who = str | Identifier


class AcsRequestError(Exception):
    """The service refused: ``status`` is HTTP's, ``code`` and ``message`` are the error body's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"the call service answered {status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @classmethod
    def from_response(cls, response: httpx2.Response) -> Self:
        """Read the error body."""
        try:
            body = response.json()
        except ValueError:
            body = None
        error = body.get("error") if isinstance(body, dict) else None
        error = error if isinstance(error, dict) else {}
        message = str(error.get("message") or response.reason_phrase)
        return cls(response.status_code, str(error.get("code", "")), message)


class AcsConnectionError(ConnectionError):
    """The service could not be reached, or broke off."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A call as the service sees it."""

    id: str
    state: str
    server_call_id: str
    correlation_id: str
    targets: tuple[Identifier, ...]
    source: Identifier | None
    streaming_state: str | None
    """``disabled``, ``inactive`` or ``active``; None when the call has no media streaming."""


class AcsClient:
    """Call control of one resource. Posts carry a repeatability id, so each may be sent again.

    *sleep* and *transport* are for tests. Thread: the loop's.
    """

    def __init__(
        self,
        connection_string: ConnectionString,
        *,
        ssl_context: ssl.SSLContext,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = connection_string.endpoint
        self._host = urlsplit(connection_string.endpoint).netloc
        self._key = connection_string.access_key
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            verify=ssl_context,
            trust_env=False,
            timeout=TIMEOUT,
            transport=transport,
            headers={"User-Agent": "mixminus"},
        )

    async def create(
        self,
        targets: Sequence[Who],
        callback_uri: str,
        *,
        caller_number: str | None = None,
        display_name: str | None = None,
        context: str | None = None,
        streaming: MediaStreaming | None = None,
    ) -> Connection:
        """Call *targets*: telephone numbers (+15551234567), raw ids, or identifiers.

        Raises: ValueError on what could never be called; AcsRequestError, AcsConnectionError.
        """
        body = create_body(
            [Identifier.of(who) for who in targets],
            callback_uri,
            caller_number=caller_number,
            display_name=display_name,
            context=context,
            streaming=streaming,
        )
        return _connection(await self._ask("POST", CONNECTIONS, body))

    async def answer(
        self,
        incoming_call_context: str,
        callback_uri: str,
        *,
        context: str | None = None,
        streaming: MediaStreaming | None = None,
    ) -> Connection:
        """Take a call that rings. Raises: as :meth:`create`."""
        body = answer_body(
            incoming_call_context, callback_uri, context=context, streaming=streaming
        )
        return _connection(await self._ask("POST", f"{CONNECTIONS}:answer", body))

    async def reject(self, incoming_call_context: str, reason: RejectReason = "none") -> None:
        """Turn a call away that rings. Raises: as :meth:`create`."""
        await self._ask("POST", f"{CONNECTIONS}:reject", reject_body(incoming_call_context, reason))

    async def redirect(self, incoming_call_context: str, target: Who) -> None:
        """Send a call that rings on to somebody else. Raises: as :meth:`create`."""
        body = redirect_body(incoming_call_context, Identifier.of(target))
        await self._ask("POST", f"{CONNECTIONS}:redirect", body)

    async def get(self, connection_id: str) -> Connection:
        """Return a call. Raises: AcsRequestError, AcsConnectionError."""
        return _connection(await self._ask("GET", _path(connection_id)))

    async def hang_up(self, connection_id: str, *, for_everyone: bool = False) -> bool:
        """Leave a call, or end it *for_everyone*; False when it was gone already.

        Raises: as :meth:`get`.
        """
        try:
            if for_everyone:
                await self._ask("POST", f"{_path(connection_id)}:terminate")
            else:
                await self._ask("DELETE", _path(connection_id))
        except AcsRequestError as exc:
            if exc.status != httpx2.codes.NOT_FOUND:
                raise
            return False
        return True

    async def start_streaming(self, connection_id: str, context: str | None = None) -> None:
        """Let the audio flow, where a call did not begin with it. Raises: as :meth:`get`."""
        await self._act(connection_id, "startMediaStreaming", operation_body(context))

    async def stop_streaming(self, connection_id: str, context: str | None = None) -> None:
        """Stop the audio; the call goes on. Raises: as :meth:`get`."""
        await self._act(connection_id, "stopMediaStreaming", operation_body(context))

    async def transfer(self, connection_id: str, target: Who, context: str | None = None) -> None:
        """Put the other end through to *target*; CallTransferAccepted or -Failed tells the rest.

        Raises: ValueError, and as :meth:`get`.
        """
        body = operation_body(context, targetParticipant=Identifier.of(target).to_json())
        await self._act(connection_id, "transferToParticipant", body)

    async def add_participant(
        self,
        connection_id: str,
        who: Who,
        *,
        caller_number: str | None = None,
        context: str | None = None,
    ) -> None:
        """Ring somebody into a call; AddParticipantSucceeded or -Failed tells the rest.

        Raises: ValueError, and as :meth:`get`.
        """
        body = operation_body(context, participantToAdd=Identifier.of(who).to_json())
        if caller_number is not None:
            body["sourceCallerIdNumber"] = {"value": Identifier.phone(caller_number).value}
        await self._act(connection_id, "participants:add", body, separator="/")

    async def remove_participant(self, connection_id: str, who: Who) -> None:
        """Take somebody out of a call. Raises: ValueError, and as :meth:`get`."""
        body = operation_body(participantToRemove=Identifier.of(who).to_json())
        await self._act(connection_id, "participants:remove", body, separator="/")

    async def participants(self, connection_id: str) -> tuple[Identifier, ...]:
        """Return who is in a call. Raises: as :meth:`get`."""
        found: list[Identifier] = []
        path = f"{_path(connection_id)}/participants"
        for _ in range(MAX_PAGES):
            page = await self._ask("GET", path)
            values = page.get("value")
            people = values if isinstance(values, list) else ()
            found += _identifiers(p.get("identifier") for p in people if isinstance(p, Mapping))
            link = page.get("nextLink")
            if not link:
                break
            path = str(link).removeprefix(self._endpoint)
            if not path.startswith("/"):
                # What is signed with the key goes to the resource, wherever its answer points.
                raise AcsRequestError(
                    200, "", f"the next page is not of this resource: {link!r:.80}"
                )
        return tuple(found)

    async def send_tones(self, connection_id: str, tones: str, target: Who) -> None:
        """Press keys for *target*, as 12#. Raises: ValueError, and as :meth:`get`."""
        names = [TONES[key] for key in tones if key in TONES]
        if len(names) != len(tones) or not names:
            raise ValueError(f"expected keys of {''.join(TONES)}, got {tones!r:.40}")
        who = Identifier.of(target).to_json()
        await self._act(
            connection_id, "sendDtmfTones", operation_body(tones=names, targetParticipant=who)
        )

    async def close(self) -> None:
        """Close the connections. Again is no error."""
        await self._http.aclose()

    # ---- inside ----------------------------------------------------------------------------------

    async def _act(
        self, connection_id: str, action: str, body: Mapping[str, Any], *, separator: str = ":"
    ) -> None:
        await self._ask("POST", f"{_path(connection_id)}{separator}{action}", body)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        target = path if "api-version=" in path else f"{path}?api-version={API_VERSION}"
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        extra = _repeatability() if method == "POST" else {}
        for attempt in range(MAX_ATTEMPTS):
            is_last = attempt == MAX_ATTEMPTS - 1
            # Signed anew each time: a date that is five minutes old is refused.
            headers = signed_headers(
                self._key, method, target, self._host, content, datetime.now(UTC)
            )
            if body is not None:
                headers["Content-Type"] = "application/json"
            try:
                response = await self._http.request(
                    method, self._endpoint + target, content=content, headers=headers | extra
                )
            except httpx2.TransportError as exc:
                if is_last:
                    what = str(exc) or type(exc).__name__
                    raise AcsConnectionError(f"{self._endpoint}: {what}") from exc
                await self._sleep(0.1 * 2**attempt)
                continue
            if response.status_code in WORTH_REPEATING and not is_last:
                wait_s = retry_after_s(response, attempt)
                log.warning(
                    "%s %s: %d, again in %.1f s", method, path, response.status_code, wait_s
                )
                await self._sleep(wait_s)
                continue
            return _accept(response)
        raise AssertionError("the last attempt returns or raises")


TONES: Final[Mapping[str, str]] = {
    **dict(
        zip(
            "0123456789",
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            strict=True,
        )
    ),
    "*": "asterisk",
    "#": "pound",
    **{letter: letter.lower() for letter in "ABCD"},
}
"""How the service names the keys of a telephone."""


def _repeatability() -> dict[str, str]:
    """Return what lets the service know a repeated request for one it has done."""
    first = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return {"Repeatability-Request-ID": str(uuid.uuid4()), "Repeatability-First-Sent": first}


def _path(connection_id: str) -> str:
    return f"{CONNECTIONS}/{quote(connection_id, safe='')}"


def _accept(response: httpx2.Response) -> Mapping[str, Any]:
    if response.status_code >= 300:
        raise AcsRequestError.from_response(response)
    if not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AcsRequestError(response.status_code, "", "the answer is no JSON object")
    return body


def _connection(body: Mapping[str, Any]) -> Connection:
    connection_id = body.get("callConnectionId")
    if not isinstance(connection_id, str) or not connection_id:
        raise AcsRequestError(200, "", "the answer names no callConnectionId")
    subscription = body.get("mediaStreamingSubscription")
    state = subscription.get("state") if isinstance(subscription, Mapping) else None
    source = body.get("source")
    targets = body.get("targets")
    return Connection(
        id=connection_id,
        state=str(body.get("callConnectionState", "unknown")),
        server_call_id=str(body.get("serverCallId", "")),
        correlation_id=str(body.get("correlationId", "")),
        targets=tuple(_identifiers(targets if isinstance(targets, list) else ())),
        source=next(_identifiers([source]), None),
        streaming_state=state if isinstance(state, str) else None,
    )


def _identifiers(models: Iterable[Any]) -> Iterator[Identifier]:
    """Yield who is named; one that nobody understands must not cost the answer that names it."""
    for model in models:
        try:
            yield Identifier.from_json(model)
        except ValueError as exc:
            log.debug("left out: %s", exc)
