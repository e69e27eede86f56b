"""The same operations, in any order, have the same answers on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.control.store.base import (
    AppRow,
    CallRow,
    MeetingRow,
    RecordQuery,
    RecordRow,
    Store,
    StoreError,
    SubscriptionRow,
    UserRow,
)
from tests.postgres_kit import PostgresServer
from tests.store_kit import Place, PostgresPlace, SqlitePlace

pytestmark = pytest.mark.slow

Operation: TypeAlias = tuple[str, tuple[Any, ...]]

TABLES = "secrets, apps, users, calls, outbox, meetings, records, record_apps, record_people"
TABLES += ", operations, conversations, participants"

ids = st.sampled_from(["", "a", "B", "ä", "b", "a b", "%", "?", ":x", "'", "\\", "😀"])
words = st.one_of(ids, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9))
times_us = st.integers(0, 9)
documents = st.dictionaries(st.sampled_from(["id", "callChainId", "x"]), words)

apps = st.builds(AppRow, ids, words, words, words, st.tuples(words), st.none() | words)
users = st.builds(UserRow, ids, words, ids)
calls = st.builds(CallRow, ids, ids, words, words, words, st.booleans(), documents)
meetings = st.builds(
    MeetingRow,
    *(ids, ids, words, words, words, words, ids),
    *(st.none() | words, words, st.booleans(), st.booleans(), st.booleans(), words),
)
people = st.lists(st.builds(lambda one: {"id": one}, ids), max_size=3).map(tuple)
records = st.builds(
    RecordRow,
    *(ids, st.just("tenant"), st.lists(ids, unique=True, max_size=3).map(tuple)),
    *(times_us, times_us, documents, people, people, people),
)
queries = st.builds(
    RecordQuery,
    *(st.just("tenant"), ids, times_us),
    *(st.none() | times_us, st.none() | times_us, st.none() | ids),
)
subscriptions = st.builds(
    SubscriptionRow,
    *(ids, words, ids, words, st.none() | ids, words, words),
    *(st.none() | words, st.none() | words, st.integers(-(2**62), 2**62)),
)
bodies = st.lists(words, max_size=3)


def op(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), st.tuples(*arguments))


operations = st.lists(
    st.one_of(
        op("secret", ids, words),
        op("add_app", apps),
        op("set_roles", ids, st.lists(words, max_size=2)),
        op("set_webhook", ids, st.none() | words),
        op("app", ids),
        op("add_user", users),
        op("users"),
        op("save_call", calls, bodies),
        op("call", ids),
        op("living_calls"),
        op("calls_with_notifications"),
        op("next_notification", ids),
        op("finish_next", ids, st.booleans()),
        op("notification_counts", st.none() | ids),
        op("outbox_backlog"),
        op("forget_calls", st.integers(0, 3)),
        op("add_meeting", meetings),
        op("meeting", ids, ids),
        op("meeting_of_join_id", ids),
        op("meetings"),
        op("save_record", records, st.lists(st.tuples(ids, words), max_size=3), times_us),
        op("record", ids),
        op("pages", queries, st.integers(1, 3)),
        op("pstn_calls", queries),
        op("forget_records", times_us),
        op("add_subscription", subscriptions, st.integers(0, 3)),
        op("subscription", ids),
        op("subscriptions", ids),
        op("renew", ids, times_us, words),
        op("remove_subscription", ids),
        op("forget_subscriptions", times_us),
        op("subscriptions_with_changes"),
        op("next_change", ids),
        op("finish_next_change", ids),
    ),
    max_size=30,
)


class Player:
    """Plays operations on one store. What each store makes by itself is not compared."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._special: Mapping[str, Callable[..., Awaitable[Any]]] = {
            "secret": lambda name, made: store.secret(name, lambda: made),
            "next_notification": self._next_notification,
            "finish_next": self._finish_next,
            "outbox_backlog": self._backlog,
            "pages": self._pages,
            "renew": lambda name, end_us, url: store.renew_subscription(
                name, expires_us=end_us, notification_url=url
            ),
            "next_change": self._next_change,
            "finish_next_change": self._finish_next_change,
        }

    async def play(self, operation: Operation) -> Any:
        name, arguments = operation
        method = self._special.get(name) or getattr(self.store, name)
        try:
            return await method(*arguments)
        except StoreError as error:
            return "refused: no application" if "no application" in str(error) else "refused"

    async def _next_notification(self, call_id: str) -> Any:
        row = await self.store.next_notification(call_id)
        return row and replace(row, sequence=0, message_id="", created_us=None)

    async def _finish_next(self, call_id: str, delivered: bool) -> None:
        row = await self.store.next_notification(call_id)
        if row is not None:
            await self.store.finish_notification(row.sequence, delivered=delivered)

    async def _backlog(self) -> tuple[int, bool]:
        backlog = await self.store.outbox_backlog()
        return backlog.pending, backlog.oldest_us is None

    async def _pages(self, query: RecordQuery, limit: int) -> list[Any]:
        seen = []
        while page := await self.store.records(query, limit):
            seen.append([resource for _, resource in page])
            query = replace(query, after=page[-1][0])
        return seen

    async def _next_change(self, name: str) -> Any:
        row = await self.store.next_change(name)
        return row and replace(row, sequence=0)

    async def _finish_next_change(self, name: str) -> None:
        row = await self.store.next_change(name)
        if row is not None:
            await self.store.finish_change(row.sequence)


async def empty(place: Place) -> None:
    """Bring the tables about, and empty them."""
    await (await place.open()).close()
    place.run(f"TRUNCATE {TABLES}, subscriptions, changes")


def test_both_engines_answer_alike(postgres: PostgresServer) -> None:
    database = PostgresPlace(postgres)

    async def compare(todo: list[Operation], directory: Path) -> None:
        await empty(database)
        stores = await SqlitePlace(directory).open(), await database.open()
        try:
            players = [Player(store) for store in stores]
            for operation in todo:
                expected, got = [await player.play(operation) for player in players]
                assert expected == got, operation
        finally:
            for store in stores:
                await store.close()

    @settings(max_examples=max(40, settings().max_examples))
    @given(operations)
    def run(todo: list[Operation]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(compare(todo, Path(directory)))

    run()
