"""Conversations in the store while they go on: all of them, also after the store was away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from mixminus.control.call_state import REMOVED, SERVICE_STOPPED
from mixminus.control.service.records.build import build_record
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.records.keeping import KeptConversations, last_seen, restored
from mixminus.control.store.base import Store, StoreAwayError
from mixminus.control.store.conversation_base import ConversationRow
from tests.records_kit import at, call_of_two, group_of, history
from tests.virtual_time import run_virtually

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class MemoryStore:
    """Keeps conversations as the store does; ``is_away`` lets it refuse."""

    def __init__(self) -> None:
        self.kept: dict[str, ConversationRow] = {}
        self.is_away = False
        self.writes = self.seen = 0

    async def save_conversation(self, row: ConversationRow) -> None:
        await asyncio.sleep(0.01)
        if self.is_away:
            raise StoreAwayError("the disk is full")
        self.writes += 1
        before = self.kept.get(row.conversation_id)
        stays = {} if before is None else {each.number: each for each in before.participants}
        stays |= {each.number: each for each in row.participants}
        self.kept[row.conversation_id] = replace(
            row, participants=tuple(stays[number] for number in sorted(stays))
        )

    async def see_conversations(self, now_us: int) -> None:
        if self.is_away:
            raise StoreAwayError("the disk is full")
        self.seen += 1


def keeper_of(store: MemoryStore) -> KeptConversations:
    return KeptConversations(cast(Store, store), lambda: NOW)


def shape(past: ConversationHistory) -> Any:
    return (past.id, past.kind, past.tenant_id, past.organizer, past.join_url, past.app_ids)


@pytest.mark.parametrize("past", [call_of_two("two", "app"), group_of(12, "many", "app")])
def test_what_is_kept_is_all_that_a_record_is_made_of(past: ConversationHistory) -> None:
    ended_at, past.ended_at = past.ended_at, None
    past.put_back(range(len(past.stays)))
    row = keeper_of(MemoryStore()).take(past)
    assert row is not None
    assert last_seen(row) == NOW
    again = restored(row)
    assert again.stays == past.stays
    assert shape(again) == shape(past)
    past.ended_at = again.ended_at = ended_at
    assert build_record(again, version=1, now=NOW) == build_record(past, version=1, now=NOW)


def test_who_is_still_in_can_leave_after_a_restart() -> None:
    past = history()
    past.joined("one", {"user": {"id": "1"}}, "user", "webrtc", at(0))
    past.joined("two", {"user": {"id": "2"}}, "user", "webrtc", at(1))
    past.left("one", at(5), REMOVED)
    row = keeper_of(MemoryStore()).take(past)
    assert row is not None
    again = restored(row)
    assert again.present == ("two",)
    again.left("two", at(9), SERVICE_STOPPED)
    assert [stay.result for stay in again.stays] == [REMOVED, SERVICE_STOPPED]


def test_a_conversation_of_another_version_is_refused() -> None:
    past = history()
    past.joined("one", {"user": {"id": "1"}}, "user", "webrtc", at(0))
    row = keeper_of(MemoryStore()).take(past)
    assert row is not None
    (stay,) = row.participants
    with pytest.raises(ValueError, match="started_at"):
        restored(replace(row, participants=(replace(stay, stay={"dance": 1}),)))


def test_changes_are_written_soon_and_after_an_outage_all_of_them() -> None:
    async def main() -> None:
        store = MemoryStore()
        keeper = keeper_of(store)
        keeper.start()
        past = history(app_id="app")
        keeper.watch(past)
        past.joined("bot", {"application": {"id": "app"}}, "application", "link", at(0))
        await asyncio.sleep(1)
        assert len(store.kept[past.id].participants) == 1
        store.is_away = True
        for number in range(40):
            past.joined(f"p{number}", {"user": {"id": str(number)}}, "user", "webrtc", at(number))
            await asyncio.sleep(0.5)
        assert len(store.kept[past.id].participants) == 1
        store.is_away = False
        before = store.writes
        await asyncio.sleep(1.5)
        assert restored(store.kept[past.id]).stays == past.stays
        # What had gathered is one write, and perhaps one that was on its way.
        assert store.writes - before <= 2
        seen = store.seen
        await asyncio.sleep(60)
        assert store.seen - seen == 6
        past.ended(at(100))
        keeper.over(past)
        assert keeper.take(past) is None
        await asyncio.sleep(30)
        assert store.seen - seen == 6
        await keeper.close()

    run_virtually(main())


def test_what_no_application_is_in_is_not_kept() -> None:
    async def main() -> None:
        store = MemoryStore()
        keeper = keeper_of(store)
        past = ConversationHistory("id", "meeting", "tenant", None)
        keeper.watch(past)
        past.joined("one", {"user": {"id": "1"}}, "user", "webrtc", at(0))
        await asyncio.sleep(1)
        assert store.kept == {}
        past.app_joined("app")
        await asyncio.sleep(1)
        # Who was there before it came is in its record too.
        assert len(store.kept["id"].participants) == 1
        await keeper.close()

    run_virtually(main())
