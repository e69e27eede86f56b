"""A platform whose ticks the test makes: no thread, no clock, the same engine."""

from __future__ import annotations

from collections.abc import Callable

from mixminus.media.platform import MediaPlatform


class ManualPlatform(MediaPlatform):
    """Bridges and callbacks as ever; a tick happens when :meth:`tick` is called."""

    def tick(self, count: int = 1, between: Callable[[], object] | None = None) -> None:
        for _ in range(count):
            self._engine.run_ticks(1, between)
            for callback in tuple(self._callbacks.values()):
                callback()
