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
)
