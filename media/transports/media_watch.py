"""Whether a far end is still there, judged by what was heard of it. Pure, time is given."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

MEDIA_LOST_NS: Final = 2_000_000_000
SILENT_NS: Final = 30_000_000_000
"""RFC 7675 section 5.1: consent ends after 30 s without any sign."""

PAUSE_NS: Final = 150_000_000
BYE_NS: Final = 500_000_000
BYE_PACKETS: Final = 5
"""A source that says BYE and then sends more than what was under way has only changed."""


class Sign(Enum):
    """What a look at a far end says."""

    NOTHING_NEW = "nothing new"
    LOST = "lost"
    BACK = "back"
    SILENT = "silent"
    BYE = "bye"


class MediaWatch:
    """What was heard of one far end, from the time it connected on.

    Units:  all times are of the monotonic clock, in ns.
    """

    def __init__(self, now_ns: int) -> None:
        self._since_ns = now_ns
        self._expected_since_ns: int | None = now_ns
        self._is_lost = False
        self._byes = 0
        self._bye: tuple[int, int] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it was said to be lost, and not to be back."""
        return self._is_lost

    def excuse(self, now_ns: int) -> None:
        """Do not blame the far end for the time until now: nobody was listening."""
        self._since_ns = max(self._since_ns, now_ns)

    def look(
        self,
        now_ns: int,
        *,
        heard_ns: int,
        is_expected: bool,
        sends: bool,
        counts: Callable[[], tuple[int, int]],
    ) -> Sign:
        """Judge a far end of whom anything was *heard_ns* last.

        ``is_expected``: its silence is a loss. ``sends``: by its own description; a browser says
        BYE, too, when it is told to hold. ``counts`` says how many packets of audio and how many
        BYE came so far; it is asked only where there is a pause, in which a BYE may lie.
        """
        quiet_ns = now_ns - max(heard_ns, self._since_ns)
        if quiet_ns > SILENT_NS:
            return Sign.SILENT
        if (quiet_ns >= PAUSE_NS or self._bye is not None) and self._has_left(
            now_ns, *counts(), sends
        ):
            return Sign.BYE
        if self._is_lost and heard_ns > self._since_ns and quiet_ns < MEDIA_LOST_NS:
            self._is_lost = False
            return Sign.BACK
        if not is_expected:
            self._expected_since_ns = None
        elif self._expected_since_ns is None:
            # A far end that was let be silent is given its time to speak again.
            self._expected_since_ns = now_ns
        elif (
            not self._is_lost
            and quiet_ns > MEDIA_LOST_NS
            and now_ns - self._expected_since_ns > MEDIA_LOST_NS
        ):
            self._is_lost = True
            return Sign.LOST
        return Sign.NOTHING_NEW

    def _has_left(self, now_ns: int, received_packets: int, byes: int, sends: bool) -> bool:
        if byes > self._byes:
            self._byes = byes
            self._bye = (now_ns, received_packets)
        if not sends or self._bye is None:
            self._bye = None
            return False
        said_ns, received_then = self._bye
        if received_packets - received_then > BYE_PACKETS:
            self._bye = None
            return False
        return now_ns - said_ns >= BYE_NS
