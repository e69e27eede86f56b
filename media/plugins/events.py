"""What a chain of plugins tells: events as they happen, metrics by the plugin's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .contract import Stream

EventKind: TypeAlias = Literal[
    "opened", "error", "overrun", "late", "host_stall", "disabled", "enabled", "restarted", "value"
]
"""``error``: it failed, or gave back no frame; ``overrun``: its own time was over its share;
``late``: its child owes an answer, and frames go past it; whose fault that is shows later;
``host_stall``: Python, the machine or its child was late, not the plugin; ``restarted``: its child
was; ``value``: what it emitted."""


@dataclass(frozen=True, slots=True)
class PluginEvent:
    """Something happened to a plugin, or was said by it."""

    kind: EventKind
    plugin: str
    stream: Stream
    call_id: str
    source_id: int | None
    detail: str = ""
    """What happened; of a ``value`` its name."""
    value: Any = None


OnEvent: TypeAlias = Callable[[PluginEvent], None]


@dataclass(frozen=True, slots=True)
class PluginMetrics:
    """What became of a plugin's frames on one stream, since it was added.

    ``frames`` were given to it; ``bypassed`` went past it, because it is set so, disabled, not yet
    open or busy; the others say how often what happened. Times are its own: percentiles of the last
    512 frames, the total of all.
    """

    frames: int
    bypassed: int
    errors: int
    overruns: int
    host_stalls: int
    disabled: int
    restarts: int
    is_active: bool
    time_p50_us: float
    time_p99_us: float
    time_total_us: float = 0.0
