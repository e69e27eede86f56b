"""One plugin's place in a chain: whether it is used, and what became of its frames."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

import numpy as np

from ..pcm import FRAME_NS, FRAME_SAMPLES, AudioFrame, Pcm
from .contract import BUDGET_MS, PluginContext
from .events import EventKind, PluginMetrics

log = logging.getLogger("mixminus.media.plugins")

FAULTS: Final = 3
WINDOW_FRAMES: Final = 50
"""A plugin with so many faults in so many frames (1 s) is disabled."""
REMEMBERED_TIMES: Final = 512
DETAIL_CHARACTERS: Final = 300
SHAPE: Final = (FRAME_SAMPLES,)

Tell = Callable[[EventKind, str, str, Any], None]
"""Called with the kind, the plugin's name, the detail and a value."""


class Slot:
    """What a chain knows of one plugin.

    Its numbers change in the thread that runs the chain; what is switched by others is one
    assignment each.
    """

    def __init__(self, name: str, tell: Tell) -> None:
        self.name = name
        self.opened: Future[None] = Future()
        """Done when it is used, or with why it never will be."""
        self.closed: Future[None] = Future()
        """Done when the plugin has let go of everything, or did not come back."""
        self.is_bypassed = False
        self.is_disabled = False
        self.is_closed = False
        self.share_ns = int(BUDGET_MS * 1e6)
        """Its share of a frame's time."""
        self.own_ns = 0
        """Its own time with the frame at hand."""
        self._tell = tell
        self._frames = self._bypassed = self._errors = self._overruns = self._host_stalls = 0
        self._disabled = self._restarts = 0
        self._times_ns = np.zeros(REMEMBERED_TIMES, np.int64)
        self._total_ns = 0
        self._faults: deque[int] = deque(maxlen=FAULTS)
        self._last_told: dict[EventKind, tuple[int, str]] = {}
        self._lock = threading.Lock()
        self._log_context = contextvars.copy_context()

    @property
    def is_live(self) -> bool:
        """Whether frames go through it."""
        return not (self.is_bypassed or self.is_disabled or self.is_closed) and self._is_open

    @property
    def _is_open(self) -> bool:
        return self.opened.done() and self.opened.exception() is None

    @property
    def latency_samples(self) -> int:
        """By how much the output is behind."""
        return 0

    def went_past(self) -> None:
        """Count a frame that it did not get."""
        self._frames_seen()
        self._bypassed += 1

    def took(self, own_ns: int) -> None:
        """Count a frame that it got, and its own time."""
        self.own_ns = own_ns
        self._times_ns[self._frames % REMEMBERED_TIMES] = own_ns
        self._frames += 1
        self._total_ns += own_ns

    def failed(self, detail: str) -> None:
        """Count a frame that it failed with."""
        self._errors += 1
        self._fault("error", detail, 1)

    def overran(self, share_ns: int) -> None:
        """Count a frame that took too much of its own time, and those that it held up."""
        self._overruns += 1
        detail = f"{self.own_ns / 1e6:.1f} ms of its own, its share is {share_ns / 1e6:.1f} ms"
        self._fault("overrun", detail, 1 + self.own_ns // FRAME_NS)

    def stalled(self, detail: str, frames: int = 1) -> None:
        """Count frames that came too late for no fault of its own. Never disables."""
        self._host_stalls += frames
        self._say("host_stall", detail)

    def restarted(self, detail: str) -> None:
        """Count a new child process."""
        self._restarts += 1
        self._tell("restarted", self.name, detail, None)

    def enable(self) -> None:
        """Use it again after it was disabled."""
        self._faults.clear()
        if self.is_disabled:
            self.is_disabled = False
            self._tell("enabled", self.name, "", None)

    def disable(self, detail: str) -> None:
        """Use it no more, until it is enabled."""
        if not self.is_disabled:
            self.is_disabled = True
            self._disabled += 1
            self._warn("plugin %s is disabled: %s", detail)
            self._tell("disabled", self.name, detail, None)

    def metrics(self) -> PluginMetrics:
        """Return the counts so far. Thread: any; a moment old."""
        frames = self._frames
        times = self._times_ns[: min(frames, REMEMBERED_TIMES)] / 1000.0
        p50, p99 = np.percentile(times, (50, 99)) if times.size else (0.0, 0.0)
        return PluginMetrics(
            frames=frames,
            bypassed=self._bypassed,
            errors=self._errors,
            overruns=self._overruns,
            host_stalls=self._host_stalls,
            disabled=self._disabled,
            restarts=self._restarts,
            is_active=self.is_live,
            time_p50_us=float(p50),
            time_p99_us=float(p99),
            time_total_us=self._total_ns / 1000.0,
        )

    def set(self, parameters: Mapping[str, Any]) -> None:
        """Change parameters, from the next frame on. Raises: PluginConfigError."""
        raise TypeError(f"{self.name} has no parameters")

    def open(self) -> None:
        """Begin to prepare; frames go past it until it has."""
        self._open_done(None)

    def close(self) -> None:
        """Use it no more, and let it go. Again is no error."""
        self.is_closed = True

    def _open_done(self, error: BaseException | None) -> None:
        """Say once how its opening went."""
        with self._lock:
            if self.opened.done():
                return
            if error is None:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(error)
        if error is None:
            self._tell("opened", self.name, "", None)
        else:
            self._warn("plugin %s was not opened: %s", error)
            self._tell("error", self.name, f"not opened: {error}", None)

    def log(self, logger: logging.Logger, level: int, text: str) -> None:
        """Log for the plugin, with the context variables of who put it into the chain."""
        self._log_context.copy().run(logger.log, level, "%s", text)

    def _warn(self, message: str, why: object) -> None:
        """Log in whatever thread, with the context variables of who put it into the chain."""
        self._log_context.copy().run(log.warning, message, self.name, why)

    def _fault(self, kind: EventKind, detail: str, weight: int) -> None:
        frame = self._frames_seen()
        self._say(kind, detail)
        for _ in range(min(weight, FAULTS)):
            self._faults.append(frame)
        if len(self._faults) == FAULTS and frame - self._faults[0] < WINDOW_FRAMES:
            self.disable(f"{kind}: {detail}")

    def _say(self, kind: EventKind, detail: str) -> None:
        # The first of a series is told, and an error that is another one; all are counted.
        frame = self._frames_seen()
        last_frame, last_detail = self._last_told.get(kind, (-WINDOW_FRAMES, ""))
        is_another = kind == "error" and detail != last_detail
        if is_another or frame - last_frame >= WINDOW_FRAMES:
            self._last_told[kind] = (frame, detail)
            self._tell(kind, self.name, detail[:DETAIL_CHARACTERS], None)

    def _frames_seen(self) -> int:
        return self._frames + self._bypassed


def checked_result(result: object, frame: AudioFrame) -> Pcm:
    """Return what a plugin gave back as one frame; None is *frame*.

    Raises: ValueError naming what was expected and what came.
    """
    if result is None:
        return frame
    if isinstance(result, np.ndarray) and (result.shape, result.dtype) == (SHAPE, np.int16):
        return np.ascontiguousarray(result)
    came = type(result).__name__
    if isinstance(result, np.ndarray):
        came = f"{result.dtype} of shape {result.shape}"
        if result.dtype.kind == "f" and not np.isfinite(result).all():
            came += " with NaN or infinity in it"
    raise ValueError(f"expected one frame, int16 of shape {SHAPE}, got {came}")


def context_of(
    name: str,
    stream: Any,
    call_id: str,
    source_id: int | None,
    tell: Tell,
    is_over: Any,
    may_store: Callable[[int], bool],
) -> PluginContext:
    """Return what a plugin is told when it is opened; it says nothing any more once *is_over*."""

    def emit(what: str, value: Any) -> None:
        if not isinstance(what, str):
            raise TypeError(f"emit: expected a name, got {what!r:.80}")
        if not is_over():
            tell("value", name, what, value)

    return PluginContext(
        name=name,
        stream=stream,
        call_id=call_id,
        source_id=source_id,
        emit=emit,
        may_store=may_store,
    )
