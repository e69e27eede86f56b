"""A call as it stands in the store: its state and its row change with it, and never without."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import call_state as cs
from ..graph.enums import CallState
from ..graph.notifications import Notification
from ..store.base import CallRow, StoreAwayError, StoreError
from ..store.conversation_base import NOTHING, Beside
from .rows import call_bodies, changed_row, other_bodies
from .store_wait import StoreWait
from .turns import Turns

if TYPE_CHECKING:
    from .records.history import ConversationHistory
    from .services import CallServices

log = logging.getLogger("mixminus.control.calls")

OnChange = Callable[[cs.Call, cs.Effects], None]


class WrittenCall:
    """The state machine, the row and the outbox of one call: changed one after another.

    What happens to a call *may wait*: while the store is away it stays in its order, and is
    written as soon as the store is back. What a request asks for may not: then nothing changed,
    and StoreError says so, also while something else waits. ``on_change`` is called with each new
    state once that is written, before anything else can happen.
    Thread: the loop's.
    """

    def __init__(
        self,
        services: CallServices,
        row: CallRow,
        history: ConversationHistory,
        on_change: OnChange,
    ) -> None:
        self.row = row
        begin = cs.Call.receive if row.resource["direction"] == "incoming" else cs.Call.create
        self.call, self._first_effects = begin(row.call_id)
        self._services, self._history, self._on_change = services, history, on_change
        self._turns = Turns()
        self._held_back: list[str] = []
        self._given_up = asyncio.Event()

    def expect_store(self) -> None:
        """Refuse a request while something of this call waits for the store.

        Raises: StoreAwayError.
        """
        self._turns.expect_none_waits()

    async def begin(self) -> None:
        """Write the new call. Raises: StoreError; then there is none."""
        async with self._turns.turn(may_wait=False):
            await self._commit(self.call, self._first_effects, may_wait=False)

    async def apply(self, event: cs.Event, *, may_wait: bool) -> bool:
        """Apply *event*; return whether it meant anything now. Raises: StoreError."""
        async with self._turns.turn(may_wait=may_wait):
            call, effects = self.call.apply(event)
            if call is self.call:
                return False
            await self._commit(call, effects, may_wait=may_wait)
            return True

    async def update(
        self,
        changes: Mapping[str, Any],
        notifications: Sequence[Notification],
        beside: Beside = NOTHING,
        *,
        may_wait: bool,
    ) -> bool:
        """Change members of the resource and tell the application; say whether it was done.

        After the end nothing is. Raises: StoreError.
        """
        async with self._turns.turn(may_wait=may_wait):
            if self.call.is_over:
                return False
            resource = {**self.row.resource, **changes}
            row = replace(self.row, callback_uri=resource["callbackUri"], resource=resource)
            await self._save(row, other_bodies(row, notifications), beside, may_wait=may_wait)
            self.row = row
            return True

    def give_up(self) -> None:
        """Wait for the store no longer: what waits fails with StoreError. Again is no error."""
        self._given_up.set()

    async def _commit(self, call: cs.Call, effects: cs.Effects, *, may_wait: bool) -> None:
        row = changed_row(self.row, call)
        bodies, held_back = call_bodies(row, effects), self._held_back
        if self._services.settings.swap_establishing:
            # Establishing is held back until the next: bots must bear that order.
            is_first = call.state is CallState.ESTABLISHING
            bodies, held_back = ([], held_back + bodies) if is_first else (bodies + held_back, [])
        await self._save(row, bodies, NOTHING, may_wait=may_wait)
        # No await from here on: state, row and what follows change together.
        self.call, self.row, self._held_back = call, row, held_back
        self._on_change(call, effects)

    async def _save(
        self, row: CallRow, bodies: list[str], beside: Beside, *, may_wait: bool
    ) -> None:
        kept, wait = self._services.kept, StoreWait()
        while True:
            conversation = kept.take(self._history)
            try:
                await self._services.store.save_call(
                    row, bodies, replace(beside, conversation=conversation)
                )
            except StoreError as error:
                kept.put_back(self._history, conversation)
                if may_wait:
                    wait.note(log, f"call {row.call_id}: what happened", error)
                if not may_wait or wait.is_hopeless or self._given_up.is_set():
                    self._turns.go_on()
                    raise
                message = str(error)
                self._turns.hold_up(lambda: StoreAwayError(message))  # noqa: B023
                await self._pause(wait)
            except BaseException:
                kept.put_back(self._history, conversation)
                raise
            else:
                break
        self._turns.go_on()
        if bodies:
            self._services.notifier.wake(row.call_id)

    async def _pause(self, wait: StoreWait) -> None:
        pausing = asyncio.ensure_future(wait.pause())
        giving_up = asyncio.ensure_future(self._given_up.wait())
        await asyncio.wait({pausing, giving_up}, return_when=asyncio.FIRST_COMPLETED)
        for task in (pausing, giving_up):
            task.cancel()
