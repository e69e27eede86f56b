"""What a crash left in the store: calls that did not end, their operations, their conversations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from .. import call_state as cs
from ..graph.enums import CallState
from ..graph.notifications import Notification
from ..store.base import CallRow, Store
from ..store.conversation_base import Beside, ConversationRow
from .operations import interrupted
from .records.history import ConversationHistory
from .records.keeping import last_seen, restored
from .rows import call_bodies, changed_row, other_bodies

log = logging.getLogger("mixminus.control.calls")

OnOver = Callable[[ConversationHistory], Awaitable[None]]


async def end_leftovers(store: Store, on_over: OnOver) -> tuple[CallRow, ...]:
    """End what an earlier run did not, as its media ended with it; return the calls, as they were.

    Each call gets its result, its running operations are told as failed, and then its end, all in
    one transaction; what was told before goes first. Then *on_over* makes the records. A second
    crash on the way leaves the rest for the next start.
    Raises: StoreError.
    """
    rows = await store.living_calls()
    # At once: the store writes what waits together.
    operations = await asyncio.gather(*(_end_call(store, row) for row in rows))
    conversations = await store.conversations()
    for conversation in conversations:
        await _end_conversation(conversation, on_over)
    if rows or conversations:
        log.warning(
            "an earlier run was cut short: ended %d calls with %d operations, recorded %d"
            " conversations",
            len(rows),
            sum(operations),
            len(conversations),
        )
    return rows


async def _end_call(store: Store, row: CallRow) -> int:
    running = await store.running_operations(row.call_id)
    told: list[Notification] = []
    for operation in running:
        try:
            told.append(interrupted(operation))
        except ValueError:
            # By another version: the end of its call is told all the same.
            log.exception("call %s: operation %s", row.call_id, operation.operation_id)
    call = cs.Call(row.call_id, CallState(row.state), cs.Setup.DONE)
    bodies: list[str] = []
    for event in (cs.Ended(cs.SERVICE_STOPPED), cs.TornDown()):
        call, effects = call.apply(event)
        row = changed_row(row, call)
        bodies += call_bodies(row, effects)
        if told:
            bodies += other_bodies(row, told)
            told = []
    ended = tuple(operation.operation_id for operation in running)
    await store.save_call(row, bodies, Beside(ended=ended))
    return len(running)


async def _end_conversation(row: ConversationRow, on_over: OnOver) -> None:
    try:
        history = restored(row)
    except ValueError:
        # By another version: it stays for that one.
        log.exception("conversation %s leaves no record", row.conversation_id)
        return
    at = max(last_seen(row), *(stay.ended_at or stay.started_at for stay in history.stays))
    # A clock that was set back since then: no record ends in the future.
    at = min(at, datetime.now(UTC))
    for participant_id in history.present:
        history.left(participant_id, at, cs.SERVICE_STOPPED)
    history.ended(at)
    await on_over(history)
