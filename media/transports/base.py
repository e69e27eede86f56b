"""What every transport is: it carries one leg until it is closed; a session's carries more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from ..bridge import Leg
from ..quality import StreamQuality

SPEAKERS: Final = "speakers"
TONES: Final = "tones"
SEND_TONES: Final = "send_tones"
MARKS: Final = "marks"
CLEAR: Final = "clear"
CAPABILITIES: Final = frozenset({SPEAKERS, TONES, SEND_TONES, MARKS, CLEAR})
"""What a session's transport may be able to do; what it cannot is not in its ``capabilities``."""


class RemoteProtocolError(ValueError):
    """The far end sent what its protocol does not allow."""


class Transport(Protocol):
    """Carries one leg's audio to and from a far end.

    Thread: the loop's.
    """

    @property
    def closed(self) -> asyncio.Future[str]:
        """Resolved once, with the reason, when the far end is gone or close() was called."""

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and dropped by reason, so far."""

    async def close(self) -> None:
        """Tell the far end, and leave no task, thread or socket behind. Again is no error."""


class SpeakerLegs(Protocol):
    """What a transport that carries several speakers needs of its session.

    Thread: the loop's.
    """

    def open_speaker(self, source_id: int, name: str | None = None) -> Leg:
        """Return the leg of that speaker, made now if there is none; again: the same leg.

        Units:  source_id from 1 to 2^32 - 1, the far end's number (MSI); *name* is who it is, where
                only the far end knows.
        Raises: RuntimeError when the session is over.
        """

    def close_speaker(self, source_id: int) -> None:
        """Take that speaker's leg out. One that is not there is no error."""


class SessionTransport(Transport, Protocol):
    """What brings a session's audio: its link leg's and its speakers', keys, marks.

    Thread: the loop's; the callbacks, too, come there. Whoever uses it sets them, one each; None
    is nobody.
    """

    capabilities: frozenset[str]
    """Of :data:`CAPABILITIES`, what this far end can do."""
    sends_silence: bool
    """True at first; False: frames flagged silence need not go out where the protocol allows."""
    on_tone: Callable[[str], None] | None
    """Called once with each key (0-9, *, #, A-D) that the far end says was pressed."""
    on_media: Callable[[bool], None] | None
    """Called with False when the way to the far end is lost and may come back, then with True."""
    on_mark: Callable[[str, bool], None] | None
    """Called with each mark's name, and whether it was played; False: cleared before that."""

    def want_speakers(self, wanted: bool) -> None:
        """Ask for each speaker's own audio, or no more; without "speakers": no effect.

        It comes into legs of the session's :class:`SpeakerLegs`, the mix goes on beside it.
        """

    def send_tone(self, key: str, duration_ms: int) -> None:
        """Press *key* towards the far end.

        Raises: ValueError when *key* is not one of 0-9, *, #, A-D, or on a duration out of range;
                RuntimeError without "send_tones".
        """

    def send_mark(self, name: str) -> None:
        """Ask to hear, by ``on_mark``, when the audio sent so far was played.

        Raises: ValueError on a name that is empty or too long; RuntimeError without "marks".
        """

    def clear(self) -> None:
        """Have the far end drop what it has not played, and answer its marks as cleared.

        Raises: RuntimeError without "clear".
        """

    def quality(self) -> StreamQuality:
        """Return what was measured of the far end's audio so far."""


class ClosedFuture:
    """The once-only reason of a transport's end."""

    def __init__(self) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def resolve(self, reason: str) -> None:
        """Say why it ended; only the first reason counts."""
        if not self.future.done():
            self.future.set_result(reason)


async def wait_connected(
    connected: asyncio.Future[None], closed: asyncio.Future[str], timeout_s: float
) -> None:
    """Wait for the one of both that comes first; both are left as they are.

    Raises: TimeoutError; ConnectionError with the reason when it was *closed*.
    """
    async with asyncio.timeout(timeout_s):
        await asyncio.wait((connected, closed), return_when=asyncio.FIRST_COMPLETED)
    if not connected.done():
        raise ConnectionError(closed.result())
