"""Callbacks that users register: several at once, and the bug of one costs the others nothing."""

from __future__ import annotations

import contextvars
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
        self._callbacks: dict[object, tuple[contextvars.Context, Callable[P, None]]] = {}

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return bool(self._callbacks)

    def add(self, callback: Callable[P, None]) -> Callable[[], None]:
        """Call *callback* from now on. Returns what takes it off; again is no error.

        It runs with the context variables that there are now: what it logs is about this call.
        """
        key = object()
        self._callbacks[key] = contextvars.copy_context(), callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all. What one raises is logged: the others, and the call, go on."""
        for context, callback in tuple(self._callbacks.values()):
            # A copy, for it may be called while it is called.
            context.copy().run(self._call, callback, *args, **kwargs)

    def _call(self, callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            # The boundary to a bot author's code.
            log.exception("a callback for %s failed", self._what)
