"""The engine in virtual time: no thread, no clock; a tick happens when it is told to."""

from __future__ import annotations

from collections.abc import Callable

from ..platform import MediaPlatform


class VirtualPlatform(MediaPlatform):
    """Bridges, taps and callbacks as ever; :meth:`tick` makes one tick, 20 ms of its own clock.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], object] | None = None
        """What is called at each edge at which plugins have frames to work on."""
        # The first tick makes the engine's clock virtual: from then on it begins at 20 ms.
        self._engine.run_ticks(1)

    def tick(self) -> None:
        """Run one tick of all bridges, then tell everyone who waits for one."""
        self._engine.run_ticks(1, self.between)
        for callback in tuple(self._callbacks.values()):
            callback()
