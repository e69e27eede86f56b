"""What a bot host tells Prometheus: its calls, and what comes and goes around them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, get_args

from mixminus.media.recorder import EndReason

from ..client.keys import KeyCache
from ..client.requests import GraphClient
from ..client.tokens import ClientCredentials
from ..operation.metrics import Families, collect_calls, collect_plugins, collect_store
from .fleet_metrics import collect_fleet
from .streams import Kind

if TYPE_CHECKING:
    from .host import BotHost

log = logging.getLogger("mixminus.control.host")

ROLE: Final = "host"
WEBHOOK_OUTCOMES: Final = (
    "taken",
    "repeated",
    "handed_on",
    "unknown",
    "foreign",
    "behind",
    "busy",
    "unkept",
)
"""What becomes of a notification."""


class HostSource:
    """Tells of one bot host. *keys* are those of notifications, and of streams.

    Thread: the loop's.
    """

    def __init__(
        self,
        host: BotHost,
        *,
        tokens: ClientCredentials,
        graph: GraphClient,
        keys: dict[str, KeyCache],
    ) -> None:
        self._host = host
        self._tokens, self._graph, self._keys = tokens, graph, keys
        self._recordings_bytes: int | None = None

    async def prepare(self) -> None:
        """Look how much recordings take up: the first time that is a look at the disk."""
        store = self._host.recordings.store
        try:
            self._recordings_bytes = await asyncio.to_thread(lambda: store.used_bytes)
        except OSError as exc:
            self._recordings_bytes = None
            log.warning("the recordings in %s: %s", store.directory, exc)

    def settle(self) -> None:
        """Forget nothing."""

    def collect(self, families: Families) -> None:
        """Say how everything stands."""
        host = self._host
        collect_calls(families, ROLE, [call.state for call in host.calls], host.calls.totals)
        sums = host.plugins.totals.sums(host.plugins.living_metrics())
        collect_plugins(families, ROLE, sums, host.plugins.stuck_s())
        self._collect_webhook(families)
        collect_store(families, ROLE, host.keeping.store.stats)
        collect_fleet(families, host.fleet, host.keeping.store.stats)
        self._collect_requests(families)
        self._collect_streams(families)
        self._collect_recordings(families)
        failures = host.calls.totals.failed_bots + host.streams.totals.failed_bots
        families.count("mixminus_bot_failures_total", failures)
        families.count("mixminus_links_refused_total", host.links_refused)

    def _collect_webhook(self, families: Families) -> None:
        host, counters = self._host, self._host.webhook_counters
        for outcome in WEBHOOK_OUTCOMES:
            count = getattr(counters, outcome)
            families.count("mixminus_webhook_notifications_total", count, outcome=outcome)
        for reason, count in (
            ("token", counters.refused),
            ("body", counters.malformed),
            ("no_keys", counters.unchecked),
        ):
            families.count("mixminus_webhook_requests_refused_total", count, reason=reason)
        families.gauge("mixminus_host_calls_unwritten", host.keeping.unwritten)
        handling = host.calls.handling.distribution()
        families.histogram("mixminus_notification_handling_seconds", handling)

    def _collect_requests(self, families: Families) -> None:
        tokens = self._tokens.counts
        for source, count in (("cache", tokens.cached), ("authority", tokens.fetched)):
            families.count("mixminus_tokens_total", count, source=source)
        families.count("mixminus_token_failures_total", tokens.failed)
        for issuer, keys in self._keys.items():
            good = keys.fetches - keys.failed_fetches
            for outcome, count in (("good", good), ("failed", keys.failed_fetches)):
                families.count(
                    "mixminus_signing_key_fetches_total", count, issuer=issuer, outcome=outcome
                )
            if keys.age_s is not None:
                families.state("mixminus_signing_keys_age_seconds", keys.age_s, issuer=issuer)
        for (method, code), count in self._graph.answers.items():
            families.count("mixminus_graph_requests_total", count, method=method, code=code)
        families.histogram("mixminus_graph_request_seconds", self._graph.times.distribution())

    def _collect_streams(self, families: Families) -> None:
        streams, acs = self._host.streams, self._host.acs
        dialects: Counter[str] = Counter(dict.fromkeys(get_args(Kind), 0))
        dialects.update(call.origin.dialect for call in streams)
        for dialect, count in dialects.items():
            families.gauge("mixminus_streams", count, dialect=dialect)
        counters = streams.counters
        for outcome in ("taken", "resumed", "refused", "failed", "busy"):
            count = getattr(counters, outcome)
            families.count("mixminus_stream_sockets_total", count, outcome=outcome)
        for outcome in ("incoming", "events", "repeated", "unknown"):
            count = 0 if acs is None else getattr(acs.counters, outcome)
            families.count("mixminus_acs_events_total", count, outcome=outcome)

    def _collect_recordings(self, families: Families) -> None:
        recordings = self._host.recordings
        families.gauge("mixminus_recordings", len(recordings.living))
        for reason in EndReason:
            count = recordings.ended[reason.value]
            families.count("mixminus_recordings_ended_total", count, reason=reason.value)
        families.count("mixminus_recording_frames_lost_total", recordings.lost_frames)
        if self._recordings_bytes is not None:
            families.gauge("mixminus_recordings_bytes", self._recordings_bytes)
        quota = recordings.store.limits.quota_bytes
        families.gauge("mixminus_recordings_quota_bytes", quota)
