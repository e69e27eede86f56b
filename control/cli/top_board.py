"""What ``mixminus top`` knows: the console's live messages, put together. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

Json = dict[str, Any]

SILENCE_DBOV: Final = -127
WARM_UP_MS: Final = 600
"""A meter that nobody has read for a while says silence at first."""
LIVING: Final = frozenset(
    ("incoming", "establishing", "established", "onHold", "transferring", "terminating")
)


class Board:
    """The calls, their levels and the engine, as of the last message.

    Raises: KeyError, TypeError or ValueError on a message that is not the console's.
    """

    def __init__(self) -> None:
        self.engine: Json | None = None
        self.sides: list[str] = []
        self._levels_since_ms: int | None = None
        self._levels_at_ms = 0
        self._calls: dict[str, Json] = {}
        self._levels: dict[str, list[int]] = {}

    def take(self, message: Json) -> None:
        """Take in one message; kinds that top has no use for change nothing."""
        match message["type"]:
            case "ready":
                self.sides = list(message["sides"])
            case "snapshot":
                self._calls = {row["id"]: row for row in message["calls"]}
                self.engine = message["engine"]
            case "calls":
                for row in message["changed"]:
                    self._calls[row["id"]] = row
                for gone in message["gone"]:
                    self._calls.pop(gone, None)
            case "engine":
                self.engine = message["engine"]
            case "meters":
                self._levels = message["legs"]
                self._levels_at_ms = message["at"]
                if self._levels_since_ms is None:
                    self._levels_since_ms = self._levels_at_ms

    @property
    def has_levels(self) -> bool:
        """Whether the meters have been read for long enough to be believed."""
        since_ms = self._levels_since_ms
        return since_ms is not None and self._levels_at_ms - since_ms >= WARM_UP_MS

    def calls(self, *, ended: bool = False) -> list[Json]:
        """Return the living calls, the newest last; with *ended* also those that are over.

        Each has ``levelIn`` and ``levelOut``: the loudest of its legs in dBov, -127 for silence.
        """
        rows = [row for row in self._calls.values() if ended or row["state"] in LIVING]
        rows.sort(key=lambda row: (row["startedAt"], row["id"]))
        return [
            {**row, "levelIn": self._loudest(row, 0), "levelOut": self._loudest(row, 1)}
            for row in rows
        ]

    def as_json(self, *, ended: bool = False) -> Json:
        """Return all of it, as ``--json`` prints it."""
        return {"sides": self.sides, "engine": self.engine, "calls": self.calls(ended=ended)}

    def _loudest(self, row: Json, way: int) -> int:
        known = (self._levels[key][way] for key in row["legs"] if key in self._levels)
        return max(known, default=SILENCE_DBOV)


def seconds_of(row: Json, now: datetime) -> float:
    """Return how long a call is there, or was."""
    ended = row["endedAt"]
    end = now if ended is None else datetime.fromisoformat(ended)
    return max(0.0, (end - datetime.fromisoformat(row["startedAt"])).total_seconds())


def clock(seconds: float) -> str:
    """Return a time as 0:07, 12:34 or 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
