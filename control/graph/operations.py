"""Operations: what a call was asked to do that takes its time, and how its end is told.

Source: Microsoft Graph, commsOperation and its subtypes; the notifications of playPrompt,
recordResponse, sendDtmfTones, invite, startHoldMusic and addLargeGalleryView.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .enums import ChangeType
from .enums import OperationStatus as OperationStatus
from .enums import PlayReason as PlayReason
from .enums import RecordReason as RecordReason
from .notifications import Json, Notification

TYPE_PREFIX: Final = "#microsoft.graph."

ADD_LARGE_GALLERY_VIEW: Final = "addLargeGalleryViewOperation"
CANCEL_MEDIA_PROCESSING: Final = "cancelMediaProcessingOperation"
INVITE_PARTICIPANTS: Final = "inviteParticipantsOperation"
MUTE_PARTICIPANT: Final = "muteParticipantOperation"
MUTE_PARTICIPANTS: Final = "muteParticipantsOperation"
PLAY_PROMPT: Final = "playPromptOperation"
RECORD: Final = "recordOperation"
SEND_DTMF_TONES: Final = "sendDtmfTonesOperation"
START_HOLD_MUSIC: Final = "startHoldMusicOperation"
STOP_HOLD_MUSIC: Final = "stopHoldMusicOperation"
SUBSCRIBE_TO_TONE: Final = "subscribeToToneOperation"
UNMUTE_PARTICIPANT: Final = "unmuteParticipantOperation"
UPDATE_RECORDING_STATUS: Final = "updateRecordingStatusOperation"

MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    ADD_LARGE_GALLERY_VIEW: (),
    CANCEL_MEDIA_PROCESSING: (),
    INVITE_PARTICIPANTS: ("participants",),
    MUTE_PARTICIPANT: (),
    MUTE_PARTICIPANTS: ("participants",),
    PLAY_PROMPT: ("completionReason",),
    RECORD: ("completionReason", "recordingLocation", "recordingAccessToken"),
    SEND_DTMF_TONES: ("completionReason",),
    START_HOLD_MUSIC: (),
    STOP_HOLD_MUSIC: (),
    SUBSCRIBE_TO_TONE: (),
    UNMUTE_PARTICIPANT: (),
    UPDATE_RECORDING_STATUS: (),
}
"""Every subtype that this service makes, and what it has beyond commsOperation."""

_LISTS: Final = frozenset({"participants"})
_PLAIN: Final = frozenset({INVITE_PARTICIPANTS, SEND_DTMF_TONES})
"""Whose notifications are documented without @odata.id and @odata.etag."""
_WITHOUT_ETAG: Final = _PLAIN | {ADD_LARGE_GALLERY_VIEW}

SUCCEEDED: Final = "Action completed successfully."


class OperationOverError(RuntimeError):
    """An operation that has ended was to change once more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: ``code`` and ``subcode`` are the platform's, *members* its own."""

    status: OperationStatus
    code: int
    subcode: int
    message: str
    members: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def success(cls, **members: Any) -> Outcome:
        """Say that all was done."""
        return cls(OperationStatus.COMPLETED, 200, 0, SUCCEEDED, members)

    @classmethod
    def failure(cls, code: int, subcode: int, message: str, **members: Any) -> Outcome:
        """Say why it was not."""
        return cls(OperationStatus.FAILED, code, subcode, message, members)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one call. Made by :meth:`begin`; changed only by becoming another.

    ``revision`` is what its etag shows: it rises with every change in the call's operations.
    """

    call_id: str
    operation_id: str
    kind: str
    client_context: str | None
    status: OperationStatus
    revision: int
    members: Mapping[str, Any]
    result: Json | None = None

    @classmethod
    def begin(
        cls,
        call_id: str,
        operation_id: str,
        kind: str,
        client_context: str | None,
        status: OperationStatus,
        revision: int,
        **members: Any,
    ) -> Operation:
        """Make an operation as its response shows it.

        Raises: ValueError on a subtype or a member of it that is not documented.
        """
        known = MEMBERS.get(kind)
        if known is None:
            raise ValueError(f"expected one of {', '.join(MEMBERS)}, got {kind!r}")
        empty: Json = {name: [] if name in _LISTS else None for name in known}
        return cls(
            call_id,
            operation_id,
            kind,
            client_context,
            status,
            revision,
            {**empty, **_expected(kind, members)},
        )

    @property
    def path(self) -> tuple[str, ...]:
        """Where it is found, below ``/communications/calls``."""
        return (self.call_id, "operations", self.operation_id)

    def run(self, revision: int) -> Operation:
        """Say that it is being worked on.

        Raises: OperationOverError when it has ended.
        """
        self._check_open()
        return replace(self, status=OperationStatus.RUNNING, revision=revision)

    def finish(self, outcome: Outcome, revision: int) -> Operation:
        """Say how it ended.

        Raises: OperationOverError when it has ended already; ValueError on an outcome that is none,
                and on a member that its type does not have.
        """
        self._check_open()
        if not outcome.status.is_final:
            raise ValueError(f"expected completed or failed, got {outcome.status}")
        return replace(
            self,
            status=outcome.status,
            revision=revision,
            members={**self.members, **_expected(self.kind, outcome.members)},
            result={
                "@odata.type": "#microsoft.graph.resultInfo",
                "code": outcome.code,
                "subcode": outcome.subcode,
                "message": outcome.message,
            },
        )

    def resource(self) -> Json:
        """Return the operation as responses and GET show it, nulls included."""
        return {
            "@odata.type": TYPE_PREFIX + self.kind,
            "id": self.operation_id,
            "clientContext": self.client_context,
            "status": self.status.value,
            "resultInfo": self.result,
            **self.members,
        }

    def notification(self) -> Notification:
        """Return what tells its end.

        Raises: ValueError when it has not ended.
        """
        if not self.status.is_final:
            raise ValueError(f"expected an operation that has ended, got one {self.status}")
        data: Json = {"@odata.type": TYPE_PREFIX + self.kind}
        if self.kind not in _PLAIN:
            data["@odata.id"] = "/communications/calls/" + "/".join(self.path)
        if self.kind not in _WITHOUT_ETAG:
            data["@odata.etag"] = f'W/"{self.revision}"'
        shown = {key: value for key, value in self.resource().items() if key != "@odata.type"}
        return Notification(ChangeType.DELETED, self.path, data | shown)

    def _check_open(self) -> None:
        if self.status.is_final:
            raise OperationOverError(f"operation {self.operation_id} is {self.status} already")


def _expected(kind: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = members.keys() - set(MEMBERS[kind])
    if unknown:
        raise ValueError(f"{kind} has no {', '.join(sorted(unknown))}")
    return members
