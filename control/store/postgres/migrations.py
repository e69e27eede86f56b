"""The steps from one version of the PostgreSQL database to the next."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = "mixminus"
"""Where all tables are: a database may be shared with other programs."""

MAKE_SCHEMA: Final = b"CREATE SCHEMA mixminus"
MAKE_VERSION: Final = b"CREATE TABLE version AS SELECT 0 AS version"

# Each entry takes a database from its index to the next version; none is ever edited. The tables
# and columns are SQLite's: what is added to one engine is added to the other.
# Ids are compared as bytes (COLLATE "C"), as SQLite does, whatever the database's language is.
MIGRATIONS: Final[tuple[bytes, ...]] = (
    b"""
    -- One row: which service holds the database, and how many transactions it wrote. What was
    -- committed as the connection broke is known by it.
    CREATE TABLE holder (
        is_only BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only),
        instance TEXT NOT NULL,
        commits BIGINT NOT NULL
    ) WITH (fillfactor = 10);
    -- SQLite's function for one member of an object. A text that PostgreSQL has not, as U+0000,
    -- is no reason to fail: then there is no such member.
    CREATE FUNCTION json_extract(document TEXT, path TEXT) RETURNS TEXT
        LANGUAGE plpgsql IMMUTABLE STRICT AS $$
        BEGIN
            RETURN document::json ->> substr(path, 3);
        EXCEPTION WHEN data_exception THEN
            RETURN NULL;
        END
    $$;
    CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE apps (
        app_id TEXT COLLATE "C" PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        secret TEXT NOT NULL,
        roles TEXT NOT NULL,
        webhook TEXT
    );
    CREATE TABLE users (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id TEXT COLLATE "C" NOT NULL UNIQUE,
        display_name TEXT NOT NULL,
        token TEXT NOT NULL UNIQUE
    );
    CREATE TABLE calls (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        call_id TEXT COLLATE "C" NOT NULL UNIQUE,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        callback_uri TEXT NOT NULL,
        state TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        resource TEXT NOT NULL
    );
    CREATE INDEX calls_living ON calls (is_over, position);
    CREATE TABLE outbox (
        sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id TEXT NOT NULL UNIQUE,
        call_id TEXT COLLATE "C" NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
        status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed')),
        body TEXT NOT NULL,
        created_us BIGINT
    );
    CREATE INDEX outbox_call ON outbox (call_id, status, sequence);
    CREATE INDEX outbox_pending ON outbox (status, sequence);
    CREATE TABLE meetings (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
    );
    CREATE TABLE records (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        record_id TEXT COLLATE "C" NOT NULL UNIQUE,
        tenant_id TEXT NOT NULL,
        started_us BIGINT NOT NULL,
        ended_us BIGINT NOT NULL,
        resource TEXT NOT NULL,
        participants TEXT NOT NULL,
        sessions TEXT NOT NULL,
        pstn_calls TEXT
    );
    CREATE INDEX records_ended ON records (ended_us);
    CREATE TABLE record_apps (
        record_id TEXT COLLATE "C" NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
        app_id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (record_id, app_id)
    );
    CREATE TABLE record_people (
        record_id TEXT COLLATE "C" NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
        person_id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (record_id, person_id)
    );
    CREATE TABLE subscriptions (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        subscription_id TEXT COLLATE "C" NOT NULL UNIQUE,
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        resource TEXT NOT NULL,
        person_id TEXT,
        change_type TEXT NOT NULL,
        notification_url TEXT NOT NULL,
        lifecycle_url TEXT,
        client_state TEXT,
        expires_us BIGINT NOT NULL
    );
    CREATE INDEX subscriptions_tenant ON subscriptions (tenant_id, position);
    CREATE TABLE changes (
        sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        subscription_id TEXT COLLATE "C" NOT NULL
            REFERENCES subscriptions (subscription_id) ON DELETE CASCADE,
        created_us BIGINT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX changes_subscription ON changes (subscription_id, sequence);
    """,
    b"""
    CREATE TABLE operations (
        operation_id TEXT COLLATE "C" PRIMARY KEY,
        call_id TEXT COLLATE "C" NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        client_context TEXT,
        status TEXT NOT NULL,
        revision BIGINT NOT NULL,
        members TEXT NOT NULL
    );
    CREATE INDEX operations_call ON operations (call_id, revision);
    CREATE TABLE conversations (
        conversation_id TEXT COLLATE "C" PRIMARY KEY,
        kind TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        organizer TEXT NOT NULL,
        join_url TEXT,
        app_ids TEXT NOT NULL,
        seen_us BIGINT NOT NULL
    );
    CREATE TABLE participants (
        conversation_id TEXT COLLATE "C" NOT NULL
            REFERENCES conversations (conversation_id) ON DELETE CASCADE,
        number BIGINT NOT NULL,
        stay TEXT NOT NULL,
        PRIMARY KEY (conversation_id, number)
    );
    """,
    b"""
    -- What came of a transaction is asked of the server: pg_xact_status.
    ALTER TABLE holder DROP COLUMN commits;
    """,
    b"""
    CREATE TABLE host_instances (
        instance TEXT COLLATE "C" PRIMARY KEY,
        incarnation TEXT NOT NULL,
        url TEXT NOT NULL,
        capacity BIGINT NOT NULL,
        load DOUBLE PRECISION NOT NULL,
        calls BIGINT NOT NULL,
        is_draining INTEGER NOT NULL,
        beat BIGINT NOT NULL
    );
    CREATE TABLE host_calls (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        lineage TEXT COLLATE "C" NOT NULL UNIQUE,
        epoch BIGINT NOT NULL,
        owner TEXT COLLATE "C",
        app_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        call_id TEXT COLLATE "C",
        media TEXT NOT NULL CHECK (media IN ('app', 'service')),
        state TEXT NOT NULL,
        is_over INTEGER NOT NULL,
        resource TEXT NOT NULL,
        peer TEXT NOT NULL,
        joining TEXT NOT NULL,
        saved_state TEXT,
        reason TEXT,
        changed_us BIGINT NOT NULL
    );
    CREATE INDEX host_calls_id ON host_calls (call_id);
    CREATE INDEX host_calls_living ON host_calls (owner, position) WHERE is_over = 0;
    CREATE INDEX host_calls_over ON host_calls (changed_us) WHERE is_over = 1;
    CREATE TABLE host_inbox (
        sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id TEXT COLLATE "C" NOT NULL UNIQUE,
        call_id TEXT COLLATE "C" NOT NULL,
        lineage TEXT COLLATE "C",
        instance TEXT COLLATE "C" NOT NULL,
        tenant_id TEXT NOT NULL,
        is_applied INTEGER NOT NULL,
        received_us BIGINT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX host_inbox_waiting ON host_inbox (sequence) WHERE is_applied = 0;
    CREATE INDEX host_inbox_received ON host_inbox (received_us);
    CREATE TABLE host_requests (
        position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id TEXT COLLATE "C" NOT NULL UNIQUE,
        instance TEXT COLLATE "C" NOT NULL,
        asked_by TEXT COLLATE "C" NOT NULL,
        is_taken INTEGER NOT NULL,
        asked_us BIGINT NOT NULL,
        body TEXT NOT NULL,
        answer TEXT
    );
    CREATE INDEX host_requests_asked ON host_requests (instance, position) WHERE is_taken = 0;
    CREATE INDEX host_requests_old ON host_requests (asked_us);
    """,
    b"""
    -- None: written by a version that did not say it.
    ALTER TABLE host_instances ADD COLUMN app_id TEXT COLLATE "C";
    """,
)
