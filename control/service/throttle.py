"""Throttling: so many requests of an application in a window, and no more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ..graph import errors


class Throttle:
    """Counts the requests of each application in fixed windows. A limit of 0 lets all pass.

    Units:  seconds. The windows of an application begin with its first request.
    """

    def __init__(
        self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._window_s, self._clock = limit, window_s, clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def count(self, app_id: str, tenant_id: str) -> None:
        """Count one request.

        Raises: GraphError 429 when it is one too many, with the seconds until the window ends.
        """
        if not self._limit:
            return
        now = self._clock()
        began, seen = self._windows.get((app_id, tenant_id), (now, 0))
        if now - began >= self._window_s:
            began, seen = now, 0
        if seen >= self._limit:
            raise errors.throttled(max(1, math.ceil(began + self._window_s - now)))
        self._windows[app_id, tenant_id] = (began, seen + 1)
