"""Subscriptions to changes of call records: checked, kept, and told of each change.

Source: Microsoft Graph, subscription resource and change notifications through webhooks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, unquote

from ..graph.errors import GraphError
from ..graph.fields import Fields
from ..store.base import ChangeRow, RecordRow, Store, StoreError, SubscriptionRow
from .guard import AddressGuard, AddressRefusedError
from .outbound import Outbound, OutboundError
from .records.build import date_time, microseconds
from .records.options import parse_moment, person_of_filter
from .settings import ServiceSettings
from .store_wait import StoreWait
from .tokens import Principal

Json = dict[str, Any]
log = logging.getLogger("mixminus.control.subscriptions")

RESOURCE: Final = "communications/callRecords"
CHANGE_TYPES: Final = ("created", "updated")
CLIENT_STATE_CHARS: Final = 128
LONGEST: Final = timedelta(minutes=4230)
SHORTEST: Final = timedelta(minutes=45)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription as its body asks for it."""

    resource: str
    person_id: str | None
    change_types: tuple[str, ...]
    notification_url: str
    lifecycle_url: str | None
    client_state: str | None
    expires_at: datetime


class Patience:
    """How long one receiver has taken nothing, by the loop's clock. Thread: the loop's."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._since_s: float | None = None

    def begin(self) -> None:
        """Say that it is tried: the time begins with the first attempt since it took something."""
        if self._since_s is None:
            self._since_s = asyncio.get_running_loop().time()

    def rewarded(self) -> None:
        """Say that it took something."""
        self._since_s = None

    def is_over(self, pause_s: float) -> bool:
        """Say whether an attempt after *pause_s* would be too late."""
        since_s, now_s = self._since_s, asyncio.get_running_loop().time()
        return since_s is not None and now_s + pause_s - since_s > self._most_s


class Subscriptions:
    """The subscriptions of one service, and the workers that tell them.

    Each subscription has a worker while changes wait for it: none waits for another. A change is
    done when the receiver answers 2xx in time; until then it is sent again with growing waits. Once
    nothing was taken for ``change_give_up_s`` it is given up, and later ones get one attempt each
    until one is taken. That time is counted by the loop, from the first attempt of this process: a
    wall clock that jumps gives nothing up, and a start begins it anew.
    """

    def __init__(
        self,
        store: Store,
        outbound: Outbound,
        guard: AddressGuard,
        settings: ServiceSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._outbound, self._guard = store, outbound, guard
        self._settings, self._clock = settings, clock
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self.given_up = self.delivered = 0

    async def create(self, body: object, principal: Principal) -> Json:
        """Make a subscription, once its receiver has given back a validation token.

        Raises: GraphError 400 naming what is wrong, 403 when the tenant has its share.
        """
        now = self._clock()
        wanted = _parse(body, now)
        await self._check_share(principal.tenant_id)
        if wanted.lifecycle_url is not None:
            await self._check_address("lifecycleNotificationUrl", wanted.lifecycle_url)
        await self._validate(wanted.notification_url)
        row = SubscriptionRow(
            subscription_id=str(uuid.uuid4()),
            app_id=principal.app_id,
            tenant_id=principal.tenant_id,
            resource=wanted.resource,
            person_id=wanted.person_id,
            change_type=",".join(wanted.change_types),
            notification_url=wanted.notification_url,
            lifecycle_url=wanted.lifecycle_url,
            client_state=wanted.client_state,
            expires_us=microseconds(wanted.expires_at),
        )
        if not await self._store.add_subscription(row, self._settings.max_subscriptions):
            raise self._no_more()
        return describe(row)

    async def all(self, principal: Principal) -> list[Json]:
        """Return the subscriptions that *principal* made and that have not expired."""
        now_us = microseconds(self._clock())
        return [
            describe(row)
            for row in await self._store.subscriptions(principal.tenant_id)
            if row.app_id == principal.app_id and row.expires_us > now_us
        ]

    async def get(self, subscription_id: str, principal: Principal) -> Json:
        """Return one subscription.

        Raises: GraphError 404, also when it is another's.
        """
        return describe(await self._find(subscription_id, principal))

    async def update(self, subscription_id: str, body: object, principal: Principal) -> Json:
        """Give a subscription another end, and another address once that has validated.

        Raises: GraphError 400; 404.
        """
        row = await self._find(subscription_id, principal)
        fields = Fields.of_body(body)
        expires_us = row.expires_us
        if fields.has("expirationDateTime"):
            expires_us = microseconds(_expiry(fields, self._clock()))
        url = fields.https_uri("notificationUrl") or row.notification_url
        if url != row.notification_url:
            await self._validate(url)
        await self._store.renew_subscription(
            subscription_id, expires_us=expires_us, notification_url=url
        )
        return describe(replace(row, expires_us=expires_us, notification_url=url))

    async def delete(self, subscription_id: str, principal: Principal) -> None:
        """End a subscription, with what waits for it.

        Raises: GraphError 404.
        """
        await self._find(subscription_id, principal)
        await self._store.remove_subscription(subscription_id)

    async def changes_of(self, record: RecordRow) -> list[tuple[str, str]]:
        """Return who is to be told of *record*, and what: subscription ids and bodies."""
        now_us = microseconds(self._clock())
        people = {person["id"] for person in record.participants}
        return [
            (row.subscription_id, json.dumps(notification(row, record, change_type)))
            for row in await self._store.subscriptions(record.tenant_id)
            if row.app_id in record.app_ids
            and row.expires_us > now_us
            and (row.person_id is None or row.person_id in people)
            and (change_type := _change_type(row, record)) is not None
        ]

    async def start(self) -> None:
        """Take up what an earlier run left undelivered."""
        await self._store.forget_subscriptions(microseconds(self._clock()))
        for subscription_id in await self._store.subscriptions_with_changes():
            self.wake(subscription_id)

    def wake(self, subscription_id: str) -> None:
        """Say that a change waits for this subscription."""
        self._woken.add(subscription_id)
        if subscription_id not in self._workers:
            self._workers[subscription_id] = asyncio.create_task(
                self._work(subscription_id), name=f"tell subscription {subscription_id}"
            )

    async def drain(self, timeout_s: float) -> None:
        """Wait until all is delivered, but not longer than *timeout_s*."""
        if self._workers:
            await asyncio.wait(tuple(self._workers.values()), timeout=timeout_s)

    async def close(self) -> None:
        """Stop; what was not delivered waits for the next start. Again is no error."""
        workers = tuple(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _find(self, subscription_id: str, principal: Principal) -> SubscriptionRow:
        row = await self._store.subscription(subscription_id)
        if (
            row is None
            or (row.app_id, row.tenant_id) != (principal.app_id, principal.tenant_id)
            or row.expires_us <= microseconds(self._clock())
        ):
            raise GraphError(404, "ResourceNotFound", "The subscription was not found.")
        return row

    async def _check_share(self, tenant_id: str) -> None:
        await self._store.forget_subscriptions(microseconds(self._clock()))
        if len(await self._store.subscriptions(tenant_id)) >= self._settings.max_subscriptions:
            raise self._no_more()

    def _no_more(self) -> GraphError:
        limit = self._settings.max_subscriptions
        return GraphError(
            403, "quotaLimitReached", f"The tenant has {limit} subscriptions already."
        )

    async def _check_address(self, member: str, url: str) -> None:
        try:
            await self._guard.pin(url, ("https",))
        except AddressRefusedError as error:
            raise _invalid(f"{member}: {error}.") from None

    async def _validate(self, url: str) -> None:
        """Prove that the receiver at *url* expects us: it gives back a token, decoded.

        Raises: GraphError 400.
        """
        # With what a query escapes, so that a receiver that does not decode is found out now.
        token = f"Validation: reachability of a subscription; id {secrets.token_urlsafe(24)}+/="
        address = f"{url}{'&' if '?' in url else '?'}validationToken={quote(token, safe='')}"
        try:
            reply = await self._outbound.post(
                address,
                b"",
                {"Content-Type": "text/plain; charset=utf-8"},
                self._settings.validation_timeout_s,
            )
        except AddressRefusedError as error:
            raise _invalid(f"notificationUrl: {error}.") from None
        except OutboundError as error:
            raise _not_validated(f"the request failed: {error}") from None
        if reply.status != 200:
            raise _not_validated(f"expected status 200, got {reply.status}")
        if reply.content_type.partition(";")[0].strip().casefold() != "text/plain":
            raise _not_validated("expected content of type text/plain")
        if reply.body != token.encode():
            raise _not_validated("expected the decoded validationToken and nothing else")

    async def _work(self, subscription_id: str) -> None:
        wait, patience = StoreWait(), Patience(self._settings.change_give_up_s)
        try:
            while subscription_id in self._woken:
                self._woken.discard(subscription_id)
                try:
                    await self._tell(subscription_id, patience)
                except StoreError as error:
                    wait.note(log, f"subscription {subscription_id}: what is told", error)
                    await wait.pause()
                    self._woken.add(subscription_id)
                else:
                    wait.over()
        finally:
            # No await between the last look at _woken and this: a wake-up cannot fall between.
            del self._workers[subscription_id]

    async def _tell(self, subscription_id: str, patience: Patience) -> None:
        """Deliver all that waits, the oldest first."""
        sequence, attempts, wait_s = 0, 0, 0.0
        # Read again before each attempt: the subscription may have been moved or ended meanwhile.
        while (change := await self._store.next_change(subscription_id)) is not None:
            if change.sequence != sequence:
                sequence, attempts, wait_s = change.sequence, 0, self._settings.change_first_wait_s
            attempts += 1
            patience.begin()
            problem = await self._post(change)
            # Half of the wait is chance, so that receivers that return are not met by all at once.
            pause_s = wait_s * random.uniform(0.5, 1.0)  # noqa: S311
            if problem is not None and not patience.is_over(pause_s):
                level = logging.INFO if attempts == 1 else logging.DEBUG
                log.log(level, "subscription %s: not taken (%s)", subscription_id, problem)
                await asyncio.sleep(pause_s)
                wait_s = min(2 * wait_s, self._settings.change_longest_wait_s)
                continue
            self.delivered += problem is None
            if problem is None:
                patience.rewarded()
            else:
                self.given_up += 1
                log.warning(
                    "subscription %s: a change was given up after %d attempts: %s",
                    subscription_id,
                    attempts,
                    problem,
                )
            await self._finish(change)

    async def _finish(self, change: ChangeRow) -> None:
        """Write that *change* is done, however long that takes: it is not sent again for that."""
        wait = StoreWait()
        while True:
            try:
                await self._store.finish_change(change.sequence)
            except StoreError as error:
                wait.note(log, f"subscription {change.subscription_id}: what was told", error)
                await wait.pause()
            else:
                return

    async def _post(self, change: ChangeRow) -> str | None:
        """Send one change once; return why it was not taken, or None."""
        try:
            reply = await self._outbound.post(
                change.notification_url,
                change.body,
                {"Content-Type": "application/json; charset=utf-8"},
                self._settings.change_timeout_s,
            )
        except (AddressRefusedError, OutboundError) as error:
            return str(error)
        return None if reply.is_success else f"status {reply.status}"


def describe(row: SubscriptionRow) -> Json:
    """Build the subscription resource."""
    return {
        "id": row.subscription_id,
        "resource": row.resource,
        "applicationId": row.app_id,
        "changeType": row.change_type,
        "clientState": row.client_state,
        "notificationUrl": row.notification_url,
        "notificationQueryOptions": None,
        "notificationUrlAppId": None,
        "lifecycleNotificationUrl": row.lifecycle_url,
        "expirationDateTime": _moment(row.expires_us),
        "creatorId": None,
        "includeResourceData": None,
        "latestSupportedTlsVersion": "v1_2",
        "encryptionCertificate": None,
        "encryptionCertificateId": None,
    }


def notification(row: SubscriptionRow, record: RecordRow, change_type: str) -> Json:
    """Build what a subscriber is told of a record."""
    path = f"{RESOURCE}/{record.record_id}"
    return {
        "value": [
            {
                "subscriptionId": row.subscription_id,
                "clientState": row.client_state,
                "changeType": change_type,
                "tenantId": row.tenant_id,
                "resource": path,
                "subscriptionExpirationDateTime": _moment(row.expires_us),
                "resourceData": {
                    "@odata.type": "#Microsoft.Graph.callRecord",
                    "@odata.id": path,
                    "id": record.record_id,
                },
            }
        ]
    }


def _change_type(row: SubscriptionRow, record: RecordRow) -> str | None:
    """Return the kind of change that *record* is to a subscriber; None when not asked for.

    ``updated`` covers the first delivery too, as documented.
    """
    asked = row.change_type.split(",")
    if record.resource["version"] == 1 and "created" in asked:
        return "created"
    return "updated" if "updated" in asked else None


def _parse(body: object, now: datetime) -> Wanted:
    fields = Fields.of_body(body)
    fields.odata_type("subscription")
    resource = _required_text(fields, "resource")
    url = fields.https_uri("notificationUrl")
    if url is None:
        raise fields.missing("notificationUrl")
    if not fields.has("expirationDateTime"):
        raise fields.missing("expirationDateTime")
    if fields.boolean("includeResourceData"):
        raise _invalid("includeResourceData: call records are never sent with a notification.")
    return Wanted(
        resource=resource,
        person_id=_person(resource),
        change_types=_change_types(_required_text(fields, "changeType")),
        notification_url=url,
        lifecycle_url=fields.https_uri("lifecycleNotificationUrl"),
        client_state=fields.text("clientState", max_chars=CLIENT_STATE_CHARS),
        expires_at=_expiry(fields, now),
    )


def _required_text(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if value is None:
        raise fields.missing(name)
    return value


def _change_types(text: str) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(part.strip().casefold() for part in text.split(",")))
    if not set(asked) <= set(CHANGE_TYPES):
        raise _invalid(f"changeType: expected created, updated or both, got '{text[:40]}'.")
    return asked


def _person(resource: str) -> str | None:
    """Return whom a subscription's resource is about; None means everyone."""
    path, _, query = resource.partition("?")
    if path.strip("/").casefold() != RESOURCE.casefold():
        raise _invalid(f"resource: expected /{RESOURCE}, got '{path[:64]}'.")
    if not query:
        return None
    name, _, value = query.partition("=")
    if name.casefold() != "$filter":
        raise _invalid(f"resource: expected no query option but $filter, got '{name[:32]}'.")
    return person_of_filter(unquote(value))


def _expiry(fields: Fields, now: datetime) -> datetime:
    text = _required_text(fields, "expirationDateTime")
    expires_at, _ = parse_moment(text, "expirationDateTime")
    if expires_at <= now:
        raise _invalid("expirationDateTime: expected a time in the future.")
    if expires_at > now + LONGEST:
        minutes = int(LONGEST.total_seconds() // 60)
        raise _invalid(f"expirationDateTime: expected at most {minutes} minutes from now.")
    return max(expires_at, now + SHORTEST)


def _moment(moment_us: int) -> str:
    return date_time(_EPOCH + timedelta(microseconds=moment_us))


def _invalid(message: str) -> GraphError:
    return GraphError(400, "InvalidRequest", message)


def _not_validated(why: str) -> GraphError:
    return GraphError(400, "ValidationError", f"Subscription validation request failed: {why}.")
