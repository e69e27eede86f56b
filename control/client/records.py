"""Call records, and subscriptions to them: what became of a call, after its end.

Source: Microsoft Graph, callRecord (v1.0), and change notifications on callRecords. Needs
CallRecords.Read.All. A record's id is the ``callChainId`` of its call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from .base import NOT_FOUND, an_object
from .models import Identity, items, mapping, text, texts
from .requests import GraphClient, GraphRequestError

RECORDS: Final = "/communications/callRecords"
SUBSCRIPTIONS: Final = "/subscriptions"
RESOURCE: Final = "/communications/callRecords"
INCLUDE_UNKNOWN: Final = "include-unknown-enum-members"

Json = Mapping[str, Any]


def read_time(value: object) -> datetime | None:
    """Read a time: ISO 8601 in UTC, with up to seven digits of a second; None if it is none."""
    if not isinstance(value, str):
        return None
    head, dot, rest = value.partition(".")
    digits = rest.rstrip("Zz")
    try:
        # Python knows microseconds: the seventh digit goes.
        return datetime.fromisoformat(f"{head}.{digits[:6]}+00:00" if dot else value)
    except ValueError:
        return None


def write_time(value: datetime) -> str:
    """Write a time as Graph wants it.

    Raises: ValueError on one without a time zone.
    """
    if value.tzinfo is None:
        raise ValueError("expected a time with its time zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class RecordSession:
    """One party's connection in a record; with its segments when they were asked for."""

    id: str
    started_at: datetime | None
    ended_at: datetime | None
    modalities: tuple[str, ...]
    caller: Json
    callee: Json
    segments: tuple[Json, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a session."""
        return cls(
            text(raw.get("id")) or "",
            read_time(raw.get("startDateTime")),
            read_time(raw.get("endDateTime")),
            texts(raw.get("modalities")),
            mapping(raw.get("caller")),
            mapping(raw.get("callee")),
            items(raw.get("segments")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class RecordParticipant:
    """Who was in a call."""

    id: str
    identity: Identity | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a participant."""
        return cls(text(raw.get("id")) or "", Identity.read(raw.get("identity")), raw)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What became of a call. ``version`` grows when the service learns more."""

    id: str
    version: int
    type: str | None
    modalities: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    join_url: str | None
    organizer: Identity | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a callRecord."""
        version = raw.get("version")
        return cls(
            text(raw.get("id")) or "",
            version if isinstance(version, int) else 0,
            text(raw.get("type")),
            texts(raw.get("modalities")),
            read_time(raw.get("startDateTime")),
            read_time(raw.get("endDateTime")),
            text(raw.get("joinWebUrl")),
            Identity.read(mapping(raw.get("organizer_v2")).get("identity")),
            raw,
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """A wish to be told of new records at ``notification_url``, until it expires."""

    id: str
    notification_url: str | None
    expires_at: datetime | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Json) -> Self:
        """Read a subscription."""
        expires_at = read_time(raw.get("expirationDateTime"))
        return cls(text(raw.get("id")) or "", text(raw.get("notificationUrl")), expires_at, raw)


class CallRecordsClient:
    """The call records of one tenant.

    All raise GraphRequestError, GraphConnectionError, TokenError.
    """

    def __init__(self, graph: GraphClient, tenant_id: str | None = None) -> None:
        self._graph = graph
        self._tenant_id = tenant_id

    async def get(self, record_id: str) -> CallRecord | None:
        """Return a record; None when there is none: not yet, not any more (30 days), or never."""
        try:
            raw = await self._object("GET", f"{RECORDS}/{quote(record_id, safe='')}")
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return None
            raise
        return CallRecord.read(raw)

    async def list(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[CallRecord]:
        """Iterate over the records of calls that started from *since* until before *until*."""
        limits = [("ge", since), ("lt", until)]
        said = [f"startDateTime {op} {write_time(at)}" for op, at in limits if at is not None]
        query = f"?{urlencode({'$filter': ' and '.join(said)}, quote_via=quote)}" if said else ""
        async for raw in self._pages(RECORDS + query):
            yield CallRecord.read(raw)

    async def sessions(
        self, record_id: str, *, with_segments: bool = True
    ) -> AsyncIterator[RecordSession]:
        """Iterate over a record's sessions, page after page."""
        query = "?$expand=segments" if with_segments else ""
        path = f"{RECORDS}/{quote(record_id, safe='')}/sessions{query}"
        async for raw in self._pages(path):
            yield RecordSession.read(raw)

    async def participants(self, record_id: str) -> AsyncIterator[RecordParticipant]:
        """Iterate over who was in a record's call, page after page."""
        path = f"{RECORDS}/{quote(record_id, safe='')}/participants_v2"
        async for raw in self._pages(path):
            yield RecordParticipant.read(raw)

    async def subscribe(
        self,
        notification_url: str,
        expires_at: datetime,
        *,
        client_state: str | None = None,
        lifecycle_notification_url: str | None = None,
        user_id: str | None = None,
    ) -> Subscription:
        """Have new records told at *notification_url*, which must answer the validation at once.

        With *user_id* only those of that user's calls.
        """
        quoted = None if user_id is None else user_id.replace("'", "''")
        only = "" if quoted is None else f"?$filter=participants/any(p:p/id eq '{quoted}')"
        body: dict[str, Any] = {
            "changeType": "created,updated",
            "notificationUrl": notification_url,
            "resource": RESOURCE + only,
            "expirationDateTime": write_time(expires_at),
        }
        if client_state is not None:
            body["clientState"] = client_state
        if lifecycle_notification_url is not None:
            body["lifecycleNotificationUrl"] = lifecycle_notification_url
        return Subscription.read(await self._object("POST", SUBSCRIPTIONS, body))

    async def renew(self, subscription_id: str, expires_at: datetime) -> Subscription:
        """Let a subscription live on; at most 4230 minutes from now."""
        path = f"{SUBSCRIPTIONS}/{quote(subscription_id, safe='')}"
        body = {"expirationDateTime": write_time(expires_at)}
        return Subscription.read(await self._object("PATCH", path, body))

    async def unsubscribe(self, subscription_id: str) -> bool:
        """End a subscription; False when it is not there."""
        path = f"{SUBSCRIPTIONS}/{quote(subscription_id, safe='')}"
        try:
            await self._graph.request("DELETE", path, tenant_id=self._tenant_id)
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return False
            raise
        return True

    async def _object(self, method: str, path: str, body: Any = None) -> Json:
        response = await self._graph.request(
            method,
            path,
            body,
            tenant_id=self._tenant_id,
            is_repeatable=method != "POST",
            headers={"Prefer": INCLUDE_UNKNOWN},
        )
        return an_object(response)

    async def _pages(self, path: str) -> AsyncIterator[Json]:
        next_path: object = path
        while isinstance(next_path, str):
            page = await self._object("GET", next_path)
            for raw in items(page.get("value")):
                yield raw
            next_path = page.get("@odata.nextLink")
            if isinstance(next_path, str) and not self._graph.is_here(next_path):
                raise GraphRequestError(200, "", "the next page is someone else's")
