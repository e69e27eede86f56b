"""A plugin that runs in this process."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..pcm import FLAG_SILENCE, AudioFrame, Pcm
from .config import Made
from .contract import PluginContext
from .errors import RAISED
from .meter import OwnTimeMeter
from .slot import Slot, Tell, checked_result

log = logging.getLogger("mixminus.media.plugins")

CLOSE_WAIT_S: Final = 2.0
"""How long a plugin that is to be closed has to come back from the frame that it works on."""

Spawn = Callable[[Callable[[], None], str], None]
"""Runs a function where it holds nobody up."""


def spawn_thread(work: Callable[[], None], name: str) -> None:
    """Run *work* in a thread of its own, which does not keep the process alive."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()


def spawn_here(work: Callable[[], None], name: str) -> None:
    """Run *work* now: for who has no audio to keep going."""
    work()


class LocalSlot(Slot):
    """A plugin of this process in a chain. :meth:`run` is for the thread that runs the chain."""

    def __init__(self, made: Made, context: PluginContext, tell: Tell, spawn: Spawn) -> None:
        super().__init__(made.name, tell)
        self._made = made
        self._context = context
        self._spawn = spawn
        self._changes: deque[dict[str, Any]] = deque()
        self._running = threading.Lock()
        self._frame_context = self._log_context.copy()

    @property
    def latency_samples(self) -> int:
        """By how much the output is behind."""
        return self._made.latency_samples

    def open(self) -> None:
        """Begin to prepare; frames go past it until it has."""
        self._spawn(self._open, f"mixminus-open-{self.name}")

    def set(self, parameters: Mapping[str, Any]) -> None:
        """Change parameters, from the next frame on. Raises: PluginConfigError."""
        self._changes.append(self._made.check_change(parameters))

    def close(self) -> None:
        """Use it no more; it lets go of what it has elsewhere, once. Again is no error."""
        if not self.is_closed:
            super().close()
            self._spawn(self._close, f"mixminus-close-{self.name}")

    def run(self, frame: AudioFrame, meter: OwnTimeMeter) -> Pcm:
        """Return what the plugin makes of *frame*, or *frame* when it fails."""
        if not self._running.acquire(blocking=False):
            self.went_past()
            return frame
        try:
            # What it logs is about the call whose chain it was put in.
            return self._frame_context.run(self._work_on, frame, meter)
        finally:
            self._running.release()

    def _work_on(self, frame: AudioFrame, meter: OwnTimeMeter) -> Pcm:
        try:
            meter.begin()
            try:
                result: Any = self._process(frame)
            finally:
                own_ns, _ = meter.end()
                self.took(own_ns)
            return checked_result(result, frame)
        except RAISED as exc:
            # The boundary to someone else's code: it is told, and the frame goes past.
            self.failed(f"{type(exc).__name__}: {exc}")
            return frame

    def _process(self, frame: AudioFrame) -> Any:
        while self._changes:
            self._made.set(self._changes.popleft())
        # A copy of its own: what it scribbles over before it fails is not heard.
        return self._made.process(frame.copy())

    def _open(self) -> None:
        try:
            self._made.open(self._context)
        except RAISED as exc:
            # The boundary to someone else's code: why it is not used.
            self._open_done(exc)
            return
        self._open_done(None)

    def _close(self) -> None:
        try:
            self.opened.exception(timeout=CLOSE_WAIT_S)  # It may still be opening.
            if self._running.acquire(timeout=CLOSE_WAIT_S):
                self._made.close()
            else:
                log.warning("plugin %s is not closed: it is still busy with a frame", self.name)
        except RAISED:
            # The boundary to someone else's code: it is out of the chain all the same.
            log.exception("plugin %s: closing", self.name)
        finally:
            self.closed.set_result(None)


def described(pcm: Pcm, like: AudioFrame) -> AudioFrame:
    """Return *pcm* as a frame at the place of *like*: no longer silence if something was put in."""
    flags = like.frame_flags
    if flags & FLAG_SILENCE and pcm.any():
        flags &= ~FLAG_SILENCE
    return AudioFrame.of(pcm, like.timestamp, flags, like.active_speakers)
