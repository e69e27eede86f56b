"""One call of a softphone: what the service says about it, and what is asked of the service."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mixminus.media.transports.sdp import SdpError

from ..rtc_client import SignallingLostError
from .line import LOST, Line
from .media import CONNECT_TIMEOUT_S, CallMedia
from .options import KEYS, PAUSE, ActionKind, CallEnd, OnEvent

ANSWER_TIMEOUT_S: Final = 20.0
FAREWELL_S: Final = 3.0
"""How long the service's word on how a call ended is waited for, once its audio is gone."""

KEY_INTERVAL_S: Final = 0.25
PAUSE_S: Final = 1.0
NOT_RINGING: Final = "notRinging"
"""Another device of the user was faster, and its answer crossed ours."""

SHOWN: Final = ("admitted", "muted", "held", "sharing", "tone", "media", "partyMedia", "moved")
"""Messages that are events for a person, and change nothing here."""


class PhoneCall:
    """A call from its first message to its end. The softphone gives it every message it receives.

    ``ended`` is resolved once, with None when only our ringing was called off. ``needs_recovery``
    says when :meth:`recover` must be called.
    Thread: the loop's.
    """

    def __init__(self, line: Line, media: CallMedia, on_event: OnEvent) -> None:
        loop = asyncio.get_running_loop()
        self._line, self.media, self._on_event = line, media, on_event
        self.call_id: str | None = None
        self.participant_id: str | None = None
        self.ended: asyncio.Future[CallEnd | None] = loop.create_future()
        self.reoffers = 0
        self._answer: asyncio.Future[str] = loop.create_future()
        self._reanswer: asyncio.Future[str] | None = None
        self._admitted = asyncio.Event()
        self._admitted.set()
        # Set while the line stands; set while the service knows this line for that of the call.
        self._is_registered, self._is_known = asyncio.Event(), asyncio.Event()
        self._is_registered.set()
        self._is_known.set()
        self._must_reoffer = False
        self.needs_recovery = asyncio.Event()
        self._watch_media()
        self._is_ours = True
        self._is_muted = self._is_held = self._is_sharing = False

    # ---- its beginning ---------------------------------------------------------------------------

    async def begin(self, kind: str, **fields: Any) -> None:
        """Answer, call or join, as *kind* says, with an offer.

        Raises: SignallingError.
        """
        self.call_id = fields.get("callId")
        self._is_ours = kind != "answer"
        await self._line.send(kind, **fields, sdp=await self.media.transport.offer())

    async def connect(self, answer_timeout_s: float | None) -> None:
        """Wait until audio can flow both ways: answered, connected, and out of the lobby.

        Raises: TimeoutError; ConnectionError; SdpError.
        """
        async with asyncio.timeout(answer_timeout_s):
            answer_sdp = await self._answer
        await self.media.transport.accept(answer_sdp)
        await self.media.transport.connected(CONNECT_TIMEOUT_S)
        await self._admitted.wait()

    # ---- what is asked of the service ------------------------------------------------------------

    async def perform(self, kind: ActionKind, keys: str = "") -> None:
        """Do one of the things that a person does in a call.

        Raises: SignallingError; ValueError for a key that no keypad has.
        """
        match kind:
            case "press":
                await self._press(keys)
            case "pressInBand":
                await self._press_in_band(keys)
            case "mute" | "unmute":
                self._is_muted = kind == "mute"
                await self._silenced(kind)
            case "hold" | "resume":
                self._is_held = kind == "hold"
                await self._silenced(kind)
            case "start" | "update" | "stop":
                self._is_sharing = kind != "stop"
                await self._ask("share", action=kind)

    async def hang_up(self, reason: str = "hung up") -> CallEnd:
        """End the call from here, and wait a moment for the service's word on it."""
        end = CallEnd("here", reason)
        if self.call_id is None or not self._is_registered.is_set():
            return end
        try:
            if self._is_sharing:
                await self._line.send("share", callId=self.call_id, action="stop")
            await self._line.send("hangup", callId=self.call_id)
        except SignallingLostError:
            return end
        await self.farewell()
        said = self.ended.result() if self.ended.done() else None
        if said is None or said.by == "lost":
            return end
        return CallEnd("here", reason, said.code, said.subcode)

    async def recover(self) -> None:
        """Carry the call over a new connection: the line was lost and is back, or the media are.

        Raises: ConnectionError when the call has no media any more.
        """
        lost = self.media.transport.closed
        if lost.done() and not self._must_reoffer:
            await self.farewell()
        await self._is_registered.wait()
        self._must_reoffer = False
        self.needs_recovery.clear()
        try:
            await self.media.renew(self._exchange)
        except (ConnectionError, TimeoutError, SdpError) as exc:
            if not self._is_registered.is_set() or self._must_reoffer:
                return  # Lost once more: this is tried again when the line is back.
            if lost.done():
                raise ConnectionError(f"{lost.result()}; {exc}") from exc
            self._on_event("refused", {"of": "reoffer", "message": str(exc)})
        else:
            self.reoffers += 1
            self._watch_media()
            self._on_event("reconnected", {"callId": self.call_id})
        self._is_known.set()

    async def farewell(self) -> None:
        """Wait a moment for the end: a far end that closes its media says so over the line too."""
        await asyncio.wait([self.ended], timeout=FAREWELL_S)

    # ---- what the service says -------------------------------------------------------------------

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message of the line; those of other calls are none of ours."""
        kind = message["type"]
        if kind == LOST:
            self._is_registered.clear()
            self._is_known.clear()
            self._fail_reoffer("the signalling was lost")
        elif kind == "registered":
            self._is_registered.set()
            if self._answer.done():
                self._must_reoffer = True
                self.needs_recovery.set()
            elif self._is_ours:
                self._end(CallEnd("lost", "the signalling was lost before the call was answered"))
            else:
                self._called_off("signallingLost")  # If it still rings, it does so here again.
        elif kind in ("calling", "joined") and self.call_id is None:
            self._begun(message)
        elif self.call_id is not None and message.get("callId") == self.call_id:
            self._take_own(kind, message)
        elif kind == "error" and self.call_id is None and message.get("of") in ("call", "join"):
            self._end(_refusal(message))

    def _begun(self, message: dict[str, Any]) -> None:
        self.call_id = str(message.get("callId"))
        shown: dict[str, Any] = {"callId": self.call_id}
        if message["type"] == "joined":
            self.participant_id = str(message.get("participantId"))
            shown |= {"participantId": self.participant_id, "inLobby": bool(message.get("inLobby"))}
            if message.get("inLobby"):
                self._admitted.clear()
        self._on_event(message["type"], shown)

    def _take_own(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "answered" and not self._answer.done():
            self._answer.set_result(str(message.get("sdp")))
            self._on_event("answered", {"callId": self.call_id})
        elif kind == "reanswered":
            if self._reanswer is not None and not self._reanswer.done():
                self._reanswer.set_result(str(message.get("sdp")))
        elif kind == "ended":
            self._end(_end_of(message))
        elif kind == "cancelled" or (kind == "error" and message.get("code") == NOT_RINGING):
            self._called_off(str(message.get("reason") or message.get("code")))
        elif kind == "error":
            self._refused(message)
        elif kind in SHOWN:
            if kind == "admitted":
                self._admitted.set()
            self._on_event(kind, {key: value for key, value in message.items() if key != "type"})

    def _refused(self, message: dict[str, Any]) -> None:
        if not self._answer.done():
            self._end(_refusal(message))
        elif not self._fail_reoffer(_said(message)):
            shown = {key: message.get(key) for key in ("of", "code")}
            self._on_event("refused", {**shown, "message": _said(message)})

    def _called_off(self, reason: str) -> None:
        """End the ringing; once in the call, or calling, that is the end of the call."""
        if self._is_ours or self._answer.done():
            self._end(CallEnd("far end", f"cancelled: {reason}"))
        elif not self.ended.done():
            self._on_event("cancelled", {"callId": self.call_id, "reason": reason})
            self._end(None)

    def _end(self, end: CallEnd | None) -> None:
        if not self.ended.done():
            self.ended.set_result(end)

    # ---- small help ------------------------------------------------------------------------------

    def _watch_media(self) -> None:
        transport = self.media.transport

        def closed(_: asyncio.Future[str]) -> None:
            if self.media.transport is transport:
                self.needs_recovery.set()

        transport.closed.add_done_callback(closed)

    async def _ask(self, kind: str, **fields: Any) -> None:
        """Send a message about this call, once the service knows our line for its own."""
        while True:
            await self._is_known.wait()
            try:
                await self._line.send(kind, callId=self.call_id, **fields)
            except SignallingLostError:
                # The loss is a message too, soon to be read: then this waits for the new line.
                self._is_known.clear()
            else:
                return

    async def _silenced(self, kind: str) -> None:
        """Fall silent, or not, here already; then tell the service, which makes sure of it."""
        self.media.set_silent(self._is_muted or self._is_held)
        await self._ask(kind)

    async def _press(self, keys: str) -> None:
        for key in _checked(keys):
            if key == PAUSE:
                await asyncio.sleep(PAUSE_S)
                continue
            await self._ask("tone", tone=key)
            self._on_event("pressed", {"tone": key, "inBand": False})
            await asyncio.sleep(KEY_INTERVAL_S)

    async def _press_in_band(self, keys: str) -> None:
        for key in _checked(keys):
            if key == PAUSE:
                await asyncio.sleep(PAUSE_S)
                continue
            self._on_event("pressed", {"tone": key, "inBand": True})
            await self.media.press(key)

    async def _exchange(self, offer_sdp: str) -> str:
        self._reanswer = asyncio.get_running_loop().create_future()
        try:
            await self._line.send("reoffer", callId=self.call_id, sdp=offer_sdp)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._reanswer
        finally:
            self._reanswer = None

    def _fail_reoffer(self, why: str) -> bool:
        if self._reanswer is None or self._reanswer.done():
            return False
        self._reanswer.set_exception(ConnectionError(why))
        return True


def _checked(keys: str) -> str:
    pressed = keys.upper()
    wrong = sorted(set(pressed) - set(KEYS) - {PAUSE})
    if wrong:
        raise ValueError(f"expected keys of {KEYS} and commas, got {wrong[0]!r}")
    return pressed


def _said(message: dict[str, Any]) -> str:
    return str(message.get("message") or message.get("code") or "no reason given")


def _refusal(message: dict[str, Any]) -> CallEnd:
    return CallEnd("lost", _said(message))


def _end_of(message: dict[str, Any]) -> CallEnd:
    code, subcode = message.get("code"), message.get("subcode")
    return CallEnd(
        "far end",
        str(message.get("message") or "the call ended"),
        code if isinstance(code, int) else 0,
        subcode if isinstance(subcode, int) else 0,
    )
