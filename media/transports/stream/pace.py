"""How much of what was sent the far end still has to play, reckoned: it does not say."""

from __future__ import annotations

from typing import Final

from ...pcm import FRAME_TICKS

LEAD_FRAMES: Final = 2
"""40 ms: what our loop, or the network, may be late without a hole at the far end."""
MAX_WAITING_FRAMES: Final = 10
"""200 ms: beyond that a barge-in is none, and the delay would be heard."""


class Pace:
    """The far end's queue: it plays 50 frames a second, and nothing while it has none.

    A small lead is made of silent frames that are sent twice, and given back by leaving out silent
    ones: speech is neither held up nor cut. Pure; time is an argument.
    Units:  frames; *now* in 100 ns ticks of the engine's clock.
    """

    def __init__(
        self, lead_frames: int = LEAD_FRAMES, max_waiting_frames: int = MAX_WAITING_FRAMES
    ) -> None:
        if not 0 <= lead_frames < max_waiting_frames:
            raise ValueError(
                f"lead_frames: expected 0 to {max_waiting_frames - 1}, got {lead_frames}"
            )
        self.lead_frames = lead_frames
        self._most = max_waiting_frames
        self._waiting = 0.0
        self._as_of: int | None = None
        self._primed = False
        self.sent_frames = 0
        """All that went out, the lead and what was dropped again included."""

    def waiting_frames(self, now: int) -> float:
        """Return how much the far end has yet to play."""
        if self._as_of is not None and now > self._as_of:
            self._waiting = max(0.0, self._waiting - (now - self._as_of) / FRAME_TICKS)
        self._as_of = now if self._as_of is None else max(self._as_of, now)
        return self._waiting

    def played_frames(self, now: int) -> float:
        """Return how many of :attr:`sent_frames` were played, or dropped."""
        return self.sent_frames - self.waiting_frames(now)

    def plan(self, is_silent: bool, now: int) -> tuple[int, bool]:
        """Say what to do with a frame that is due: silent frames before it, and whether to send it.

        The answer counts as sent.
        """
        waiting = self.waiting_frames(now)
        lacking = max(0, round(self.lead_frames - waiting))
        if is_silent:
            extra, goes = lacking, waiting <= self.lead_frames + 1
            self._primed = True
        else:
            # In the middle of speech a lead would be a hole; before the first word it is not.
            extra, goes = 0 if self._primed else lacking, waiting + 1 <= self._most
            self._primed = True
        sent = extra + goes
        self._waiting += sent
        self.sent_frames += sent
        return extra, goes

    def rest(self) -> None:
        """Note that nothing is sent for a silent frame: a lead comes before the next word."""
        self._primed = False

    def take_back(self, frames: int) -> None:
        """Note that *frames* of those planned last never went out."""
        self._waiting = max(0.0, self._waiting - frames)

    def clear(self) -> None:
        """Note that the far end dropped all that it had."""
        self._waiting = 0.0
        self._primed = False
