"""Marks in a stream: what one end waits to hear of, and what the other has yet to play. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_MARKS: Final = 256
"""Unanswered at a time: five seconds of one with every frame."""


class SentMarks:
    """The marks that the far end has not answered yet, in the order in which they were sent."""

    def __init__(self) -> None:
        self._names: deque[str] = deque()
        self._cleared = 0

    def __len__(self) -> int:
        return len(self._names)

    def sent(self, name: str) -> bool:
        """Wait for *name*, which may be waited for already; False: too many are."""
        if len(self._names) >= MAX_MARKS:
            return False
        self._names.append(name)
        return True

    def clear(self) -> None:
        """Note that the far end was asked to clear: its answers to what waits are on their way."""
        self._cleared = len(self._names)

    def answered(self, name: str) -> bool:
        """Take an answer, to the first of that name; say whether one was waited for."""
        try:
            at = self._names.index(name)
        except ValueError:
            return False
        del self._names[at]
        self._cleared -= at < self._cleared
        return True

    def take_cleared(self) -> list[str]:
        """Give up those that were cleared, whose answers may have been lost; return them."""
        cleared = [self._names.popleft() for _ in range(self._cleared)]
        self._cleared = 0
        return cleared

    def take_all(self) -> list[str]:
        """Give up all; return them."""
        names, self._names, self._cleared = list(self._names), deque(), 0
        return names

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those without an answer, in order."""
        return tuple(self._names)


class DueMarks:
    """The marks that the far end set, each behind so many frames of its stream."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, str]] = deque()

    def __bool__(self) -> bool:
        return bool(self._marks)

    def add(self, name: str, behind_frames: int) -> bool:
        """Keep a mark until that many frames were played; False: there are too many already."""
        if len(self._marks) >= MAX_MARKS:
            return False
        self._marks.append((behind_frames, name))
        return True

    def take_played(self, played_frames: int) -> list[str]:
        """Give out the marks that this many frames have reached."""
        names = []
        while self._marks and self._marks[0][0] <= played_frames:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self) -> list[str]:
        """Give out all that were not reached."""
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names
