"""The place in a chain of a plugin that runs in a child process."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ...pcm import AudioFrame, Pcm
from ..contract import PluginContext
from ..slot import Slot, Tell
from .memory import CHANGED, FAILED, LEFT

if TYPE_CHECKING:
    from ..config import PluginSpec
    from .children import Children
    from .process import ChildProcess

OFFLINE_WAIT_S: Final = 2.0
VALUES_A_FRAME: Final = 8
MAX_VALUES: Final = 256
"""A plugin may emit so many values at once, and so many more for each of its frames: what runs for
all calls has to take them in."""


class ProcessSlot(Slot):
    """A plugin in a child. A frame is offered, then taken, or has missed its tick.

    Thread: :meth:`offer`, :meth:`take` the chain's; what the child calls, the supervisor's.
    """

    def __init__(
        self, spec: PluginSpec, name: str, context: PluginContext, tell: Tell, children: Children
    ) -> None:
        super().__init__(name, tell)
        self._spec = spec
        self._context = context
        self._config: dict[str, Any] = dict(spec.config)
        self._latency_samples = 0
        self._is_up = False
        self._is_new = False
        self._is_asked = False
        self._asked_s = 0.0
        self._is_late_told = False
        self._values_left, self._values_as_of = MAX_VALUES, 0
        self._child: ChildProcess
        self._child, self._index = children.join(spec, self)
        self._place = self._child.places.place(self._index)
        # The place may have been another stream's: what that was answered is no answer to us.
        self._number = self._place.last_number

    @property
    def is_live(self) -> bool:
        """Whether frames go through it."""
        return self._is_up and super().is_live

    @property
    def latency_samples(self) -> int:
        """By how much the output is behind."""
        return self._latency_samples

    @property
    def done_fileno(self) -> int:
        """What becomes readable when the child has answered some stream."""
        return self._child.done

    @property
    def is_answered(self) -> bool:
        """Whether what was offered last came back."""
        return self._place.is_answered(self._number)

    def open(self) -> None:
        """Begin to prepare in the child; frames go past it until it has."""
        self._child.begin(self._index)

    def offer(self, frame: AudioFrame) -> bool:
        """Give *frame* to the child; False when it goes past: the child is busy, or not there."""
        if self._is_new:
            # Another child: what the one before was asked is nobody's any more.
            self._is_new = self._is_asked = self._is_late_told = False
        if self._is_asked:
            if not self.is_answered:
                self._note_late()
                self.went_past()
                return False
            self._take_late()
        if not self.is_live:
            self.went_past()
            return False
        self._number += 1
        self._asked_s = time.monotonic()
        self._is_asked = True
        self._place.ask(self._number, frame)
        with suppress(BlockingIOError):  # A full counter is as good a wake-up as any.
            os.eventfd_write(self._child.work, 1)
        return True

    def take(self, frame: AudioFrame) -> Pcm:
        """Return what the child made of *frame*, or *frame* if that has not come."""
        if not self.is_answered:
            return frame
        self._is_asked = self._is_late_told = False
        outcome, own_ns, message = self._place.answer()
        if outcome == LEFT:
            self.went_past()
            return frame
        self.took(own_ns)
        if outcome == CHANGED:
            return self._place.made()
        if outcome == FAILED:
            self.failed(message)
        return frame

    def wait(self) -> None:
        """Wait for the answer: offline, where nothing is lost by it."""
        deadline_s = time.monotonic() + OFFLINE_WAIT_S
        while not self.is_answered and self._is_up and time.monotonic() < deadline_s:
            readable, _, _ = select.select([self.done_fileno], [], [], 0.05)
            if readable:
                drain(self.done_fileno)

    def set(self, parameters: Mapping[str, Any]) -> None:
        """Change parameters; what the child does not take comes as an event."""
        self._config.update(parameters)
        self._child.adjust(self._index, dict(parameters))

    def close(self) -> None:
        """Use it no more. Again is no error."""
        if not self.is_closed:
            super().close()
            self._child.leave(self._index)

    # What the child's process calls.

    def opening(self, index: int) -> dict[str, Any]:
        """Return the message that opens the plugin in the child."""
        context = self._context
        return {
            "do": "open",
            "place": index,
            "config": self._config,
            "name": self.name,
            "stream": context.stream,
            "callId": context.call_id,
            "sourceId": context.source_id,
        }

    def unanswered_s(self, now_s: float) -> float:
        """Return how long the child has owed an answer."""
        if not self._is_asked or not self._is_up or self.is_answered:
            return 0.0
        return now_s - self._asked_s

    def came_up(self, latency_samples: int) -> None:
        """Hear that the child serves this stream."""
        self._latency_samples = latency_samples
        was_open = self.opened.done()
        self._is_new = True
        self._is_up = True
        if was_open:
            self.restarted("in a new process")
        self._open_done(None)

    def open_failed(self, error: Exception) -> None:
        """Hear that the child cannot serve this stream."""
        if self.opened.done():
            self.disable(f"not opened again: {error}")
        self._open_done(error)

    def went_down(self, why: str, *, is_culprit: bool) -> None:
        """Hear that the child is gone: frames go past until there is another."""
        was_up, self._is_up = self._is_up, False
        if was_up and is_culprit:
            self.failed(why)
        elif was_up:
            self.stalled(f"its process ended with another stream: {why}")

    def emitted(self, name: str, value: Any) -> None:
        """Pass on what the plugin emitted; what is far too much is left out, and that is told."""
        frames = self._frames_seen()
        earned = (frames - self._values_as_of) * VALUES_A_FRAME
        self._values_left = min(MAX_VALUES, self._values_left + earned)
        self._values_as_of = frames
        if self._values_left == 0:
            self._say("error", f"it emits more than {VALUES_A_FRAME} values a frame: some are lost")
            return
        self._values_left -= 1
        self._context.emit(name, value)

    def _note_late(self) -> None:
        if not self._is_late_told:
            self._is_late_told = True
            waited_ms = (time.monotonic() - self._asked_s) * 1000.0
            self._say("late", f"no answer from its process for {waited_ms:.0f} ms")

    def _take_late(self) -> None:
        """Count an answer that came after its tick: whose fault it was stands in it."""
        self._is_asked = self._is_late_told = False
        outcome, own_ns, _ = self._place.answer()
        if outcome == LEFT:
            self.went_past()
            return
        self.took(own_ns)
        if own_ns > self.share_ns:
            self.overran(self.share_ns)
        else:
            self.stalled("its process was late")


def drain(descriptor: int) -> None:
    """Take what an eventfd counted, if anything."""
    try:
        os.eventfd_read(descriptor)
    except BlockingIOError:
        return  # Another frame's answer was counted together with it.
