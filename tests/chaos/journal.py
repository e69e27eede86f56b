"""What the bots wrote down, read while they write on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from tests.chaos.findings import by_key

Line: TypeAlias = dict[str, Any]


class Journal:
    """The lines of one bot's file so far; each look reads only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._offset = 0

    def read(self) -> list[Line]:
        """Take in what was written since; return all lines."""
        if not self.path.exists():
            return self.lines
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.lines += [json.loads(line) for line in whole.splitlines()]
        return self.lines

    def since(self, at_s: float, *events: str) -> Iterator[Line]:
        """Yield the lines of those events that were written after *at_s*, monotonic."""
        for line in self.read():
            if line["at"] > at_s and line["event"] in events:
                yield line


def doubled_handlers(lines: list[Line]) -> list[str]:
    """Name calls that a bot was given twice: one Graph call has one handler in its life."""
    given = [line for line in lines if line["event"] in ("called", "rejoined")]
    groups = by_key(given, lambda line: (line["pid"], line["call"]))
    return [f"call {call}: {len(turns)} times" for (_, call), turns in groups.items() if turns[1:]]


def forgotten_state(lines: list[Line]) -> list[str]:
    """Name conversations whose saved state was older than the last that was acknowledged."""
    saved: dict[str, int] = {}
    forgotten = []
    for line in sorted(lines, key=lambda line: float(line["at"])):
        thread = line["thread"] or line["call"]
        if line["event"] == "saved":
            saved[thread] = max(saved.get(thread, 0), line["turns"])
        elif line["event"] == "rejoined":
            had = line["saved"]["turns"] if line["saved"] else 0
            if had < saved.get(thread, 0):
                forgotten.append(f"{thread}: saved {saved[thread]}, came back with {had}")
    return forgotten
