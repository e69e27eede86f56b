"""One plugin on one stream without a call: for tools and tests. Time decides nothing here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from ..pcm import AudioFrame, Pcm
from .config import make_plugin
from .contract import PluginContext, PluginFactory, Stream
from .errors import RAISED, PluginError
from .meter import OwnTimeMeter
from .probes import frames_of
from .registry import resolve
from .slot import checked_result


class PluginFaultError(PluginError):
    """A plugin failed while it ran: which of its methods, and how."""


class OfflinePlugin:
    """A plugin that is made at once, opened and closed by ``with``, and given frame by frame.

    *plugin* is a class, a function, or a reference that :func:`.registry.resolve` takes. What it
    emits is in ``events``, as (name, value), and told to *on_value*. ``own_times_ns`` has its own
    time for each frame.
    Raises: PluginError when it cannot be found, or not be made with *config*.
    Thread: one at a time, and :meth:`process` always the same.
    """

    def __init__(
        self,
        plugin: PluginFactory | str,
        config: Mapping[str, Any] | None = None,
        *,
        stream: Stream = "inbound",
        call_id: str = "offline",
        source_id: int | None = 1,
        on_value: Callable[[str, Any], None] | None = None,
        may_store: Callable[[int], bool] = lambda timestamp: True,
    ) -> None:
        self.factory = resolve(plugin) if isinstance(plugin, str) else plugin
        name = plugin if isinstance(plugin, str) else getattr(plugin, "__qualname__", "plugin")
        self._made = make_plugin(self.factory, config or {}, name=name)
        self._on_value = on_value
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = PluginContext(
            name=name,
            stream=stream,
            call_id=call_id,
            source_id=source_id,
            emit=self._note,
            may_store=may_store,
        )
        self.events: list[tuple[Any, Any]] = []
        self.own_times_ns: list[int] = []
        self.changed_frames = 0
        """Frames for which it gave back something."""

    def __enter__(self) -> Self:
        """Open it. Raises: PluginFaultError."""
        _guarded("open", lambda: self._made.open(self._context))
        return self

    def __exit__(self, *error: object) -> None:
        """Close it. Raises: PluginFaultError."""
        if self._loop is not None:
            self._loop.close()
        _guarded("close", self._made.close)

    @property
    def is_listener(self) -> bool:
        """Whether it only listens."""
        return self._made.is_listener

    @property
    def latency_samples(self) -> int:
        """By how much its output is behind, as it says."""
        return self._made.latency_samples

    def process(self, frame: AudioFrame) -> Pcm:
        """Return what it makes of *frame*.

        Shape:  (320,) int16 in and out; the result is the caller's.
        Raises: PluginFaultError when it raises, or gives back no frame.
        """
        meter = OwnTimeMeter.of_this_thread()
        given = frame.copy()
        meter.begin()
        try:
            result = _guarded("process", lambda: self._made.process(given))
        finally:
            self.own_times_ns.append(meter.end()[0])
        if inspect.isawaitable(result):
            loop = self._loop = self._loop or asyncio.new_event_loop()
            coroutine = result
            result = _guarded("process", lambda: loop.run_until_complete(coroutine))
        if self.is_listener or result is None:
            return frame.copy()
        self.changed_frames += 1
        try:
            return checked_result(result, frame).copy()
        except (ValueError, TypeError) as exc:
            raise PluginFaultError(f"process returned something else: {exc}") from exc

    def hear(self, pcm: Pcm) -> Pcm:
        """Return what it makes of *pcm*, which is filled up to whole frames.

        Shape:  (n,) int16 in, n rounded up to a multiple of 320 out.
        Raises: PluginFaultError.
        """
        return np.concatenate([self.process(frame) for frame in frames_of(pcm)])

    def set(self, **parameters: Any) -> None:
        """Change parameters, from the next frame on.

        Raises: PluginConfigError with the field's name; PluginFaultError.
        """
        checked = self._made.check_change(parameters)
        _guarded("set", lambda: self._made.set(checked))

    def said(self, name: str) -> list[Any]:
        """Return the values that it emitted under *name*."""
        return [value for said, value in self.events if said == name]

    def _note(self, name: str, value: Any) -> None:
        self.events.append((name, value))
        if self._on_value is not None:
            self._on_value(name, value)


def _guarded(what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RAISED as exc:
        # The boundary to someone else's code.
        raise PluginFaultError(f"{what} raised {type(exc).__name__}: {exc}") from exc
