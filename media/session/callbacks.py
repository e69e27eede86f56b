"""Callbacks that users register: several at once, and the bug of one costs the others nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

log = logging.getLogger("mixminus.media.session")

P = ParamSpec("P")


class Callbacks(Generic[P]):
    """Functions that are called one after the other, in the order in which they came.

    Thread: the loop's.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._callbacks: dict[object, Callable[P, None]] = {}

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return bool(self._callbacks)

    def add(self, callback: Callable[P, None]) -> Callable[[], None]:
        """Call *callback* from now on. Returns what takes it off; again is no error."""
        key = object()
        self._callbacks[key] = callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all. What one raises is logged: the others, and the call, go on."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(*args, **kwargs)
            except Exception:
                # The boundary to a bot author's code.
                log.exception("a callback for %s failed", self._what)
