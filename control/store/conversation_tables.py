"""Who is in the conversations whose records are still to be made."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

from .conversation_base import ConversationRow, ParticipantRow
from .engine import Engine, Transaction
from .rows import document, readable


class ConversationTables(Engine):
    """The part of a :class:`~.base.Store` that keeps conversations and their participants."""

    async def save_conversation(self, conversation: ConversationRow) -> None:
        """Write a conversation, and those of its stays that the row has."""

        def work(db: Transaction) -> None:
            write_conversation(db, conversation)

        await self._run(work)

    async def conversations(self) -> tuple[ConversationRow, ...]:
        """Return all whose records are still to be made, with all their stays."""

        def work(db: Transaction) -> tuple[ConversationRow, ...]:
            stays: dict[str, list[ParticipantRow]] = defaultdict(list)
            found = db.execute(
                "SELECT conversation_id, number, stay FROM participants"
                " ORDER BY conversation_id, number"
            )
            for conversation_id, participant in readable(found, _participant):
                stays[conversation_id].append(participant)
            rows = db.execute(
                "SELECT conversation_id, kind, tenant_id, organizer, join_url, app_ids, seen_us"
                " FROM conversations ORDER BY conversation_id"
            )
            return tuple(
                replace(conversation, participants=tuple(stays[conversation.conversation_id]))
                for conversation in readable(rows, _conversation)
            )

        return await self._run(work)

    async def see_conversations(self, now_us: int) -> None:
        """Say that all conversations go on: one that a crash ends, ended no earlier."""

        def work(db: Transaction) -> None:
            db.execute("UPDATE conversations SET seen_us = ?", (now_us,))

        await self._run(work)

    async def forget_conversation(self, conversation_id: str) -> None:
        """Remove a conversation that leaves no record."""

        def work(db: Transaction) -> None:
            forget_conversation(db, conversation_id)

        await self._run(work)


def write_conversation(db: Transaction, row: ConversationRow) -> None:
    """Write a conversation within a transaction."""
    db.execute(
        "INSERT INTO conversations (conversation_id, kind, tenant_id, organizer, join_url,"
        " app_ids, seen_us) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (conversation_id) DO UPDATE SET app_ids = excluded.app_ids,"
        " seen_us = excluded.seen_us",
        (
            row.conversation_id,
            row.kind,
            row.tenant_id,
            json.dumps([] if row.organizer is None else [row.organizer]),
            row.join_url,
            json.dumps(row.app_ids),
            row.seen_us,
        ),
    )
    db.executemany(
        "INSERT INTO participants (conversation_id, number, stay) VALUES (?, ?, ?)"
        " ON CONFLICT (conversation_id, number) DO UPDATE SET stay = excluded.stay",
        [(row.conversation_id, each.number, json.dumps(each.stay)) for each in row.participants],
    )


def forget_conversation(db: Transaction, conversation_id: str) -> None:
    """Remove a conversation within a transaction: its record is made, or there is none."""
    db.execute("DELETE FROM conversations WHERE conversation_id = ?", (conversation_id,))


def _participant(row: tuple[str, int, str]) -> tuple[str, ParticipantRow]:
    conversation_id, number, stay = row
    key = f"conversation_id {conversation_id!r}, number {number}"
    return conversation_id, ParticipantRow(number, document("participants", key, stay, dict))


def _conversation(
    row: tuple[str, str, str, str, str | None, str, int],
) -> ConversationRow:
    conversation_id, kind, tenant_id, organizer, join_url, app_ids, seen_us = row
    key = f"conversation_id {conversation_id!r}"
    return ConversationRow(
        conversation_id,
        kind,
        tenant_id,
        next(iter(document("conversations", key, organizer, list)), None),
        join_url,
        tuple(document("conversations", key, app_ids, list)),
        seen_us,
    )
