"""What a call service tells Prometheus: calls, conversations, notifications, tokens."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from ..operation.metrics import Families, collect_calls, collect_plugins, collect_store
from ..store.base import OutboxBacklog, StoreError
from .leg_plugins import LegPlugins
from .oauth import Authority
from .rooms import GROUP, MEETING, PEER_TO_PEER
from .services import CallServices
from .subscriptions import Subscriptions

log = logging.getLogger("mixminus.control.service")

ROLE: Final = "service"
PARTICIPANTS: Final = ("user", "application", "applicationInstance", "guest", "phone")


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What a call service has that counts."""

    services: CallServices
    plugins: LegPlugins
    subscriptions: Subscriptions
    authority: Authority


class ServiceSource:
    """Tells of one call service. Thread: the loop's."""

    def __init__(self, parts: ServiceParts) -> None:
        self._services, self._plugins = parts.services, parts.plugins
        self._subscriptions, self._authority = parts.subscriptions, parts.authority
        self._backlog: OutboxBacklog | None = None

    async def prepare(self) -> None:
        """Look what waits in the outbox."""
        backlog = None
        try:
            backlog = await self._services.store.outbox_backlog()
        except StoreError as error:
            # /readyz says so; the other metrics are still true.
            log.warning("the outbox cannot be looked at: %s", error)
        finally:
            self._backlog = backlog  # Also when nobody waits for it any more.

    def settle(self) -> None:
        """Forget nothing."""

    def collect(self, families: Families) -> None:
        """Say how everything stands."""
        services = self._services
        states = [live.call.state for live in services.book]
        collect_calls(families, ROLE, states, services.call_totals)
        sums = self._plugins.totals.sums(self._plugins.living_metrics())
        collect_plugins(families, ROLE, sums, self._plugins.stuck_s())
        collect_store(families, ROLE, services.store.stats)
        self._collect_conversations(families)
        self._collect_notifications(families)
        families.count("mixminus_tokens_issued_total", self._authority.issued)
        families.count("mixminus_token_requests_refused_total", self._authority.refused)
        families.gauge("mixminus_prompt_recordings_bytes", services.recordings.kept_bytes)

    def _collect_conversations(self, families: Families) -> None:
        kinds = Counter(dict.fromkeys((PEER_TO_PEER, GROUP, MEETING), 0))
        people = Counter(dict.fromkeys(PARTICIPANTS, 0))
        in_lobby = 0
        for room in self._services.rooms:
            kinds[room.conversation.kind] += 1
            for member in room.conversation.members.values():
                people[member.kind] += 1
                in_lobby += member.in_lobby
        for kind, count in kinds.items():
            families.gauge("mixminus_conversations", count, kind=kind)
        for kind, count in people.items():
            families.gauge("mixminus_participants", count, kind=kind)
        families.gauge("mixminus_participants_in_lobby", in_lobby)
        families.gauge("mixminus_registered_devices", self._services.switchboard.devices)

    def _collect_notifications(self, families: Families) -> None:
        counts = self._services.notifier.counts
        families.count("mixminus_notifications_delivered_total", counts.delivered)
        families.count("mixminus_notifications_given_up_total", counts.given_up)
        families.count("mixminus_notification_retries_total", counts.refused)
        families.histogram("mixminus_notification_lag_seconds", counts.lag.distribution())
        families.count("mixminus_changes_delivered_total", self._subscriptions.delivered)
        families.count("mixminus_changes_given_up_total", self._subscriptions.given_up)
        if self._backlog is not None:
            oldest_us = self._backlog.oldest_us
            age_s = 0.0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6)
            families.gauge("mixminus_notifications_pending", self._backlog.pending)
            families.gauge("mixminus_notification_oldest_seconds", age_s)
