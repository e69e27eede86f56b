"""The simulated service: its REST API, its callbacks, and the streams that it opens.

What it does not have (play, recognise, record, transcribe) it answers with 404, as an unknown path.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from ..bodies import REJECT_REASONS
from ..identifiers import Identifier
from .calls import (
    BadRequestError,
    FakeCall,
    StreamOptions,
    incoming_event,
    result,
    validation_event,
)
from .rest import make_app, split_path

log = logging.getLogger("mixminus.control.acs.simulator")

RING_S: Final = 30.0
DELIVERIES: Final = 5
"""How often an event is posted before it is given up."""
BOT: Final = Identifier.parse("28:orgid:00000000-0000-0000-0000-00000000b077")


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """A stream that is to be opened to the application, and what the headers of it must say."""

    options: StreamOptions
    connection_id: str
    correlation_id: str
    caller: Identifier


StreamOpener = Callable[[StreamOrder], Awaitable[Callable[[], Awaitable[None]]]]
"""Open it, raising ConnectionError when that fails; return what closes it."""


@dataclass(frozen=True, slots=True)
class _Ringing:
    caller: Identifier
    callee: Identifier
    correlation_id: str
    outcome: asyncio.Future[str]


class FakeAcs:
    """Azure Communication Services' call control for one application, offline.

    *bearer* makes the token that callbacks carry, *open_stream* opens a call's media. Whoever is
    called answers at once, but for those in ``declining``. Thread: the loop's.
    """

    def __init__(
        self,
        access_key: bytes,
        *,
        http: httpx2.AsyncClient,
        bearer: Callable[[], str],
        open_stream: StreamOpener,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._bearer = bearer
        self._open_stream = open_stream
        self._sleep = sleep
        self.calls: dict[str, FakeCall] = {}
        self.declining: set[str] = set()
        """Raw ids of those who do not take calls."""
        self.deliver_twice = False
        """Post each event twice: at least once is all that is promised."""
        self._ringing: dict[str, _Ringing] = {}
        self._closers: dict[str, Callable[[], Awaitable[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = make_app(access_key, self.do)

    # ---- what a caller does ----------------------------------------------------------------------

    async def subscribe(self, events_url: str) -> None:
        """Ask *events_url* whether it wants to be told of calls, as Event Grid does.

        Raises: ConnectionError unless it answers with the code.
        """
        code = secrets.token_urlsafe(16)
        try:
            response = await self._http.post(events_url, json=[validation_event(code)])
            said = response.json()
        except (httpx2.HTTPError, ValueError) as exc:
            raise ConnectionError(f"{events_url}: the validation failed: {exc}") from exc
        if not isinstance(said, dict) or said.get("validationResponse") != code:
            raise ConnectionError(f"{events_url}: expected the validation code, got {said!r:.200}")

    async def ring(self, events_url: str, caller: str, name: str = "") -> str:
        """Let *caller* ring; return ``answered``, ``rejected``, ``redirected``, or ``missed``.

        *caller* is a telephone number or a raw id. Raises: ValueError; ConnectionError.
        """
        context, correlation_id = secrets.token_urlsafe(24), str(uuid.uuid4())
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        who = Identifier.of(caller)
        self._ringing[context] = _Ringing(who, BOT, correlation_id, outcome)
        try:
            event = incoming_event(who, BOT, name, context, correlation_id)
            await self._post(events_url, [event])
            async with asyncio.timeout(RING_S):
                return await outcome
        except TimeoutError:
            return "missed"
        finally:
            self._ringing.pop(context, None)

    async def hang_up(self, connection_id: str) -> None:
        """Let the other end leave: the call is over. Again is no error."""
        call = self.calls.get(connection_id)
        if call is not None:
            await self._end(call, result(200, 5300, "The other end hung up."))

    async def close(self) -> None:
        """End all calls and streams, without a word to the application."""
        for closer in list(self._closers.values()):
            await closer()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- the API ---------------------------------------------------------------------------------

    async def do(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Do one request, whose path is below ``/calling/``; return the status and the answer.

        Raises: BadRequestError; LookupError with what is not there.
        """
        if method == "POST" and (begin := self._begins.get(path)):
            return begin(self, body)
        root, _, rest = path.partition("/")
        connection_id, separator, action = split_path(rest)
        call = self.calls.get(connection_id)
        if root != "callConnections" or call is None:
            raise LookupError(f"no call connection {connection_id!r:.80}")
        if method == "GET" and not separator:
            return 200, call.properties()
        if method == "GET" and action == "participants":
            return 200, {"value": call.shown_participants()}
        if method == "DELETE" and not separator:
            await self._end(call, result(200, 5000, "Call ended by the application."))
            return 204, None
        if method == "POST" and (act := self._acts.get(action)):
            return await act(self, call, body)
        raise LookupError(f"no {method} {path!r:.120} here")

    # ---- calls begin -----------------------------------------------------------------------------

    def _create(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        targets = body.get("targets")
        if not isinstance(targets, list) or not targets:
            raise BadRequestError("targets: expected somebody to call")
        call = FakeCall(
            _callback(body),
            BOT,
            tuple(_who(target, "targets") for target in targets),
            StreamOptions.parse(body.get("mediaStreamingOptions")),
            context=_text(body, "operationContext"),
            display_name=_text(body, "sourceDisplayName"),
            caller_number=_number(body.get("sourceCallerIdNumber")),
        )
        if call.caller_number is None and any(w.kind == "phoneNumber" for w in call.targets):
            raise BadRequestError("sourceCallerIdNumber: a telephone is called from a number")
        self.calls[call.id] = call
        self._spawn(self._ring_targets(call))
        return 201, call.properties()

    def _answer(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        streaming = StreamOptions.parse(body.get("mediaStreamingOptions"))
        callback = _callback(body)
        ringing = self._take_ringing(body, "answered")
        call = FakeCall(
            callback,
            ringing.caller,
            (ringing.callee,),
            streaming,
            context=_text(body, "operationContext"),
            answered_by=ringing.callee,
            correlation_id=ringing.correlation_id,
        )
        self.calls[call.id] = call
        self._spawn(self._connect(call))
        return 200, call.properties()

    def _reject(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        reason = body.get("callRejectReason", "none")
        if reason not in REJECT_REASONS:
            raise BadRequestError(f"callRejectReason: expected {REJECT_REASONS}, got {reason!r}")
        self._take_ringing(body, "rejected")
        return 204, None

    def _redirect(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        _who(body.get("target"), "target")
        self._take_ringing(body, "redirected")
        return 204, None

    def _take_ringing(self, body: Mapping[str, Any], outcome: str) -> _Ringing:
        ringing = self._ringing.pop(_text(body, "incomingCallContext") or "", None)
        if ringing is None or ringing.outcome.done():
            raise BadRequestError("incomingCallContext: no call rings under it any more")
        ringing.outcome.set_result(outcome)
        return ringing

    # ---- in a call -------------------------------------------------------------------------------

    async def _terminate(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        await self._end(call, result(200, 5001, "Call terminated by the application."))
        return 204, None

    async def _start_streaming(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        if call.streaming is None:
            raise BadRequestError("the call was made without mediaStreamingOptions")
        if call.id not in self._closers:
            self._spawn(self._stream(call))
        return 202, {}

    async def _stop_streaming(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        await self._stop(call)
        return 202, {}

    async def _transfer(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        target = _who(body.get("targetParticipant"), "targetParticipant")
        context = _text(body, "operationContext")
        if target.raw_id in self.declining:
            told = call.event(
                "CallTransferFailed",
                operationContext=context,
                resultInformation=result(603, 0, "Declined."),
            )
            self._tell(call, told)
        else:
            accepted = call.event(
                "CallTransferAccepted",
                operationContext=context,
                transferTarget=target.to_json(),
                resultInformation=result(200, 0, "Transferred."),
            )
            self._tell(call, accepted)
            await self._end(call, result(200, 7015, "The call was transferred."))
        return 202, {"operationContext": context}

    async def _add(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        who = _who(body.get("participantToAdd"), "participantToAdd")
        context = _text(body, "operationContext")
        took = who.raw_id not in self.declining
        kind = "AddParticipantSucceeded" if took else "AddParticipantFailed"
        said = result(200, 0, "Added.") if took else result(603, 0, "Declined.")
        told = call.event(
            kind, operationContext=context, participant=who.to_json(), resultInformation=said
        )
        self._tell(call, told)
        if took:
            call.participants.append(who)
            self._tell_participants(call)
        return 202, {"participant": {"identifier": who.to_json()}, "operationContext": context}

    async def _remove(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        who = _who(body.get("participantToRemove"), "participantToRemove")
        if who not in call.participants:
            raise BadRequestError(f"participantToRemove: {who.raw_id!r:.80} is not in the call")
        call.participants.remove(who)
        self._tell_participants(call)
        return 202, {}

    async def _send_tones(self, call: FakeCall, body: Mapping[str, Any]) -> tuple[int, Any]:
        tones = body.get("tones")
        if not isinstance(tones, list) or not tones:
            raise BadRequestError(f"tones: expected a list of keys, got {tones!r:.80}")
        _who(body.get("targetParticipant"), "targetParticipant")
        call.tones += map(str, tones)
        context = _text(body, "operationContext")
        done = call.event(
            "SendDtmfTonesCompleted",
            operationContext=context,
            resultInformation=result(200, 0, "Sent."),
        )
        self._tell(call, done)
        return 202, {"operationContext": context}

    _begins: Final = {
        "callConnections": _create,
        "callConnections:answer": _answer,
        "callConnections:reject": _reject,
        "callConnections:redirect": _redirect,
    }
    _acts: Final = {
        "terminate": _terminate,
        "startMediaStreaming": _start_streaming,
        "stopMediaStreaming": _stop_streaming,
        "transferToParticipant": _transfer,
        "participants:add": _add,
        "participants:remove": _remove,
        "sendDtmfTones": _send_tones,
    }

    # ---- effects ---------------------------------------------------------------------------------

    async def _ring_targets(self, call: FakeCall) -> None:
        if all(who.raw_id in self.declining for who in call.targets):
            call.state = "disconnected"
            declined = result(603, 560000, "Call was declined.")
            self._tell(call, call.event("CreateCallFailed", resultInformation=declined))
            del self.calls[call.id]
            return
        await self._connect(call)

    async def _connect(self, call: FakeCall) -> None:
        call.state = "connected"
        called = [who for who in call.targets if who.raw_id not in self.declining]
        call.participants = [call.source, *called]
        self._tell(call, call.event("CallConnected", resultInformation=result(200, 0, "")))
        self._tell_participants(call)
        if call.streaming is not None and call.streaming.start:
            await self._stream(call)

    async def _stream(self, call: FakeCall) -> None:
        assert call.streaming is not None
        caller = call.source if call.answered_by is not None else call.targets[0]
        order = StreamOrder(call.streaming, call.id, call.correlation_id, caller)
        try:
            closer = await self._open_stream(order)
        except ConnectionError as exc:
            log.warning("the stream of call %s: %s", call.id, exc)
            why = result(
                400, 8581, "Transport URL is not valid or web socket server not operational"
            )
            failed = "initialWebSocketConnectionFailed"
            self._tell(
                call, call.streaming_event("MediaStreamingFailed", failed, resultInformation=why)
            )
            return
        if call.id not in self.calls:  # It ended while its stream began.
            await closer()
            return
        self._closers[call.id] = closer
        call.streaming_state = "active"
        self._tell(call, call.streaming_event("MediaStreamingStarted", "subscriptionStarted"))

    async def _stop(self, call: FakeCall) -> None:
        closer = self._closers.pop(call.id, None)
        if closer is None:
            return
        call.streaming_state = "inactive"
        await closer()
        self._tell(call, call.streaming_event("MediaStreamingStopped", "subscriptionStopped"))

    async def _end(self, call: FakeCall, why: Mapping[str, Any]) -> None:
        if self.calls.pop(call.id, None) is None:
            return
        call.state = "disconnected"
        await self._stop(call)
        self._tell(call, call.event("CallDisconnected", resultInformation=why))

    def _tell_participants(self, call: FakeCall) -> None:
        people = call.shown_participants()
        self._tell(call, call.event("ParticipantsUpdated", participants=people, sequenceNumber=1))

    def _tell(self, call: FakeCall, event: Mapping[str, Any]) -> None:
        for _ in range(2 if self.deliver_twice else 1):
            self._spawn(self._deliver(call.callback_uri, event))

    async def _deliver(self, url: str, event: Mapping[str, Any]) -> None:
        try:
            await self._post(url, [event])
        except ConnectionError as exc:
            log.warning("%s was not delivered: %s", event["type"], exc)

    async def _post(self, url: str, events: list[Mapping[str, Any]]) -> None:
        """Post events until they are taken. Raises: ConnectionError when they are not."""
        why = ""
        for attempt in range(DELIVERIES):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            try:
                response = await self._http.post(url, json=events, headers=headers)
                if response.is_success:
                    return
                why = f"status {response.status_code}"
            except httpx2.HTTPError as exc:
                why = str(exc) or type(exc).__name__
            await self._sleep(0.2 * 2**attempt)
        raise ConnectionError(f"{url}: {why}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the simulated service failed", exc_info=error)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{name}: expected a text, got {value!r:.60}")
    return value


def _callback(body: Mapping[str, Any]) -> str:
    uri = _text(body, "callbackUri")
    if not uri or not uri.startswith("https://"):
        raise BadRequestError(f"callbackUri: expected https://..., got {uri!r:.80}")
    return uri


def _number(value: Any) -> str | None:
    return str(value["value"]) if isinstance(value, Mapping) and "value" in value else None


def _who(model: Any, name: str) -> Identifier:
    try:
        return Identifier.from_json(model)
    except ValueError as exc:
        raise BadRequestError(f"{name}: {exc}") from None
