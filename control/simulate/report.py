"""What came of a simulated call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mixminus.media.pcm import Pcm

from ..camel import camel, camel_keys
from ..demo.echo import match_windows

ALIKE: Final = 0.8
MIN_ALIKE_SHARE: Final = 0.5
"""Less than that of the active windows is no echo: the bot said something else."""


@dataclass(frozen=True, slots=True)
class Echo:
    """What came back of what was said, if it did."""

    round_trip_ms: float
    gain: float
    share: float


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """One call: frames each way, gaps in what the bot said, what the bot asked for.

    ``stream_id`` is what the host calls it, where that is not ``call_id``. ``most_waiting_ms`` is
    how much of the bot's audio ever waited to be played: what a barge-in has to clear.
    ``sender_late_ms`` is how late the simulator's own clock ever was.
    """

    service: str
    call_id: str
    stream_id: str | None
    seconds: float
    sent_frames: int
    received_frames: int
    reframed: int
    malformed: int
    gaps: int
    longest_gap_ms: int
    most_waiting_ms: int
    clears: int
    marks: int
    reconnects: int
    sender_late_ms: float
    echo: Echo | None
    ended_by_bot: str | None
    close_code: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it, its keys in camelCase."""
        return {camel(key): camel_keys(value) for key, value in asdict(self).items()}

    def lines(self) -> list[str]:
        """Return it as people read it."""
        echo = self.echo
        back = "nothing of the input came back"
        if echo is not None:
            back = (
                f"echo: {echo.round_trip_ms:.0f} ms round trip, gain {echo.gain:.2f},"
                f" {echo.share:.0%} of the active windows"
            )
        lines = [
            f"{self.service} call {self.call_id}: {self.seconds:.1f} s"
            + ("" if self.stream_id is None else f"; the host's call {self.stream_id}"),
            f"sent {self.sent_frames} frames, received {self.received_frames}"
            f" ({self.reframed} of another size, {self.malformed} messages malformed)",
            f"gaps {self.gaps}, the longest {self.longest_gap_ms} ms;"
            f" at most {self.most_waiting_ms} ms waited to be played",
            f"clears {self.clears}, marks {self.marks}, reconnects {self.reconnects}",
            back,
        ]
        if self.ended_by_bot is not None:
            lines.append(f"the bot ended the call: {self.ended_by_bot}")
        return lines


def echo_of(played: Pcm, heard: Pcm) -> Echo | None:
    """Return how what was *played* came back in *heard*, turned over or not; None: it did not.

    Shape:  (n,) and (m,) int16 on one timeline: sample 0 of both is the same moment.
    """
    source, back = played / 32768.0, heard / 32768.0
    best: Echo | None = None
    for sign in (1.0, -1.0):
        # What is compared with is an echo that is turned over.
        windows = match_windows(source, back * sign)
        alike = [window for window in windows if window.correlation <= -ALIKE]
        if not alike or len(alike) < MIN_ALIKE_SHARE * len(windows):
            continue
        share = len(alike) / len(windows)
        if best is None or share > best.share:
            delay_ms = float(np.median([window.delay_ms for window in alike]))
            gain = sign * float(np.median([window.gain for window in alike]))
            best = Echo(delay_ms, gain, share)
    return best
