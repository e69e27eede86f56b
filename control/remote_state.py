"""A call of the service as a bot host knows it: from notifications, answers and GETs. Pure.

Notifications come twice, late, in another order, or not at all. What is known only ever grows:
of two words the one that belongs to the later part of a life holds. Where nothing tells which of
two contradicting words is the later one, the last holds and :attr:`RemoteCall.needs_get` asks the
host to fetch the truth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final

from .call_state import ResultInfo
from .graph.enums import CallState, MediaState, OperationStatus
from .graph.notifications import Notification, normal_id
from .remote_roster import RemoteRoster

Json = Mapping[str, Any]

STAGES: Final[Mapping[CallState, int]] = {
    CallState.INCOMING: 0,
    CallState.ESTABLISHING: 1,
    CallState.RINGING: 2,
    CallState.ESTABLISHED: 3,
    CallState.HOLD: 3,
    CallState.TRANSFERRING: 3,
    CallState.TRANSFER_ACCEPTED: 3,
    CallState.REDIRECTING: 4,
    CallState.TERMINATING: 5,
    CallState.TERMINATED: 6,
}
"""How far a call is in its life, which never goes back. Stage 3 is a call that talks: hold and
transfer come and go there, and a transfer that fails is an established call again."""
TALKING: Final = STAGES[CallState.ESTABLISHED]
PROGRESS: Final[Mapping[OperationStatus, int]] = {
    OperationStatus.NOT_STARTED: 0,
    OperationStatus.RUNNING: 1,
    OperationStatus.COMPLETED: 2,
    OperationStatus.FAILED: 2,
}
"""How far an operation is; a status that is not known counts as one that has not begun."""
FINAL: Final = 2
MAX_OPERATIONS: Final = 256
"""Finished operations that are remembered, in case word of them comes once more."""
MAX_TONES: Final = 512
OWN_MEMBERS: Final = frozenset(
    {
        "id",
        "state",
        "mediaState",
        "resultInfo",
        "toneInfo",
        "participants",
        "operations",
        "audioRoutingGroups",
        "contentSharingSessions",
    }
)
"""Members of a call that are kept apart from the rest of its description, or somewhere else."""


def read_result(value: object) -> ResultInfo | None:
    """Read a resultInfo; numbers may come as texts, and subcode as ``subCode``."""
    if not isinstance(value, Mapping):
        return None
    try:
        code = int(value["code"])
        subcode = int(value.get("subcode", value.get("subCode", 0)))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    message = value.get("message")
    return ResultInfo(code, subcode, message if isinstance(message, str) else "")


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """The call itself. ``details`` are all other members that the service gave a value."""

    id: str
    state: CallState = CallState.ESTABLISHING
    audio: MediaState | None = None
    result: ResultInfo | None = None
    result_stage: int = -1
    """The stage of the state that ``result`` came with."""
    details: Json = field(default_factory=dict)
    is_contradicted: bool = False

    @property
    def is_over(self) -> bool:
        """Whether the call has ended for good."""
        return self.state is CallState.TERMINATED

    @property
    def stage(self) -> int:
        """How far the call is in its life."""
        return STAGES[self.state]

    @property
    def is_talking(self) -> bool:
        """Whether the call is established: talking, on hold, being transferred."""
        return self.stage == TALKING

    @property
    def needs_get(self) -> bool:
        """Whether words contradicted each other, and the call is still there to be asked about."""
        return self.is_contradicted and not self.is_over


def merge_remote(call: RemoteCall, data: Json, *, is_latest: bool = False) -> RemoteCall:
    """Return *call* after a notification or an answer said *data* about it.

    *is_latest* says that *data* is the answer to a GET, and that nothing came since it was sent:
    then it settles what was contradicted. Unknown states and malformed members are passed over.
    """
    state = CallState.parse(data.get("state"))
    contradicted = call.is_contradicted and not is_latest
    merged = call
    if state is not None and STAGES[state] >= call.stage:
        contradicted |= not is_latest and STAGES[state] == call.stage and state is not call.state
        merged = replace(merged, state=state)
    audio = _audio(data.get("mediaState"))
    if audio is not None and audio is not call.audio:
        contradicted |= not is_latest and call.audio is not None
        merged = replace(merged, audio=audio)
    if merged.is_over:
        merged = replace(merged, audio=MediaState.INACTIVE)
    result = read_result(data.get("resultInfo"))
    if result is not None:
        stage = -1 if state is None else STAGES[state]
        held = (-2, ResultInfo(0, 0)) if call.result is None else (call.result_stage, call.result)
        if (stage, result) > held:
            merged = replace(merged, result=result, result_stage=stage)
    details = {
        name: value
        for name, value in data.items()
        if name not in OWN_MEMBERS and value is not None and not name.startswith("@odata.")
    }
    if details:
        together, agrees = _together(call.details, details)
        contradicted |= not is_latest and not agrees
        if together != call.details:
            merged = replace(merged, details=together)
    # Whoever is over cannot be asked, and nothing more comes of it.
    contradicted = contradicted and not merged.is_over
    return (
        merged
        if contradicted == call.is_contradicted
        else replace(merged, is_contradicted=contradicted)
    )


def _audio(value: object) -> MediaState | None:
    name = value.get("audio") if isinstance(value, Mapping) else None
    return MediaState(name) if name in (MediaState.ACTIVE, MediaState.INACTIVE) else None


def _together(held: Json, new: Json) -> tuple[dict[str, Any], bool]:
    """Return *held* with *new* over it, and whether nothing that both give a value differs."""
    merged, agrees = dict(held), True
    for name, value in new.items():
        old = merged.get(name)
        if value is None:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[name], same = _together(old, value)
            agrees &= same
        else:
            # An empty list is what the answer to a creation has where nothing is known yet.
            agrees &= old is None or old == value or old == [] or value == []
            merged[name] = old if value == [] and old is not None else value
    return merged, agrees


@dataclass(frozen=True, slots=True)
class RemoteOperation:
    """An operation. Each member is the word of the furthest status that had one."""

    id: str
    members: Mapping[str, tuple[int, str, Any]] = field(default_factory=dict)
    progress: tuple[int, str] = (-1, "")

    @property
    def status(self) -> str:
        """How it stands, in Graph's words; empty when nobody has said."""
        return self.progress[1]

    @property
    def is_final(self) -> bool:
        """Whether it has completed or failed: nothing more comes of it."""
        return self.progress[0] >= FINAL

    @property
    def data(self) -> dict[str, Any]:
        """The commsOperation as known so far."""
        known = {name: value for name, (_, _, value) in self.members.items()}
        return {**known, "id": self.id, "status": self.status or None}

    def merge(self, data: Json) -> RemoteOperation:
        """Return the operation after an answer or a notification said *data* about it."""
        text = data.get("status")
        status = OperationStatus.parse(text)
        name = str(status or (text if isinstance(text, str) else ""))
        rank = 0 if status is None else PROGRESS[status]
        members = dict(self.members)
        for member, value in data.items():
            if value is None or member in ("id", "status"):
                continue
            word = (rank, json.dumps(value, sort_keys=True, default=str), value)
            if member not in members or word[:2] > members[member][:2]:
                members[member] = word
        return replace(self, members=members, progress=max(self.progress, (rank, name)))


@dataclass(frozen=True, slots=True)
class RemoteTones:
    """Which tones were heard, by the number that the service gave each."""

    seen: frozenset[int] = frozenset()
    floor: int = -1
    """Numbers up to this one are so old that they count as seen."""

    def merge(self, tone_info: object) -> tuple[RemoteTones, Json | None]:
        """Return what is known after *tone_info*, and the tone if it is a new one."""
        if not isinstance(tone_info, Mapping) or not isinstance(tone_info.get("tone"), str):
            return self, None
        number = tone_info.get("sequenceId")
        if isinstance(number, bool) or not isinstance(number, int):
            return self, tone_info
        if number in self.seen or number <= self.floor:
            return self, None
        seen, floor = self.seen | {number}, self.floor
        if len(seen) > MAX_TONES:
            floor = min(seen)
            seen -= {floor}
        return RemoteTones(seen, floor), tone_info


@dataclass(frozen=True, slots=True)
class RemoteSharing:
    """The content sharing sessions by id; one that has ended never comes back."""

    sessions: Mapping[str, Json] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()

    def merge(self, change: str, data: object) -> RemoteSharing:
        """Return what is known after a notification of that *change* said *data*."""
        sessions, ended = dict(self.sessions), self.ended
        for item in data if isinstance(data, list) else [data]:
            if not isinstance(item, Mapping):
                continue
            identifier = item.get("id")
            if not isinstance(identifier, str) or identifier in ended:
                continue
            if change == "deleted":
                sessions.pop(identifier, None)
                ended |= {identifier}
            else:
                sessions[identifier] = item
        return RemoteSharing(sessions, ended)


class Topic(Enum):
    """What a notification is about."""

    CALL = auto()
    ROSTER = auto()
    OPERATION = auto()
    SHARING = auto()
    OTHER = auto()


TOPICS: Final = {
    "participants": Topic.ROSTER,
    "operations": Topic.OPERATION,
    "contentsharingsessions": Topic.SHARING,
}


def topic_of(notification: Notification) -> Topic:
    """Return what *notification* is about, by its path."""
    path = notification.resource_path
    if len(path) == 1:
        is_call = isinstance(notification.resource_data, Mapping)
        return Topic.CALL if is_call else Topic.OTHER
    return TOPICS.get(path[1].casefold(), Topic.OTHER)


@dataclass(frozen=True, slots=True)
class CallMirror:
    """All that a host knows of one call."""

    call: RemoteCall
    roster: RemoteRoster = field(default_factory=RemoteRoster)
    operations: Mapping[str, RemoteOperation] = field(default_factory=dict)
    tones: RemoteTones = field(default_factory=RemoteTones)
    sharing: RemoteSharing = field(default_factory=RemoteSharing)

    @property
    def needs_get(self) -> bool:
        """Whether the host is to ask the service what is true."""
        return not self.call.is_over and (self.call.needs_get or self.roster.needs_get)

    def apply(self, notification: Notification) -> CallMirror:
        """Return what is known after *notification*. Never raises on content."""
        data = notification.resource_data
        match topic_of(notification):
            case Topic.CALL if isinstance(data, Mapping):
                tones, _ = self.tones.merge(data.get("toneInfo"))
                return replace(self, call=merge_remote(self.call, data), tones=tones)
            case Topic.ROSTER:
                return replace(self, roster=self.roster.merge_notification(data))
            case Topic.SHARING:
                return replace(
                    self, sharing=self.sharing.merge(str(notification.change_type), data)
                )
            case Topic.OPERATION if isinstance(data, Mapping):
                path = notification.resource_path
                identifier = path[2] if len(path) > 2 else data.get("id")
                return self.merge_operation(identifier, data)
        return self

    def merge_operation(self, identifier: object, data: Json) -> CallMirror:
        """Return what is known after *data* about the operation of that id."""
        if not isinstance(identifier, str) or not identifier:
            return self
        key = normal_id(identifier)
        # The id as the answer wrote it: URLs may have it without dashes.
        operation = self.operations.get(key) or RemoteOperation(identifier)
        shown = data.get("id")
        if isinstance(shown, str) and normal_id(shown) == key:
            operation = replace(operation, id=max(operation.id, shown, key=_dashes))
        operations = {**self.operations, key: operation.merge(data)}
        if len(operations) > MAX_OPERATIONS:
            done = next((k for k, held in operations.items() if held.is_final), None)
            if done is not None and done != key:
                del operations[done]
        return replace(self, operations=operations)

    def merge_get(
        self, call: Json | None, participants: list[Any] | None, *, is_latest: bool
    ) -> CallMirror:
        """Return what is known after the service answered GETs; None is what was not asked."""
        mirror = self
        if call is not None:
            mirror = replace(mirror, call=merge_remote(mirror.call, call, is_latest=is_latest))
        if participants is not None:
            roster = mirror.roster.merge_get(participants, is_latest=is_latest)
            mirror = replace(mirror, roster=roster)
        return mirror


def _dashes(identifier: str) -> tuple[int, str]:
    return identifier.count("-"), identifier.swapcase()
