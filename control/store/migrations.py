"""The steps from one version of the database to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Each entry takes a database from its index to the next version; none is ever edited.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE apps (
        app_id TEXT PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        secret TEXT NOT NULL,
        roles TEXT NOT NULL
    ) STRICT;
    CREATE TABLE users (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT NOT NULL UNIQUE,
        display_name TEXT NOT NULL,
        token TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE calls (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        call_id TEXT NOT NULL UNIQUE,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        callback_uri TEXT NOT NULL,
        state TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        resource TEXT NOT NULL
    ) STRICT;
    CREATE INDEX calls_living ON calls (is_over, position);
    CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        call_id TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
        status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed')),
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_call ON outbox (call_id, status, sequence);
    CREATE INDEX outbox_pending ON outbox (status, sequence);
    """,
    """
    ALTER TABLE apps ADD COLUMN webhook TEXT;
    -- Who was given every permission there was has the new ones too.
    UPDATE apps SET roles = '["Calls.Initiate.All", "Calls.InitiateGroupCall.All",'
        || ' "Calls.JoinGroupCall.All", "Calls.JoinGroupCallAsGuest.All",'
        || ' "Calls.AccessMedia.All", "CallRecords.Read.All", "CallRecord-PstnCalls.Read.All"]'
        WHERE (SELECT count(DISTINCT value) FROM json_each(roles)) = 5;
    CREATE TABLE meetings (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        thread_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        organizer_id TEXT NOT NULL,
        organizer_name TEXT NOT NULL,
        subject TEXT NOT NULL,
        join_meeting_id TEXT NOT NULL UNIQUE,
        passcode TEXT,
        join_url TEXT NOT NULL,
        lobby INTEGER NOT NULL,
        allow_without_host INTEGER NOT NULL,
        is_ad_hoc INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (thread_id, message_id)
    ) STRICT;
    CREATE TABLE records (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        record_id TEXT NOT NULL UNIQUE,
        tenant_id TEXT NOT NULL,
        started_us INTEGER NOT NULL,
        ended_us INTEGER NOT NULL,
        resource TEXT NOT NULL,
        participants TEXT NOT NULL,
        sessions TEXT NOT NULL,
        pstn_calls TEXT
    ) STRICT;
    CREATE INDEX records_ended ON records (ended_us);
    CREATE TABLE record_apps (
        record_id TEXT NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
        app_id TEXT NOT NULL,
        PRIMARY KEY (record_id, app_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE record_people (
        record_id TEXT NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
        person_id TEXT NOT NULL,
        PRIMARY KEY (record_id, person_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE subscriptions (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription_id TEXT NOT NULL UNIQUE,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        resource TEXT NOT NULL,
        person_id TEXT,
        change_type TEXT NOT NULL,
        notification_url TEXT NOT NULL,
        lifecycle_url TEXT,
        client_state TEXT,
        expires_us INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX subscriptions_tenant ON subscriptions (tenant_id, position);
    CREATE TABLE changes (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription_id TEXT NOT NULL
            REFERENCES subscriptions (subscription_id) ON DELETE CASCADE,
        created_us INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX changes_subscription ON changes (subscription_id, sequence);
    """,
    """
    ALTER TABLE outbox ADD COLUMN created_us INTEGER;
    """,
    """
    CREATE TABLE operations (
        operation_id TEXT PRIMARY KEY,
        call_id TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        client_context TEXT,
        status TEXT NOT NULL,
        revision INTEGER NOT NULL,
        members TEXT NOT NULL
    ) STRICT;
    CREATE INDEX operations_call ON operations (call_id, revision);
    CREATE TABLE conversations (
        conversation_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        organizer TEXT NOT NULL,
        join_url TEXT,
        app_ids TEXT NOT NULL,
        seen_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE participants (
        conversation_id TEXT NOT NULL
            REFERENCES conversations (conversation_id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        stay TEXT NOT NULL,
        PRIMARY KEY (conversation_id, number)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE host_instances (
        instance TEXT PRIMARY KEY,
        incarnation TEXT NOT NULL,
        url TEXT NOT NULL,
        capacity INTEGER NOT NULL,
        load REAL NOT NULL,
        calls INTEGER NOT NULL,
        is_draining INTEGER NOT NULL,
        beat INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE host_calls (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        lineage TEXT NOT NULL UNIQUE,
        epoch INTEGER NOT NULL,
        owner TEXT,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        call_id TEXT,
        media TEXT NOT NULL CHECK (media IN ('app', 'service')),
        state TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        resource TEXT NOT NULL,
        peer TEXT NOT NULL,
        joining TEXT NOT NULL,
        saved_state TEXT,
        reason TEXT,
        changed_us INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX host_calls_id ON host_calls (call_id);
    CREATE INDEX host_calls_living ON host_calls (owner, position) WHERE is_over = 0;
    CREATE INDEX host_calls_over ON host_calls (changed_us) WHERE is_over = 1;
    CREATE TABLE host_inbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        call_id TEXT NOT NULL,
        lineage TEXT,
        instance TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        is_applied INTEGER NOT NULL,
        received_us INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX host_inbox_waiting ON host_inbox (sequence) WHERE is_applied = 0;
    CREATE INDEX host_inbox_received ON host_inbox (received_us);
    CREATE TABLE host_requests (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        instance TEXT NOT NULL,
        asked_by TEXT NOT NULL,
        is_taken INTEGER NOT NULL,
        asked_us INTEGER NOT NULL,
        body TEXT NOT NULL,
        answer TEXT
    ) STRICT;
    CREATE INDEX host_requests_asked ON host_requests (instance, position) WHERE is_taken = 0;
    CREATE INDEX host_requests_old ON host_requests (asked_us);
    """,
    """
    -- None: written by a version that did not say it.
    ALTER TABLE host_instances ADD COLUMN app_id TEXT;
    """,
)

TABLES: Final = frozenset(re.findall(r"CREATE TABLE (\w+)", "".join(MIGRATIONS)))
"""The tables of the present version, in either engine."""


def tables_gone(shown: str, gone: Iterable[str]) -> str:
    """Say what to do with the store *shown*, which does not have all of its tables."""
    names = ", ".join(sorted(gone))
    return (
        f"{shown} is damaged: it has no table {names}: nothing was changed; bring it back from a"
        " backup, or begin anew with another one"
    )
