"""How a plugin on one stream of a call hears another of its kind on another stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final, Literal, TypeAlias

from ...pcm import Pcm
from ..contract import PluginContext, Stream

Listener: TypeAlias = Callable[[Pcm], None]

HEARD_BY_THE_FAR_END: Final[frozenset[Stream]] = frozenset(("outbound", "own"))
"""Streams that carry what a far end is given to play, as against what it says."""

SOURCE: Final = "source"
TARGET: Final = "target"
Side: TypeAlias = Literal["source", "target"]


class Sidechain:
    """Passes frames from the source plugins of a call to its target plugins.

    Thread: any; a frame is handed on in the thread that brings it, which is the plugin worker's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[Hashable, tuple[Listener, ...]] = {}

    def join(self, key: Hashable, listener: Listener) -> None:
        """Hand on to *listener* what is published under *key*."""
        with self._lock:
            self._listeners[key] = (*self._listeners.get(key, ()), listener)

    def leave(self, key: Hashable, listener: Listener) -> None:
        """Hand on no more. One that never joined is no error."""
        with self._lock:
            left = tuple(other for other in self._listeners.get(key, ()) if other != listener)
            if left:
                self._listeners[key] = left
            else:
                self._listeners.pop(key, None)

    def publish(self, key: Hashable, frame: Pcm) -> None:
        """Hand *frame* to all that joined *key*: one memory for all, to read only."""
        for listener in self._listeners.get(key, ()):
            listener(frame)

    def __len__(self) -> int:
        """Return how many keys have listeners: 0 when every call has ended."""
        return len(self._listeners)


def key_of(context: PluginContext, group: str) -> Hashable:
    """Return what the plugins of one call and group have in common.

    On a leg of a bridge it is the leg as well: its two directions belong together. A session's
    streams belong together all: every speaker hears what the bot says.
    """
    is_leg = context.stream in ("inbound", "outbound")
    return (context.call_id, group, context.source_id if is_leg else None)
