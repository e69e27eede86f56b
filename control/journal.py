"""The journal: what a process was told, did and saw of its calls lately, for whoever looks."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from .journal_redact import JournalRedactor

Side: TypeAlias = Literal["service", "host"]
Kind: TypeAlias = Literal[
    "notification", "request", "operation", "state", "media", "plugin", "roster"
]
Direction: TypeAlias = Literal["in", "out"]

MAX_ENTRIES: Final = 2_000
MAX_BYTES: Final = 1_000_000
"""Of titles and bodies together: with 2,000 entries 500 bytes each; one with a roster has 5 kB."""
MAX_BODY_BYTES: Final = 32 * 1024
"""A larger body is not kept: one notification of a large meeting must not push out all others."""

_NUMBERS: Final = itertools.count(1)
"""One row of numbers for all journals of a process, so that two can be read as one."""


class JournalEntry:
    """One thing that happened. ``seq`` only grows; ``at`` is the wall clock's, ISO 8601 in UTC.

    What is secret is taken out when it is read, and a body is parsed only then: most never are.
    Thread: the loop's.
    """

    __slots__ = (
        "_at",
        "_body",
        "_direction",
        "_json",
        "_redactor",
        "_title",
        "call_id",
        "kind",
        "seq",
        "side",
    )

    def __init__(
        self,
        side: Side,
        kind: Kind,
        call_id: str | None,
        title: str,
        body: str | None,
        direction: Direction | None,
        redactor: JournalRedactor,
    ) -> None:
        self.seq = next(_NUMBERS)
        self.side: Side = side
        self.kind: Kind = kind
        self.call_id = call_id
        self._at = datetime.now(UTC)
        self._title, self._body, self._direction = title, body, direction
        self._redactor = redactor
        self._json: str | None = None

    @property
    def size_bytes(self) -> int:
        """What it counts for in the journal's bound, nearly."""
        return len(self._title) + len(self._body or "")

    def read(self) -> dict[str, Any]:
        """Return it as JSON, without secrets, in a dictionary of the caller's own."""
        shown: dict[str, Any] = json.loads(self.json())
        return shown

    def json(self) -> str:
        """Return it as JSON text, without secrets; made once."""
        if self._json is None:
            try:
                self._json = self._text_with(self._clean_body())
            except (ValueError, RecursionError):
                # No number is NaN in JSON, but Python's reader takes it; or it is nested without
                # end. Whoever sent it must not keep the operator from reading all others.
                self._json = self._text_with({"leftOut": "a body that cannot be shown"})
        return self._json

    def _clean_body(self) -> Any:
        return None if self._body is None else self._redactor.clean(_parsed(self._body))

    def _text_with(self, body: Any) -> str:
        at = self._at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps(
            {
                "seq": self.seq,
                "at": at,
                "side": self.side,
                "kind": self.kind,
                "callId": self.call_id,
                "title": self._redactor.text(self._title),
                "direction": self._direction,
                "body": body,
            },
            separators=(",", ":"),
            allow_nan=False,
        )


class Journal:
    """The last entries of one role: at most 2,000, and a megabyte. Old ones go.

    Thread: the loop's.
    """

    def __init__(
        self,
        side: Side,
        redactor: JournalRedactor | None = None,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.side: Side = side
        self.redactor = redactor or JournalRedactor()
        """What takes secrets out: let it learn those that are known by value."""
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._entries: deque[JournalEntry] = deque()
        self._bytes = 0
        self._forgotten_seq = 0
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Count the entries that are kept."""
        return len(self._entries)

    def __bool__(self) -> bool:
        """Be true also while it is empty: it is not the same as none."""
        return True

    @property
    def seq(self) -> int:
        """The number of the newest entry; 0 when there is none."""
        return self._entries[-1].seq if self._entries else self._forgotten_seq

    def record(
        self,
        kind: Kind,
        call_id: str | None,
        title: str,
        body: Mapping[str, Any] | Sequence[Any] | str | bytes | None = None,
        *,
        direction: Direction | None = None,
    ) -> None:
        """Write down what happened, with its JSON: an object, or text that is JSON already.

        *direction* is whether it came in or went out. Secrets may be in it: they are taken out
        before anyone sees it.
        """
        text = _body_text(body)
        entry = JournalEntry(self.side, kind, call_id, title, text, direction, self.redactor)
        self._entries.append(entry)
        self._bytes += entry.size_bytes
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = self._entries.popleft()
            self._bytes -= oldest.size_bytes
            self._forgotten_seq = oldest.seq
        for listener in self._listeners:
            listener()

    def since(
        self, seq: int, call_ids: Collection[str] | None = None
    ) -> tuple[list[JournalEntry], bool]:
        """Return the entries after *seq*, of those calls only; and whether some are forgotten."""
        entries = self._entries
        first = bisect_right(entries, seq, key=lambda entry: entry.seq)
        found = [
            entry
            for entry in itertools.islice(entries, first, None)
            if call_ids is None or entry.call_id in call_ids
        ]
        return found, seq < self._forgotten_seq

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call *listener* after each entry; return what ends that. It must not raise, or record."""
        self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return unsubscribe


def _body_text(body: Mapping[str, Any] | Sequence[Any] | str | bytes | None) -> str | None:
    if body is None:
        return None
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    # Text at once: what was handed over may change later, and counts with its size.
    try:
        text = (
            body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), default=str)
        )
    except RecursionError:
        return json.dumps({"leftOut": "a body that is nested too deeply"})
    if len(text) > MAX_BODY_BYTES:
        return json.dumps({"leftOut": f"a body of {len(text)} characters"})
    return text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # What was sent is no JSON, and that is worth seeing.
