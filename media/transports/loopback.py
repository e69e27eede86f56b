"""Two legs connected without sockets: what one renders the other receives, tick by tick."""

from __future__ import annotations

import asyncio

from ..bridge import Leg
from ..platform import MediaPlatform
from .base import ClosedFuture


class LoopbackTransport:
    """One end of a pair. Made by :func:`loopback_pair`.

    Thread: the platform's loop.
    """

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._closed = ClosedFuture()
        self._far: LoopbackTransport | None = None
        self._frames_in = 0
        self._frames_out = 0

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when either end was closed."""
        return self._closed.future

    def counters(self) -> dict[str, int]:
        """Return frames in and out."""
        return {"frames_in": self._frames_in, "frames_out": self._frames_out}

    async def close(self) -> None:
        """End both ends. Again is no error."""
        far, self._far = self._far, None
        self._closed.resolve("closed here")
        if far is not None:
            far._far = None
            far._closed.resolve("the far end closed the connection")

    def carry(self) -> None:
        """Hand over what this end's leg rendered since the last call."""
        while (frame := self._leg.render.read()) is not None:
            if self._far is None:
                continue
            self._far._leg.source.write(
                frame, frame.timestamp, frame.frame_flags, frame.active_speakers
            )
            self._far._frames_in += 1
            self._frames_out += 1


def loopback_pair(
    a: Leg, b: Leg, platform: MediaPlatform | None = None
) -> tuple[LoopbackTransport, LoopbackTransport]:
    """Connect leg *a* with leg *b*.

    With a *platform*, its ticks carry the frames until either end is closed; without one the caller
    does, by ``carry()`` on both ends.
    """
    near, far = LoopbackTransport(a), LoopbackTransport(b)
    near._far, far._far = far, near
    if platform is not None:

        def carry() -> None:
            near.carry()
            far.carry()

        unsubscribe = platform.on_tick(carry)
        near.closed.add_done_callback(lambda _: unsubscribe())
    return near, far
