"""The metrics of one process: who is asked at a scrape, and what is measured in between."""

from __future__ import annotations

import asyncio
import hmac
import logging
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ...histogram import LOOP_BOUNDS_S, TimeHistogram
from ..settings import OperationSettings
from .families import Families

log = logging.getLogger("mixminus.control.operation")

PREPARE_S: Final = 2.0
"""How long a scrape waits for one source: Prometheus gives up after 10 s."""
LOOK_S: Final = 0.5
"""How often the event loop is looked at: two wake-ups a second."""
SETTLE_LOOKS: Final = 120
"""Every minute sources may take in what would be forgotten if nobody scraped for long."""


class Source(Protocol):
    """Whoever has counters. Thread: the loop's."""

    async def prepare(self) -> None:
        """Fetch what takes waiting, before :meth:`collect`."""

    def collect(self, families: Families) -> None:
        """Say what there is now; it never waits."""

    def settle(self) -> None:
        """Take in what would be forgotten: called once a minute."""


class Metrics:
    """All metrics of a process, in one exposition for whatever roles it has.

    Between two scrapes it costs two wake-ups of the loop a second; nothing is done per frame.
    Thread: the loop's.
    """

    def __init__(self, settings: OperationSettings | None = None) -> None:
        self._settings = settings or OperationSettings()
        self._sources: list[Source] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._loop_lag = TimeHistogram(LOOP_BOUNDS_S)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    @property
    def is_on(self) -> bool:
        """Whether the settings have /metrics answered."""
        return self._settings.metrics

    def add_source(self, source: Source) -> None:
        """Ask *source* at each scrape from now on. Again is no error."""
        if source not in self._sources:
            self._sources.append(source)

    def remove_source(self, source: Source) -> None:
        """Ask *source* no more. Again is no error."""
        if source in self._sources:
            self._sources.remove(source)

    def is_allowed(self, authorization: str | None) -> bool:
        """Say whether a request with that header may see them: all may where no token is set."""
        token = self._settings.metrics_token
        if token is None:
            return True
        wanted = f"Bearer {token.get_secret_value()}"
        return hmac.compare_digest((authorization or "").encode(), wanted.encode())

    def start(self) -> None:
        """Look at the event loop from now on, if the settings have metrics on."""
        if self.is_on:
            loop = asyncio.get_running_loop()
            self._look_at(loop, loop.time() + LOOK_S)

    def stop(self) -> None:
        """Look no more. Again is no error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the format that *accept* asks for.

        What the loop owns is read in the loop; the text is made in a thread.
        """
        # Each on its own: one that is slow must not hold up what the others have to say.
        await asyncio.gather(*(_prepared(source) for source in self._sources))
        families = Families()
        self._collect_own(families)
        for source in self._sources:
            source.collect(families)
        encoder, content_type = choose_encoder(accept)
        together = _Together(families, self._registry)
        text = await asyncio.to_thread(encoder, together)
        return text, content_type

    def _collect_own(self, families: Families) -> None:
        families.state(
            "mixminus_build_info",
            1,
            version=version("mixminus"),
            python=".".join(map(str, sys.version_info[:3])),
        )
        families.histogram("mixminus_event_loop_lag_seconds", self._loop_lag.distribution())
        families.gauge("mixminus_event_loop_tasks", len(asyncio.all_tasks()))

    def _look_at(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        self._timer = loop.call_at(at_s, partial(self._look, loop, at_s))

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self._loop_lag.observe(max(0.0, now_s - due_s))
        self._looks += 1
        if self._looks % SETTLE_LOOKS == 0:
            for source in self._sources:
                source.settle()
        self._look_at(loop, max(due_s + LOOK_S, now_s))


async def _prepared(source: Source) -> None:
    """Wait for a source, but not until whoever scrapes has given up: it is left out then."""
    try:
        async with asyncio.timeout(PREPARE_S):
            await source.prepare()
    except TimeoutError:
        log.warning("%s was not ready for a scrape in %g s", type(source).__name__, PREPARE_S)


class _Together(Collector):
    """What was found, and what the library says of the process."""

    def __init__(self, families: Families, registry: CollectorRegistry) -> None:
        self._families, self._registry = families, registry

    def collect(self) -> Iterator[Metric]:
        """Iterate over all of it."""
        yield from self._families.collect()
        yield from self._registry.collect()
