"""One page that looks on: what waits to be sent to it, of each kind only the newest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .journals import Journals
from .sign_in import SignedIn
from .source import ConsoleRefusedError

MOST_EVENTS: Final = 200
"""In one message; who is further behind than that is told that there were more."""
MOST_IDS: Final = 1000


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Hello(_Message):
    """The first message of a page; without a token the session's cookie has come with it."""

    type: Literal["hello"]
    token: str | None = Field(default=None, max_length=4096, repr=False)


CallId: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]


class Watch(_Message):
    """What a page looks at: whose meters, and the one call that it shows."""

    type: Literal["watch"]
    calls: Literal["all"] | Annotated[list[CallId], Field(max_length=MOST_IDS)] = []
    detail: CallId | None = None


PageMessage: TypeAlias = Annotated[Hello | Watch, Field(discriminator="type")]
_MESSAGE: Final[TypeAdapter[Hello | Watch]] = TypeAdapter(PageMessage)


def read_message(text: str) -> Hello | Watch:
    """Read what a page sent.

    Raises: ConsoleRefusedError naming the member that is wrong, and never what it held.
    """
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "union_tag_invalid":
            raise ConsoleRefusedError.invalid("type: expected hello or watch") from None
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise ConsoleRefusedError.invalid(message) from None


class Watcher:
    """The state of one page. Nothing queues: what is newer takes the place of what is older.

    Thread: the loop's.
    """

    def __init__(self, who: SignedIn, journals: Journals) -> None:
        self.who = who
        self.calls: frozenset[str] | None = frozenset()
        """Whose meters are wanted; None: of all."""
        self.detail_id: str | None = None
        self._journals = journals
        self._seq = 0
        self._snapshot: str | None = None
        self._changed: dict[str, str] = {}
        self._gone: set[str] = set()
        self._known: set[str] = set()
        """The rows that the page has been told of: of no others must it hear that they are gone."""
        self._detail: str | None = None
        self._sent_detail: str | None = None
        self._engine: str | None = None
        self._meters: str | None = None
        self._wake = asyncio.Event()
        self.end: tuple[int, str] | None = None
        """How the connection is to be closed, once it is: code and reason."""

    # ---- what there is to tell -------------------------------------------------------------------

    def begin(self, snapshot: str, row_ids: Collection[str], seq: int) -> None:
        """Tell all there is, those rows; entries of the journal after *seq* follow."""
        self._snapshot, self._seq, self._known = snapshot, seq, set(row_ids)
        self._wake.set()

    def watch(self, wish: Watch) -> None:
        """Look at something else from now on."""
        self.calls = None if wish.calls == "all" else frozenset(wish.calls)
        if wish.detail != self.detail_id:
            self.detail_id = wish.detail
            self._detail = self._sent_detail = None
        if self.calls is not None and not self.calls:
            self._meters = None

    def rows(self, changed: dict[str, str], gone: set[str]) -> None:
        """Rows have changed (JSON by id), and others are gone."""
        for row_id, text in changed.items():
            self._changed[row_id] = text
            self._gone.discard(row_id)
        for row_id in gone:
            self._changed.pop(row_id, None)
            if row_id in self._known:
                self._gone.add(row_id)
        self._wake.set()

    def detail(self, text: str) -> None:
        """The watched call is so now (the message as JSON)."""
        if text != self._sent_detail:
            self._detail = text
            self._wake.set()

    def engine(self, text: str) -> None:
        """The engine was so in the last second (the message as JSON)."""
        self._engine = text
        self._wake.set()

    def meters(self, text: str) -> None:
        """The levels are so now (the message as JSON)."""
        self._meters = text
        self._wake.set()

    def look(self) -> None:
        """See whether the journal has something new."""
        if self._journals.seq > self._seq:
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection, soon."""
        self.end = self.end or (code, reason)
        self._wake.set()

    # ---- what is sent ----------------------------------------------------------------------------

    async def wait(self) -> None:
        """Wait until there may be something to send."""
        await self._wake.wait()
        self._wake.clear()

    def take(self) -> str | None:
        """Return the next message, or None when there is nothing to tell."""
        if self._snapshot is not None:
            text, self._snapshot = self._snapshot, None
            return text
        if self._changed or self._gone:
            changed, gone = ",".join(self._changed.values()), json.dumps(sorted(self._gone))
            self._known = (self._known - self._gone) | self._changed.keys()
            self._changed, self._gone = {}, set()
            return f'{{"type":"calls","changed":[{changed}],"gone":{gone}}}'
        if self._detail is not None:
            self._sent_detail, self._detail = self._detail, None
            return self._sent_detail
        if self._meters is not None:
            text, self._meters = self._meters, None
            return text
        if self._engine is not None:
            text, self._engine = self._engine, None
            return text
        return self._take_events()

    def _take_events(self) -> str | None:
        if self._journals.seq <= self._seq:
            return None
        entries, has_forgotten = self._journals.since(self._seq)
        self._seq = self._journals.seq
        if not entries:
            return None
        missed = max(0, len(entries) - MOST_EVENTS) + has_forgotten
        texts = ",".join(entry.json() for entry in entries[-MOST_EVENTS:])
        return (
            f'{{"type":"events","events":[{texts}],"seq":{entries[-1].seq},"missed":{int(missed)}}}'
        )
