"""What a call service keeps of who is in a conversation, and of what a call still works on.

It is for after a crash: a living service knows both by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation that runs. ``members`` are its own ones, as its type names them."""

    operation_id: str
    call_id: str
    kind: str
    client_context: str | None
    status: str
    revision: int
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParticipantRow:
    """One stay of one party; ``number`` counts a conversation's stays, ``stay`` is all of it."""

    number: int
    stay: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation whose record is still to be made, and those of its stays that changed.

    ``seen_us`` is when it was known to go on.
    Units:  microseconds since 1970, UTC.
    """

    conversation_id: str
    kind: str
    tenant_id: str
    organizer: dict[str, Any] | None
    join_url: str | None
    app_ids: tuple[str, ...]
    seen_us: int
    participants: tuple[ParticipantRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What is written in the same transaction as a call: all of it is, or nothing.

    ``begun`` are operations from now on running, ``ended`` the ids of those that no longer are.
    """

    begun: tuple[OperationRow, ...] = ()
    ended: tuple[str, ...] = ()
    conversation: ConversationRow | None = None


NOTHING = Beside()
