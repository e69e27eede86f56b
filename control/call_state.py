"""The life of a call in the service: pure state, events in, effects out. No clock, no I/O.

The call service drives :meth:`Call.apply`. An event that has no meaning in the present state (a
duplicate, one that came late) changes nothing. How a bot host mirrors a call is in remote_state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeAlias

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


# Ends that only this machine's events bring. Source: Graph, call end codes; Azure's published ones.
BOT_HUNG_UP = ResultInfo(200, 7000, "The call was ended by the bot.")
KEEP_ALIVE_MISSED = ResultInfo(408, 8537, "No keepAlive came in time.")
SERVICE_STOPPED = ResultInfo(500, 7106, "The call service stopped.")
INTERNAL_FAILURE = ResultInfo(500, 9999, "InternalServiceError")
SUPERSEDED = ResultInfo(409, 8519, "The application took the call over in a later epoch.")
REJECTED = ResultInfo(603, 0, "The bot declined the call.")
REJECTED_BUSY = ResultInfo(486, 560486, "The bot is busy.")
REJECTED_FORBIDDEN = ResultInfo(403, 0, "The bot may not take the call.")
TRANSFERRED = ResultInfo(0, 7015, "GracefulTransferCompleted")
REDIRECTED = ResultInfo(200, 0, "The call was redirected.")
BLIND_TRANSFER_FAILED = ResultInfo(500, 7000, "The transfer failed.")
CONSULTATIVE_TRANSFER_FAILED = ResultInfo(500, 7700, "The consultative transfer failed.")

# Ends that the other parties of a conversation bring.
CALLEE_LEFT = ResultInfo(200, 4521, "The other participant left the call.")
ALL_LEFT = ResultInfo(200, 5002, "All other participants left the call.")
CONVERSATION_ENDED = ResultInfo(200, 5001, "The conversation has ended.")
NO_HOST = ResultInfo(200, 5014, "The conversation has no host.")
REMOVED = ResultInfo(200, 5300, "The participant was removed.")
DENIED = ResultInfo(403, 5828, "The participant was not admitted from the lobby.")
LOBBY_TIMED_OUT = ResultInfo(200, 5855, "The wait in the lobby has timed out.")
CANCELLED_BY_CALLER = ResultInfo(487, 0, "The caller hung up before the call was answered.")
NOT_ANSWERED = ResultInfo(487, 10004, "The callee did not answer in time.")
UNREACHABLE = ResultInfo(408, 10057, "The callee could not be reached.")
DECLINED = ResultInfo(603, 0, "The callee declined the call.")
BOT_SILENT = ResultInfo(408, 8587, "The bot did not answer the incoming call in time.")
PHONE_HUNG_UP = ResultInfo(200, 540000, "The phone hung up.")


class Setup(Enum):
    """What the setting up of a call waits for."""

    BOT = auto()
    """The bot, who was told of an incoming call."""
    MEDIA = auto()
    """The bot's media: its media link, or nothing when the service hosts them."""
    PARTIES = auto()
    """The others: targets that are rung, a meeting that is entered, the device that called."""
    DONE = auto()


# Events: what happened to a call.


@dataclass(frozen=True, slots=True)
class MediaReady:
    """The bot's media endpoint was reached, or none is needed."""


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The bot's media endpoint could not be reached."""

    reason: str


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The bot's media ended under the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reached:
    """A target answered, the meeting was entered, or the device that called is connected."""


@dataclass(frozen=True, slots=True)
class NobodyReached:
    """The last of those who were rung did not take the call."""

    result: ResultInfo


@dataclass(frozen=True, slots=True)
class MediaFlows:
    """Audio comes from the bot's side and from another one."""


@dataclass(frozen=True, slots=True)
class MediaStopped:
    """Nothing comes from the other side any more, which did not say that it would be silent."""


@dataclass(frozen=True, slots=True)
class MediaResumed:
    """The other side's media are back."""


@dataclass(frozen=True, slots=True)
class BotAnswered:
    """The bot takes an incoming call."""


@dataclass(frozen=True, slots=True)
class BotRedirected:
    """The bot sends an incoming call on; how that goes is told later."""


@dataclass(frozen=True, slots=True)
class Held:
    """The other side put the call on hold."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The other side took the call back from hold."""


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """The bot asked for a transfer."""


@dataclass(frozen=True, slots=True)
class TransferAccepted:
    """The target of a transfer answered: the bot is about to leave."""


@dataclass(frozen=True, slots=True)
class TransferLeft:
    """A participant of a group call was transferred away; the bot's own call goes on."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The target of a transfer was not reached: the call goes on."""

    result: ResultInfo


@dataclass(frozen=True, slots=True)
class Ended:
    """The call ends, with that result.

    ``is_announced`` says whether a terminating notification comes first; a call that the bot
    rejects, redirects or transfers is documented to end with one notification.
    """

    result: ResultInfo
    is_announced: bool = True
    reason: str = "CallTerminated"


@dataclass(frozen=True, slots=True)
class TornDown:
    """The call's media are gone."""


Event: TypeAlias = (
    MediaReady
    | MediaFailed
    | MediaLost
    | Reached
    | NobodyReached
    | MediaFlows
    | MediaStopped
    | MediaResumed
    | BotAnswered
    | BotRedirected
    | Held
    | Resumed
    | TransferStarted
    | TransferAccepted
    | TransferLeft
    | TransferFailed
    | Ended
    | TornDown
)


# Effects: what is to be done about it.


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the application, in the same transaction as the change of state."""

    change_type: ChangeType
    resource_data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConnectMedia:
    """Connect to the bot's media endpoint."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Ring the targets, enter the meeting, or answer the device that called."""


@dataclass(frozen=True, slots=True)
class WatchMedia:
    """Say when audio comes from the bot's side and another one."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """Call off what still rings, end the bot's media, leave the conversation."""

    result: ResultInfo


Effect: TypeAlias = Notify | ConnectMedia | Reach | WatchMedia | TearDown
Effects: TypeAlias = tuple[Effect, ...]

TALKING = frozenset({CallState.ESTABLISHED, CallState.HOLD, CallState.TRANSFERRING})


@dataclass(frozen=True, slots=True)
class Call:
    """The state of one call.

    ``audio`` is active from the first audio of both sides on, inactive while the other side's media
    are lost. ``result`` is the end's, or a failed transfer's while the call goes on.
    """

    id: str
    state: CallState = CallState.ESTABLISHING
    setup: Setup = Setup.MEDIA
    audio: MediaState | None = None
    result: ResultInfo | None = None
    termination_reason: str | None = None

    @classmethod
    def create(cls, call_id: str) -> tuple[Call, Effects]:
        """Begin an outgoing call or the joining of a meeting: what is to be done first."""
        call = cls(call_id)
        return call, (call._notify(), ConnectMedia())

    @classmethod
    def receive(cls, call_id: str) -> tuple[Call, Effects]:
        """Begin an incoming call; its first notification is the caller's whole resource."""
        call = cls(call_id, CallState.INCOMING, Setup.BOT)
        return call, (call._notify(ChangeType.CREATED),)

    @property
    def is_over(self) -> bool:
        """Whether the call has ended for good."""
        return self.state is CallState.TERMINATED

    @property
    def is_ending(self) -> bool:
        """Whether the call is over or about to be."""
        return self.state in (CallState.TERMINATING, CallState.TERMINATED)

    @property
    def is_established(self) -> bool:
        """Whether actions that need an established call may be done."""
        return self.setup is Setup.DONE and self.state in TALKING

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
            case BotAnswered() if self.setup is Setup.BOT and self.state is CallState.INCOMING:
                call = replace(self, state=CallState.ESTABLISHING, setup=Setup.MEDIA)
                return call, (call._notify(), ConnectMedia())
            case BotRedirected() if self.setup is Setup.BOT and self.state is CallState.INCOMING:
                return replace(self, state=CallState.REDIRECTING), ()
            case MediaReady() if self.setup is Setup.MEDIA:
                return replace(self, setup=Setup.PARTIES), (Reach(),)
            case MediaFailed(reason) if self.setup is Setup.MEDIA:
                return self._terminating(Ended(ResultInfo(500, 1005, reason)))
            case MediaLost(reason):
                lost = ResultInfo(410, 301005, f"The media link to the bot was lost: {reason}")
                return self._terminating(Ended(lost))
            case Reached() if self.setup is Setup.PARTIES:
                call = replace(self, setup=Setup.DONE, state=CallState.ESTABLISHED)
                return call, (call._notify(), WatchMedia())
            case NobodyReached(result) if self.setup is Setup.PARTIES:
                return self._terminating(Ended(result))
            case MediaFlows() if self.setup is Setup.DONE and self.audio is None:
                call = replace(self, audio=MediaState.ACTIVE)
                return call, (call._notify(),)
            case Ended():
                return self._terminating(event)
            case _:
                return self._apply_established(event)

    def _apply_established(self, event: Event) -> tuple[Call, Effects]:
        """Apply what comes and goes in a call that stands."""
        match event:
            case MediaStopped() if self.audio is MediaState.ACTIVE:
                return self._sounding(MediaState.INACTIVE)
            case MediaResumed() if self.audio is MediaState.INACTIVE:
                return self._sounding(MediaState.ACTIVE)
            case Held() if self.state is CallState.ESTABLISHED:
                return self._moved(CallState.HOLD)
            case Resumed() if self.state is CallState.HOLD:
                return self._moved(CallState.ESTABLISHED)
            case TransferStarted() if self.state in (CallState.ESTABLISHED, CallState.HOLD):
                return self._moved(CallState.TRANSFERRING)
            case TransferAccepted() if self.state is CallState.TRANSFERRING:
                return self._moved(CallState.TRANSFER_ACCEPTED)
            case TransferLeft() if self.state is CallState.TRANSFERRING:
                return self._moved(CallState.ESTABLISHED)
            case TransferFailed(result) if self.state is CallState.TRANSFERRING:
                call = replace(self, state=CallState.ESTABLISHED, result=result)
                return call, (call._notify(),)
            case _:
                return self, ()

    def _sounding(self, audio: MediaState) -> tuple[Call, Effects]:
        call = replace(self, audio=audio)
        # In other states media count as inactive anyway: told when the call is established again.
        return call, (call._notify(),) if self.state is CallState.ESTABLISHED else ()

    def _moved(self, state: CallState) -> tuple[Call, Effects]:
        call = replace(self, state=state, result=None)
        return call, (call._notify(),)

    def _terminating(self, end: Ended) -> tuple[Call, Effects]:
        call = replace(
            self,
            state=CallState.TERMINATING,
            result=end.result,
            termination_reason=end.reason,
        )
        announced = (call._notify(),) if end.is_announced else ()
        return call, (*announced, TearDown(end.result))

    def _terminated(self) -> tuple[Call, Effects]:
        call = replace(self, state=CallState.TERMINATED)
        return call, (call._notify(ChangeType.DELETED),)

    def _notify(self, change_type: ChangeType = ChangeType.UPDATED) -> Notify:
        """Say what of this call has changed, as the documentation's examples do."""
        data: dict[str, Any] = {"@odata.type": "#microsoft.graph.call", "state": self.state.value}
        if self.audio is not None and self.state is CallState.ESTABLISHED:
            data["mediaState"] = media_state(self.audio)
        if self.result is not None and self.state is not CallState.TERMINATING:
            data["resultInfo"] = result_info(self.result)
        if self.state is CallState.TERMINATED:
            data["terminationReason"] = self.termination_reason
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
