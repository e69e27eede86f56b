"""Names on stderr what has run for too long, even while it holds the GIL."""

from __future__ import annotations

from typing import Final

from . import _native

LIMIT_S: Final = 1.0
MIN_LIMIT_S: Final = 0.001
MAX_LIMIT_S: Final = 3600.0
"""Beyond an hour nobody waits to be told."""


class Watchdog:
    """Watches one thread that says what it runs: :meth:`enter`, :meth:`leave`.

    When one thing runs for longer than *limit_s*, a thread without the GIL writes one line to
    stderr, "mixminus: plugin NAME has run for 1.0 s and holds up all plugins", once for each time.
    Raises: ValueError unless limit_s is from 0.001 to 3600; OSError when there is no thread for it.
    Source: native/watchdog.h.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        if not MIN_LIMIT_S <= limit_s <= MAX_LIMIT_S:  # nor NaN
            raise ValueError(f"limit_s: expected {MIN_LIMIT_S} to {MAX_LIMIT_S}, got {limit_s}")
        self._watchdog = _native.Watchdog(round(limit_s * 1e9))
        self.enter = self._watchdog.enter
        """Say that *name* runs from now on, in place of what did; its first 63 bytes are kept.

        Raises: RuntimeError when the watchdog is closed. Thread: the watched one. Never waits.
        """
        self.leave = self._watchdog.leave
        """Say that it has ended. Thread: the watched one. Never waits."""

    def stuck(self) -> tuple[str, float] | None:
        """Return what has run for longer than the limit, and for how many seconds. Thread: any."""
        return self._watchdog.stuck()

    def close(self) -> None:
        """End the watching thread. Again is no error. Thread: the watched one, or after its end."""
        self._watchdog.close()
