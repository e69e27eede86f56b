"""The recording gate of a call: whether what is said may be stored."""

from __future__ import annotations

from collections.abc import Callable

from .errors import RecordingGateError


class RecordingGate:
    """Shut until somebody opens it; what was said while it was shut is never stored.

    A recorder asks it of each frame, by the frame's own time: one that waited in a queue while the
    gate opened was said before that.
    Units:  *now* gives the engine's time, 100 ns ticks.
    Thread: the loop's; :meth:`admits` any.
    """

    def __init__(self, now: Callable[[], int], *, reason: str = "it was never opened") -> None:
        self._now = now
        self._opened_at: int | None = None
        self._reason = reason
        self._listeners: list[Callable[[bool], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether what is said now may be stored."""
        return self._opened_at is not None

    @property
    def reason(self) -> str:
        """Why it is shut; empty when it is open."""
        return "" if self.is_open else self._reason

    def open(self) -> None:
        """Let what is said from now on be stored. Again is no error, and changes nothing."""
        if self._opened_at is None:
            self._opened_at = self._now()
            self._tell(True)

    def shut(self, reason: str) -> None:
        """Let nothing more be stored, also of what waits to be. Again only changes the reason."""
        self._reason = reason
        if self._opened_at is not None:
            self._opened_at = None
            self._tell(False)

    def admits(self, timestamp: int) -> bool:
        """Say whether a frame of that time may be stored. Units: 100 ns ticks of the engine."""
        # Read once: another thread may shut it between two looks.
        opened_at = self._opened_at
        return opened_at is not None and timestamp >= opened_at

    def expect_open(self) -> None:
        """Return if it is open.

        Raises: RecordingGateError that says why it is shut.
        """
        if not self.is_open:
            raise RecordingGateError(f"nothing of this call may be stored: {self._reason}")

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call *listener* with whether it is open, after each change; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def _tell(self, is_open: bool) -> None:
        for listener in tuple(self._listeners):
            listener(is_open)
