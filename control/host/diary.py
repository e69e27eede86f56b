"""When a call of a bot host came into which state, and what the journal is told of it."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mixminus.media.session import MediaSession

from ..call_totals import CallTotals
from ..graph.enums import CallState
from ..journal import Journal, Kind
from ..journal_titles import roster_names
from ..operation.call_context import Concern
from .parts import StateChange, since_ms

log = logging.getLogger("mixminus.control.host")

WALL_ORIGIN: Final = datetime.now(UTC) - timedelta(seconds=time.monotonic())
"""What the monotonic clock's zero is on the wall: read once, so that a call's beginning is told as
the same moment each time."""
MAX_OPERATIONS: Final = 256
"""Operations of one call whose beginning is remembered."""


class CallDiary(ABC):
    """The states of a call in their order. Thread: the loop's."""

    id: str
    states: list[StateChange]
    _created_at_s: float
    _concern: Concern | None = None
    _session: MediaSession | None
    _journal: Journal | None = None
    _totals: CallTotals | None = None
    _operations_at: dict[str, datetime] | None = None

    @property
    @abstractmethod
    def state(self) -> CallState:
        """What the call is in now."""

    @property
    def created_at(self) -> datetime:
        """When the call began here."""
        return WALL_ORIGIN + timedelta(seconds=self._created_at_s)

    def operation_began_at(self, operation_id: str) -> datetime:
        """Return when an operation was first heard of; else when the call began."""
        return (self._operations_at or {}).get(operation_id, self.created_at)

    def _note_state(self, reason: str = "") -> None:
        at_ms = since_ms(self._created_at_s)
        self.states.append(StateChange(self.state, at_ms))
        event = {"event": f"call.{self.state.value}"}
        log.info("call %s: %s after %.0f ms", self.id, self.state.value, at_ms, extra=event)
        if self._totals is not None:
            self._totals.enter(self.state, at_ms / 1000)
        if self._concern is not None:
            self._concern.enter_state(self.state.value)
            if self.state is CallState.ESTABLISHED and self._session is None:
                self._concern.set_up_over("media are the service's")
            elif self.state is CallState.TERMINATED:
                self._concern.set_up_over(reason or "terminated", has_failed=True)
        self._tell("state", f"{self.state.value}: {reason}" if reason else self.state.value)

    def _note_roster(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        came = [now[key] for key in now if key not in before]
        gone = [before[key] for key in before if key not in now]
        changed = [now[key] for key in now if key in before and now[key] != before[key]]
        told = (("came", came), ("changed", changed), ("left", gone))
        body = {what: entries for what, entries in told if entries}
        self._tell("roster", "; ".join(f"{w}: {roster_names(e)}" for w, e in body.items()), body)

    def _note_operation(self, operation_id: str, data: Mapping[str, Any]) -> None:
        if self._operations_at is None:
            self._operations_at = {}
        self._operations_at.setdefault(operation_id, datetime.now(UTC))
        if len(self._operations_at) > MAX_OPERATIONS:
            del self._operations_at[next(iter(self._operations_at))]
        kind = str(data.get("@odata.type", "operation")).rpartition(".")[2]
        status = data.get("status") or "begun"
        self._tell("operation", f"{kind.removesuffix('Operation')}: {status}", data)

    def _tell(self, kind: Kind, title: str, body: Mapping[str, Any] | None = None) -> None:
        if self._journal is not None:
            self._journal.record(kind, self.id, title, body)
