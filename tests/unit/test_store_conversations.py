"""Operations and conversations in the store, on each engine: with their call, or not at all."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from mixminus.control.store.base import CallRow, RecordRow, StoreError
from mixminus.control.store.conversation_base import (
    Beside,
    ConversationRow,
    OperationRow,
    ParticipantRow,
)
from tests.store_kit import Place

CALL = CallRow("call", "app", "tenant", "https://bot/", "established", False, {"id": "call"})
OPERATION = OperationRow("op", "call", "recordOperation", None, "running", 3, {"a": [1, None]})
CONVERSATION = ConversationRow(
    "chain",
    "meeting",
    "tenant",
    {"user": {"id": "olga"}},
    "https://join",
    ("app",),
    1_000,
    (ParticipantRow(0, {"name": "Olga"}), ParticipantRow(1, {"name": "Bot"})),
)
RECORD = RecordRow("chain", "tenant", ("app",), 1, 2, {"id": "chain", "version": 1}, (), ())


async def test_an_operation_is_there_while_it_runs(place: Place) -> None:
    store = await place.open()
    later = replace(OPERATION, operation_id="later", client_context="mine", revision=5)
    await store.save_call(CALL, ["one"], Beside(begun=(later, OPERATION)))
    assert await store.running_operations("call") == (OPERATION, later)
    assert await store.running_operations("other") == ()
    await store.save_call(CALL, ["two"], Beside(ended=("op",)))
    assert await store.running_operations("call") == (later,)
    await store.close()


async def test_what_is_beside_a_call_is_written_with_it_or_not_at_all(place: Place) -> None:
    store = await place.open()
    await store.save_call(CALL, [], Beside(begun=(OPERATION,)))
    place.fail_outbox()
    ended = replace(CALL, is_over=True)
    with pytest.raises(StoreError, match="disk"):
        await store.save_call(ended, ["end"], Beside(ended=("op",), conversation=CONVERSATION))
    assert await store.running_operations("call") == (OPERATION,)
    assert await store.conversations() == ()
    await store.close()


async def test_a_conversation_is_kept_stay_by_stay_until_its_record_is(place: Place) -> None:
    store = await place.open()
    await store.save_call(CALL, [], Beside(conversation=CONVERSATION))
    other = replace(CONVERSATION, conversation_id="other", organizer=None, join_url=None)
    await store.save_conversation(other)
    assert await store.conversations() == (CONVERSATION, other)
    left = ParticipantRow(1, {"name": "Bot", "left": True})
    came = ParticipantRow(2, {"name": "John"})
    await store.save_conversation(
        replace(CONVERSATION, app_ids=("app", "two"), seen_us=2_000, participants=(left, came))
    )
    await store.see_conversations(3_000)
    kept, seen = await store.conversations()
    assert kept.participants == (CONVERSATION.participants[0], left, came)
    assert (kept.app_ids, kept.seen_us, seen.seen_us) == (("app", "two"), 3_000, 3_000)
    await store.save_record(RECORD, [], 0)
    await store.forget_conversation("unknown")
    assert [each.conversation_id for each in await store.conversations()] == ["other"]
    await store.forget_conversation("other")
    assert await store.conversations() == ()
    await store.save_conversation(replace(other, participants=()))
    (again,) = await store.conversations()
    assert again.participants == ()
    await store.close()


async def test_a_row_that_cannot_be_read_is_named_and_costs_no_other(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = await place.open()
    second = replace(OPERATION, operation_id="second", revision=9)
    await store.save_call(CALL, [], Beside((OPERATION, second), (), CONVERSATION))
    await store.save_conversation(replace(CONVERSATION, conversation_id="damaged"))
    await store.close()
    place.run(
        "UPDATE operations SET members = '{' WHERE operation_id = 'op';"
        "UPDATE participants SET stay = '[]' WHERE conversation_id = 'chain' AND number = 0;"
        "UPDATE conversations SET app_ids = '7' WHERE conversation_id = 'damaged';"
    )
    caplog.set_level(logging.ERROR, "mixminus.control.store")
    store = await place.open()
    assert await store.running_operations("call") == (second,)
    assert await store.conversations() == (
        replace(CONVERSATION, participants=CONVERSATION.participants[1:]),
    )
    said = caplog.text
    assert "table operations has a row that cannot be read, operation_id 'op'" in said
    assert "table participants has a row that cannot be read, conversation_id 'chain'" in said
    assert "table conversations has a row that cannot be read, conversation_id 'damaged'" in said
    await store.close()


async def test_the_next_notification_comes_with_the_end_of_the_last(place: Place) -> None:
    store = await place.open()
    await store.save_call(CALL, ["a", "b"])
    first = await store.next_notification("call")
    assert first is not None
    second = await store.finish_notification(first.sequence, delivered=True)
    assert second is not None
    assert (first.body, second.body) == ("a", "b")
    assert second == await store.next_notification("call")
    assert await store.finish_notification(second.sequence, delivered=False) is None
    assert await store.finish_notification(10_000, delivered=True) is None
    await store.close()
