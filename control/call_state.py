"""The life of a call: pure state, events in, effects out. No clock, no I/O.

The call service drives :meth:`Call.apply`; a bot host mirrors a call with :func:`merge_remote`.
An event that has no meaning in the present state (a duplicate, one that came late) changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeAlias, assert_never

from .graph.enums import CallState, ChangeType, MediaState

RANKS: Mapping[CallState, int] = {
    CallState.INCOMING: 0,
    CallState.ESTABLISHING: 1,
    CallState.RINGING: 2,
    CallState.ESTABLISHED: 3,
    CallState.HOLD: 3,
    CallState.TRANSFERRING: 3,
    CallState.TRANSFER_ACCEPTED: 4,
    CallState.REDIRECTING: 4,
    CallState.TERMINATING: 5,
    CallState.TERMINATED: 6,
}
"""How far a call is in its life. A call never goes back a rank."""


@dataclass(frozen=True, slots=True, order=True)
class ResultInfo:
    """Why a call ended. Source: Graph, resultInfo, and the published list of call end codes."""

    code: int
    subcode: int
    message: str = ""


class Setup(Enum):
    """What the setting up of an outgoing call waits for."""

    LINK = auto()
    """The media link to the bot."""
    ANSWER = auto()
    """The callee, who is rung."""
    CALLER = auto()
    """The media of the device that answered."""
    DONE = auto()


# Events: what happened to a call.


@dataclass(frozen=True, slots=True)
class LinkConnected:
    """The bot's media endpoint was reached."""


@dataclass(frozen=True, slots=True)
class LinkFailed:
    """The bot's media endpoint could not be reached."""

    reason: str


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The media link ended under the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A device of the callee took the call."""

    user_id: str
    device: int


@dataclass(frozen=True, slots=True)
class AnswerFailed:
    """The answering device's offer could not be used."""

    device: int


@dataclass(frozen=True, slots=True)
class CallerAccepted:
    """The answering device's offer was answered: both sides know the other's addresses."""


@dataclass(frozen=True, slots=True)
class CallerFailed:
    """No media path to the answering device came about."""

    reason: str


@dataclass(frozen=True, slots=True)
class MediaFlows:
    """Audio comes from both legs."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The callee does not want the call."""


@dataclass(frozen=True, slots=True)
class RingTimedOut:
    """Nobody answered in time; ``was_rung`` says whether any device was there to ring."""

    was_rung: bool


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The callee hung up, or went away."""


@dataclass(frozen=True, slots=True)
class BotHungUp:
    """The application deleted the call."""


@dataclass(frozen=True, slots=True)
class KeepAliveMissed:
    """The application sent no keepAlive for too long."""


@dataclass(frozen=True, slots=True)
class ServiceStopped:
    """The call service stops, or found the call after a restart, without its media."""


@dataclass(frozen=True, slots=True)
class InternalFailure:
    """The call service has a bug, and it hit this call."""


@dataclass(frozen=True, slots=True)
class TornDown:
    """The call's media are gone."""


Event: TypeAlias = (
    LinkConnected
    | LinkFailed
    | LinkLost
    | Answered
    | AnswerFailed
    | CallerAccepted
    | CallerFailed
    | MediaFlows
    | Declined
    | RingTimedOut
    | CallerLeft
    | BotHungUp
    | KeepAliveMissed
    | ServiceStopped
    | InternalFailure
    | TornDown
)


# Effects: what is to be done about it.


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the application, in the same transaction as the change of state."""

    change_type: ChangeType
    resource_data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """Connect to the bot's media endpoint."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring all devices of the callee until an answer, a refusal or the time limit."""


@dataclass(frozen=True, slots=True)
class StopRinging:
    """Tell the devices that still ring, except the one that answered."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectCaller:
    """Answer the device's offer."""

    device: int


@dataclass(frozen=True, slots=True)
class WatchMedia:
    """Say when audio comes from both legs."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """End the call's media, and tell the device that was in it."""

    result: ResultInfo


Effect: TypeAlias = (
    Notify | ConnectLink | Ring | StopRinging | ConnectCaller | WatchMedia | TearDown
)
Effects: TypeAlias = tuple[Effect, ...]

CANCEL_REASONS: Mapping[type[Event], str] = {
    RingTimedOut: "timeout",
    BotHungUp: "hangup",
    Declined: "declined",
}
"""What a ringing device is told when a call ends unanswered; other reasons are "failed"."""


@dataclass(frozen=True, slots=True)
class Call:
    """The state of one call.

    ``audio`` is the furthest the media came: once active it stays so.
    """

    id: str
    state: CallState = CallState.ESTABLISHING
    audio: MediaState | None = None
    result: ResultInfo | None = None
    result_rank: int = -1
    """The rank of the state that ``result`` belongs to."""
    setup: Setup = Setup.LINK
    answered_by: str | None = None
    device: int | None = None

    @classmethod
    def create(cls, call_id: str) -> tuple[Call, Effects]:
        """Begin an outgoing call: its state and what is to be done first."""
        call = cls(call_id)
        return call, (call._notify(ChangeType.UPDATED), ConnectLink())

    @property
    def is_over(self) -> bool:
        """Whether the call has ended for good."""
        return self.state is CallState.TERMINATED

    @property
    def rank(self) -> int:
        """How far the call is in its life."""
        return RANKS[self.state]

    def apply(self, event: Event) -> tuple[Call, Effects]:
        """Return the call after *event*, and what is to be done.

        An event that means nothing now returns the same call and no effect. Never raises.
        """
        if self.is_over:
            return self, ()
        if self.state is CallState.TERMINATING:
            return self._terminated() if isinstance(event, TornDown) else (self, ())
        return self._apply_living(event)

    def _apply_living(self, event: Event) -> tuple[Call, Effects]:
        match event:
            case LinkConnected() if self.setup is Setup.LINK:
                return replace(self, setup=Setup.ANSWER), (Ring(),)
            case Answered(user_id, device) if self.setup is Setup.ANSWER:
                answering = replace(self, setup=Setup.CALLER, answered_by=user_id, device=device)
                return answering, (ConnectCaller(device),)
            case AnswerFailed(device) if self.setup is Setup.CALLER and self.device == device:
                return replace(self, setup=Setup.ANSWER, answered_by=None, device=None), (Ring(),)
            case CallerAccepted() if self.setup is Setup.CALLER:
                call = replace(self, setup=Setup.DONE, state=CallState.ESTABLISHED)
                return call, (
                    call._notify(ChangeType.UPDATED),
                    StopRinging("answeredElsewhere"),
                    WatchMedia(),
                )
            case MediaFlows() if self.setup is Setup.DONE and self.audio is not MediaState.ACTIVE:
                call = replace(self, audio=MediaState.ACTIVE)
                return call, (call._notify(ChangeType.UPDATED),)
            case LinkConnected() | Answered() | AnswerFailed() | CallerAccepted():
                return self, ()
            case MediaFlows() | TornDown():
                return self, ()
            case _:
                result = self._result_of(event)
                return (self, ()) if result is None else self._terminating(event, result)

    def _result_of(
        self,
        event: LinkFailed
        | LinkLost
        | CallerFailed
        | Declined
        | RingTimedOut
        | CallerLeft
        | BotHungUp
        | KeepAliveMissed
        | ServiceStopped
        | InternalFailure,
    ) -> ResultInfo | None:
        """Return the end that *event* brings, or None when it cannot end the call now.

        Source: Graph, call end codes; those of the calling platform that Azure publishes.
        """
        match event:
            case LinkFailed(reason):
                return ResultInfo(500, 1005, reason) if self.setup is Setup.LINK else None
            case LinkLost(reason):
                return ResultInfo(410, 301005, f"The media link to the bot was lost: {reason}")
            case CallerFailed(reason):
                if self.setup not in (Setup.CALLER, Setup.DONE):
                    return None
                return ResultInfo(500, 1004, f"No media path to the caller: {reason}")
            case Declined():
                ringing = self.setup is Setup.ANSWER
                return ResultInfo(603, 0, "The callee declined the call.") if ringing else None
            case RingTimedOut(was_rung):
                if self.setup is not Setup.ANSWER:
                    return None
                if was_rung:
                    return ResultInfo(487, 10004, "The callee did not answer in time.")
                return ResultInfo(408, 10057, "The callee could not be reached.")
            case CallerLeft():
                if self.setup not in (Setup.CALLER, Setup.DONE):
                    return None
                return ResultInfo(200, 4521, "The other participant left the call.")
            case BotHungUp():
                return ResultInfo(200, 7000, "The call was ended by the bot.")
            case KeepAliveMissed():
                return ResultInfo(408, 8537, "No keepAlive came in time.")
            case ServiceStopped():
                return ResultInfo(500, 7106, "The call service stopped.")
            case InternalFailure():
                return ResultInfo(500, 9999, "InternalServiceError")
            case _:
                assert_never(event)

    def _terminating(self, event: Event, result: ResultInfo) -> tuple[Call, Effects]:
        state = CallState.TERMINATING
        call = replace(self, state=state, result=result, result_rank=RANKS[state])
        reason = CANCEL_REASONS.get(type(event), "failed")
        return call, (call._notify(ChangeType.UPDATED), StopRinging(reason), TearDown(result))

    def _terminated(self) -> tuple[Call, Effects]:
        state = CallState.TERMINATED
        call = replace(self, state=state, result_rank=RANKS[state])
        return call, (call._notify(ChangeType.DELETED),)

    def _notify(self, change_type: ChangeType) -> Notify:
        """Say what of this call has changed, as the documentation's examples do."""
        data: dict[str, Any] = {"@odata.type": "#microsoft.graph.call", "state": self.state.value}
        if self.audio is MediaState.ACTIVE and self.state is CallState.ESTABLISHED:
            data["mediaState"] = media_state(self.audio)
        if self.state is CallState.TERMINATED and self.result is not None:
            data["resultInfo"] = result_info(self.result)
            data["terminationReason"] = "CallTerminated"
        data["id"] = self.id
        return Notify(change_type, data)


def media_state(audio: MediaState) -> dict[str, Any]:
    """Write a callMediaState."""
    return {"@odata.type": "#microsoft.graph.callMediaState", "audio": audio.value}


def result_info(result: ResultInfo) -> dict[str, Any]:
    """Write a resultInfo."""
    return {
        "@odata.type": "#microsoft.graph.resultInfo",
        "code": result.code,
        "subcode": result.subcode,
        "message": result.message,
    }


def merge_remote(call: Call, resource_data: Mapping[str, Any]) -> Call:
    """Return *call* after a notification or a GET said *resource_data* about it.

    Monotone: the state never goes back a rank, active audio stays active, and of two results the
    one that belongs to the later state holds. So any order, repetition or loss of notifications
    gives a legal state, and those without loss the same one. Within one rank (established, hold,
    transferring) the last word holds, as these come and go. Unknown states and malformed members
    are passed over.
    """
    state = CallState.parse(resource_data.get("state"))
    if state is not None and RANKS[state] >= call.rank:
        call = replace(call, state=state)
    media = resource_data.get("mediaState")
    if isinstance(media, Mapping) and call.audio is not MediaState.ACTIVE:
        name = media.get("audio")
        if name in (MediaState.ACTIVE.value, MediaState.INACTIVE.value):
            call = replace(call, audio=MediaState(name))
    result = _parse_result(resource_data.get("resultInfo"))
    if result is not None:
        rank = -1 if state is None else RANKS[state]
        held = (-2, ResultInfo(0, 0)) if call.result is None else (call.result_rank, call.result)
        if (rank, result) > held:
            call = replace(call, result=result, result_rank=rank)
    return call


def _parse_result(value: object) -> ResultInfo | None:
    """Read a resultInfo; numbers may come as texts, and subcode as ``subCode``."""
    if not isinstance(value, Mapping):
        return None
    try:
        code = int(value["code"])
        subcode = int(value.get("subcode", value.get("subCode", 0)))
    except (KeyError, TypeError, ValueError):
        return None
    message = value.get("message")
    return ResultInfo(code, subcode, message if isinstance(message, str) else "")
