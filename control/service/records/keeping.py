"""Conversations in the store while they go on: a crash leaves their records to be made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pydantic import TypeAdapter

from ...store.base import Store, StoreError
from ...store.conversation_base import ConversationRow, ParticipantRow
from ..store_wait import StoreWait
from .build import microseconds
from .history import ConversationHistory, Participation

log = logging.getLogger("mixminus.control.records")

SEEN_EVERY_S: Final = 10.0
"""How often conversations are said to go on: so much too early may one end that a crash ends."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAY: Final = TypeAdapter(Participation)


class KeptConversations:
    """Writes what is new in the histories of conversations that an application is in.

    A call's own writing takes along what there is (:meth:`take`); the rest is written soon, and
    while the store is away, as soon as it is back.
    Thread: the loop's.
    """

    def __init__(
        self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._clock = store, clock
        self._living: set[str] = set()
        self._writers: dict[str, asyncio.Task[None]] = {}
        self._seeing: asyncio.Task[None] | None = None

    def watch(self, history: ConversationHistory) -> None:
        """Keep *history* from now on."""
        history.on_change = partial(self._changed, history)

    def take(self, history: ConversationHistory) -> ConversationRow | None:
        """Return what of *history* is not in the store; None when nothing is, or nothing need be.

        Who cannot write it puts it back.
        """
        if history.is_over or not history.app_ids:
            return None
        numbers = history.take_unsaved()
        if not numbers:
            return None
        self._living.add(history.id)
        return ConversationRow(
            history.id,
            history.kind,
            history.tenant_id,
            history.organizer,
            history.join_url,
            tuple(history.app_ids),
            microseconds(self._clock()),
            tuple(
                ParticipantRow(number, _STAY.dump_python(history.stays[number], mode="json"))
                for number in numbers
            ),
        )

    def put_back(self, history: ConversationHistory, row: ConversationRow | None) -> None:
        """Say that what was taken is not written; it is written soon."""
        if row is not None:
            history.put_back(each.number for each in row.participants)
            self._changed(history)

    def over(self, history: ConversationHistory) -> None:
        """Write no more of *history*: its record is made, and takes its place."""
        history.on_change = lambda: None
        self._living.discard(history.id)

    def start(self) -> None:
        """Begin to say, every ten seconds, that conversations go on."""
        self._seeing = asyncio.create_task(self._see(), name="see conversations")

    async def close(self) -> None:
        """Stop. Again is no error."""
        tasks = [*self._writers.values(), *((self._seeing,) if self._seeing else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, history: ConversationHistory) -> None:
        if history.app_ids and not history.is_over and history.id not in self._writers:
            self._writers[history.id] = asyncio.create_task(
                self._write(history), name=f"keep conversation {history.id}"
            )

    async def _write(self, history: ConversationHistory) -> None:
        wait = StoreWait()
        try:
            while (row := self.take(history)) is not None:
                try:
                    await self._store.save_conversation(row)
                except StoreError as error:
                    history.put_back(each.number for each in row.participants)
                    wait.note(log, f"conversation {history.id}: who is in it", error)
                    await wait.pause()
                else:
                    wait.over()
        finally:
            # No await between the last look at the history and this: no change falls between.
            del self._writers[history.id]

    async def _see(self) -> None:
        while True:
            await asyncio.sleep(SEEN_EVERY_S)
            if not self._living:
                continue
            try:
                await self._store.see_conversations(microseconds(self._clock()))
            except StoreError as error:
                log.debug("that conversations go on could not be written: %s", error)


def restored(row: ConversationRow) -> ConversationHistory:
    """Return the history of a conversation as it was kept.

    Raises: ValueError when it is not of this version's shape.
    """
    history = ConversationHistory(
        row.conversation_id, row.kind, row.tenant_id, row.organizer, row.join_url
    )
    history.app_ids.extend(row.app_ids)
    history.restore(_STAY.validate_python(each.stay) for each in row.participants)
    return history


def last_seen(row: ConversationRow) -> datetime:
    """Return when a conversation was last known to go on."""
    return _EPOCH + timedelta(microseconds=row.seen_us)
