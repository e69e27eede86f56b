"""Looks after all child processes: one thread, which sleeps unless there are some."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .process import ChildProcess

if TYPE_CHECKING:
    from ..config import PluginSpec
    from .slot import ProcessSlot

log = logging.getLogger("mixminus.media.plugins")

LOOK_S: Final = 0.05
"""How often children are looked at: for hanging, and for what memory they took."""
LINGER_S: Final = 30.0
"""How long a child that serves nobody is kept: the next call need not wait for its import."""
END_S: Final = 2.0
"""How long a child has to close its plugins at the end."""


@dataclass(frozen=True, slots=True)
class ChildReport:
    """How a child process is."""

    plugin: str
    pid: int | None
    restarts: int


class Children:
    """The child processes of plugins: one for each plugin, whatever the number of its streams.

    Thread: any.
    """

    def __init__(self) -> None:
        self._children: dict[tuple[str, int], ChildProcess] = {}
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def join(self, spec: PluginSpec, slot: ProcessSlot) -> tuple[ChildProcess, int]:
        """Return the child that serves the plugin of *spec*, and the place of *slot* in it.

        Raises: RuntimeError when closed; PluginError when the child has no place left.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the plugin engine is closed")
            key = (spec.reference, spec.memory_mb)
            child = self._children.get(key)
            if child is None or child.has_failed:
                child = self._children[key] = ChildProcess(spec)
            place = child.join(slot)
            if self._thread is None:
                # It lives until close: a child dies with the thread that started it.
                self._thread = threading.Thread(
                    target=self._run, name="mixminus-plugin-children", daemon=True
                )
                self._thread.start()
        self.wake()
        return child, place

    def wake(self) -> None:
        """Let the thread look at once."""
        os.eventfd_write(self._wake, 1)

    def reports(self) -> list[ChildReport]:
        """Return how each child is."""
        with self._lock:
            children = tuple(self._children.values())
        return [ChildReport(child.reference, child.pid, child.restarts) for child in children]

    def close(self) -> None:
        """End all children and wait until nothing of them is left. Again is no error."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        if self._thread is not None:
            self.wake()
            self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._is_closed:
            with self._lock:
                children = tuple(self._children.values())
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            for child in children:
                for descriptor in child.descriptors():
                    poll.register(descriptor, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(LOOK_S * 1000 if children else None)}
            if self._wake in ready:
                os.eventfd_read(self._wake)
            now_s = time.monotonic()
            for child in children:
                try:
                    child.look_after(ready, now_s)
                except Exception:
                    # A bug of ours with one child must not leave the others alone.
                    log.exception("looking after the child of plugin %s", child.reference)
                self._maybe_retire(child, now_s)
        for child in self._children.values():
            child.stop()
        deadline_s = time.monotonic() + END_S
        for child in self._children.values():
            child.reap(max(0.0, deadline_s - time.monotonic()))
        self._children.clear()

    def _maybe_retire(self, child: ChildProcess, now_s: float) -> None:
        with self._lock:
            if not child.is_idle:
                return
            if child.idle_since_s is None:
                child.idle_since_s = now_s
            if now_s - child.idle_since_s < LINGER_S:
                return
            self._children = {k: c for k, c in self._children.items() if c is not child}
        child.stop()
        child.reap(END_S)
