"""What plugins lately said and what befell them: kept with each, and told in the journal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from mixminus.media.plugins.events import PluginEvent

from ..journal import Journal
from .models import Json
from .plugin_kinds import KEPT_EVENTS, shown_event
from .views import iso

MAX_PLUGINS: Final = 256
"""Plugins whose events are kept, of all calls together."""
VALUE_EVERY_S: Final = 1.0
"""A level meter says something fifty times a second: once is enough for a journal."""


class PluginEvents:
    """The last events of each plugin on each stream.

    Thread: the loop's.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock = journal, clock
        self._kept: dict[tuple[str, int | None, str, str], deque[Json]] = {}
        self._told_s: dict[tuple[str, str, str], float] = {}

    def note(self, event: PluginEvent) -> None:
        """Keep an event; the plugin that was quiet for longest makes room."""
        key = (event.call_id, event.source_id, event.stream, event.plugin)
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = deque(maxlen=KEPT_EVENTS)
        self._kept[key] = kept
        shown = shown_event(event, iso(datetime.now(UTC)))
        kept.append(shown)
        if len(self._kept) > MAX_PLUGINS:
            del self._kept[next(iter(self._kept))]
        if event.kind != "value" or self._is_due(event):
            what = f"{event.plugin} on {event.stream}: {event.kind}"
            title = f"{what}: {event.detail}" if event.detail else what
            self._journal.record("plugin", event.call_id, title, shown)

    def of(
        self, call_id: str, stream: str, plugin: str, source_id: int | None = None
    ) -> tuple[Json, ...]:
        """Return the last events of one plugin on one stream, newest last."""
        return tuple(self._kept.get((call_id, source_id, stream, plugin), ()))

    def of_all(self, call_id: str, stream: str, plugin: str) -> tuple[Json, ...]:
        """Return the last events of one plugin on all streams of that kind, newest last."""
        found = [
            event
            for (one_call, _, one_stream, one), kept in self._kept.items()
            if (one_call, one_stream, one) == (call_id, stream, plugin)
            for event in kept
        ]
        found.sort(key=lambda event: str(event["at"]))
        return tuple(found[-KEPT_EVENTS:])

    def _is_due(self, event: PluginEvent) -> bool:
        key, now_s = (event.call_id, event.plugin, event.detail), self._clock()
        before_s = self._told_s.pop(key, None)
        is_due = before_s is None or now_s - before_s >= VALUE_EVERY_S
        self._told_s[key] = now_s if before_s is None or is_due else before_s
        if len(self._told_s) > MAX_PLUGINS:
            del self._told_s[next(iter(self._told_s))]
        return is_due
