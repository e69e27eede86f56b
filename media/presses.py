"""Which of the keys that are heard over several paths are one and the same press. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_PRESSES: Final = 32
"""Presses of one who is heard over several paths that are remembered: more than hands can do."""


@dataclass(slots=True)
class _Press:
    key: str
    at_s: float
    paths: set[str]


class Presses:
    """Counts a press once, though it is heard over several paths: signalled, RFC 4733, in-band.

    A path tells of each press once and in order; so a key that another path told of within
    *window_s*, and this one did not yet, is that same press.
    """

    def __init__(self, window_s: float = 2.0) -> None:
        self._window_s = window_s
        self._presses: deque[_Press] = deque(maxlen=MAX_PRESSES)

    def take(self, path: str, key: str, now_s: float, window_s: float | None = None) -> bool:
        """Hear *key* over *path*; say whether this is a press that no other path told of.

        Units:  now_s counts up, from anywhere; window_s replaces the usual one for this press.
        """
        limit_s = self._window_s if window_s is None else window_s
        for press in self._presses:
            is_near = now_s - press.at_s <= limit_s
            if is_near and press.key == key and path not in press.paths:
                press.paths.add(path)
                return False
        self._presses.append(_Press(key, now_s, {path}))
        return True
