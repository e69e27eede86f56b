"""Two sides of one process as one list: which rows tell of the same call, and who can do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from .models import Action, BotView, CallDetail, CallRow, Engine, Side
from .source import ConsoleRefusedError, ConsoleSource
from .wishes import CallWish, PluginWish

MAX_RECORDINGS: Final = 200
KEYS: Final[dict[str, Side]] = {"s:": "service", "h:": "host"}
Answer = TypeVar("Answer")


class Sources:
    """The sources of this process, the call service first. It has what each of them has.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._sources: tuple[ConsoleSource, ...] = ()

    def add(self, source: ConsoleSource) -> None:
        """Take in the source of one side.

        Raises: ValueError when that side is there already.
        """
        if source.side in self.sides:
            raise ValueError(f"a {source.side} is in this console already")
        # The service owns the calls: what it says of them goes first.
        self._sources = tuple(
            sorted((*self._sources, source), key=lambda each: each.side, reverse=True)
        )

    def remove(self, side: Side) -> None:
        """Take one out. One that is not there is no error."""
        self._sources = tuple(each for each in self._sources if each.side != side)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Which sides there are."""
        return tuple(source.side for source in self._sources)

    def __iter__(self) -> Iterator[ConsoleSource]:
        """Iterate over the sources, the call service first."""
        return iter(self._sources)

    # ---- what is shown ---------------------------------------------------------------------------

    def rows(self) -> list[CallRow]:
        """Return the calls of all sides, oldest first; one row for what two of them tell of."""
        return merge_rows([source.rows() for source in self._sources])

    def row(self, call_id: str) -> CallRow:
        """Return the row of a call, by its id or that of an application's call in it.

        Raises: ConsoleRefusedError 404.
        """
        row = find_row(self.rows(), call_id)
        if row is None:
            raise ConsoleRefusedError.not_found(f"no call {call_id[:80]}")
        return row

    def detail(self, call_id: str) -> CallDetail | None:
        """Return what all sides know of a call; None when none does."""
        row = find_row(self.rows(), call_id)
        return None if row is None else self.detail_of(row)

    def detail_of(self, row: CallRow) -> CallDetail | None:
        """Return what all sides know of the call of a row; None when none does any more."""
        found = [detail for _, _, detail in self._details(row)]
        return merge_details(row, found) if found else None

    def meters(self, call_ids: Collection[str] | None) -> dict[str, tuple[int, int]]:
        """Return the levels of those calls' legs, or of all."""
        levels: dict[str, tuple[int, int]] = {}
        for source in self._sources:
            levels.update(source.meters(call_ids))
        return levels

    def engine(self) -> Engine | None:
        """Return how the engine is, which all sides of a process share."""
        return self._sources[0].engine() if self._sources else None

    async def bots(self) -> list[BotView]:
        """Return all bots; one that two sides know is there once."""
        merged: dict[str, BotView] = {}
        # The host knows its bot's own name.
        for source in reversed(self._sources):
            for bot in await source.bots():
                key = bot.app_id or bot.name
                known = merged.get(key)
                merged[key] = bot if known is None else _merge_bots(known, bot)
        return list(merged.values())

    async def place_bot(self, call_id: str, wanted: str) -> str:
        """Bring a bot into a call, by its name or application id; return its own call's id.

        The service rings it; a bot that it cannot ring joins by itself, if the call can be joined.
        Raises: ConsoleRefusedError.
        """
        bot = next((each for each in await self.bots() if wanted in (each.name, each.app_id)), None)
        if bot is None:
            raise ConsoleRefusedError.not_found(f"no bot {wanted[:80]}")
        refused: ConsoleRefusedError | None = None
        try:
            source, known_as = self.able(call_id, "placeBot")
            return await source.place_bot(known_as, bot.app_id or bot.name)
        except ConsoleRefusedError as error:
            if error.code != "notPossible":
                raise
            refused = error
        detail = self.detail(call_id)
        join_url = None if detail is None or detail.join is None else detail.join.get("joinUrl")
        if join_url is None or not bot.can_join:
            raise refused
        wish = CallWish(bot=bot.name, join_url=join_url)
        return await self.first_able(lambda source: source.create_call(wish), host_first=True)

    async def gathered(
        self, ask: Callable[[ConsoleSource], Awaitable[Sequence[Answer]]]
    ) -> list[Answer]:
        """Return what each side has, one after the other."""
        return [each for source in self._sources for each in await ask(source)]

    # ---- who does it -----------------------------------------------------------------------------

    def able(self, call_id: str, action: Action) -> tuple[ConsoleSource, str]:
        """Return which side can do *action* to a call now, and by which id it knows the call.

        Raises: ConsoleRefusedError: no such call, or nobody can do that to it.
        """
        row = self.row(call_id)
        for source, known_as, detail in self._details(row):
            if action in detail.actions:
                return source, known_as
        raise ConsoleRefusedError.not_possible(
            f"that cannot be done to this call now: it is {row.state}"
            if row.state in ("terminating", "terminated")
            else "that cannot be done to this call from here"
        )

    def able_with(self, call_id: str, key: str) -> tuple[ConsoleSource, str]:
        """Return whose plugin that key is, and by which id that side knows the call.

        Raises: ConsoleRefusedError.
        """
        source, row = self.by_key(key), self.row(call_id)
        for other, known_as, _ in self._details(row):
            if other is source:
                return source, known_as
        raise ConsoleRefusedError.not_found(f"no plugin {key[:120]} in that call")

    def able_to_add(self, call_id: str, wish: PluginWish) -> tuple[ConsoleSource, str]:
        """Return which side has that stream, and by which id it knows the call.

        Raises: ConsoleRefusedError.
        """
        row = self.row(call_id)
        side: Side = "service" if wish.stream in ("inbound", "outbound") else "host"
        for source, known_as, detail in self._details(row):
            if source.side == side and "addPlugin" in detail.actions:
                return source, known_as
        raise ConsoleRefusedError.not_possible(
            f"the stream {wish.stream} is a {side}'s, and there is none with it for this call"
        )

    def by_key(self, key: str) -> ConsoleSource:
        """Return the side that made a key.

        Raises: ConsoleRefusedError 404.
        """
        side = KEYS.get(key[:2])
        for source in self._sources:
            if source.side == side:
                return source
        raise ConsoleRefusedError.not_found(f"nothing here is called {key[:120]}")

    async def first_able(
        self, ask: Callable[[ConsoleSource], Awaitable[Answer]], *, host_first: bool = False
    ) -> Answer:
        """Let the first side do it that can.

        Raises: ConsoleRefusedError, of the first one when none can: it is the one whose it is.
        """
        refused: ConsoleRefusedError | None = None
        for source in reversed(self._sources) if host_first else self._sources:
            try:
                return await ask(source)
            except ConsoleRefusedError as error:
                if error.code != "notPossible":
                    raise
                refused = refused or error
        raise refused or ConsoleRefusedError.not_possible("nothing runs here that could do that")

    def _details(self, row: CallRow) -> list[tuple[ConsoleSource, str, CallDetail]]:
        found = []
        for source in self._sources:
            for known_as in (row.id, *row.call_ids):
                detail = source.detail(known_as)
                if detail is not None:
                    found.append((source, known_as, detail))
                    break
        return found


def find_row(rows: Iterable[CallRow], call_id: str) -> CallRow | None:
    """Return the row of a call, by its id or that of an application's call in it."""
    return next((row for row in rows if call_id == row.id or call_id in row.call_ids), None)


def merge_rows(parts: Sequence[Sequence[CallRow]]) -> list[CallRow]:
    """Make one list of several, the first one's rows being what later ones add to."""
    merged: list[CallRow] = []
    places: dict[str, int] = {}
    for rows in parts:
        for row in rows:
            ids = (row.id, *row.call_ids)
            place = next((places[each] for each in ids if each in places), None)
            if place is None:
                place = len(merged)
                merged.append(row)
            else:
                merged[place] = _merge_two(merged[place], row)
            for each in ids:
                places[each] = place
    if len(parts) > 1:
        merged.sort(key=lambda row: row.started_at)
    return merged


def _merge_two(first: CallRow, second: CallRow) -> CallRow:
    return first.model_copy(
        update={
            "sides": tuple(dict.fromkeys((*first.sides, *second.sides))),
            "call_ids": tuple(dict.fromkeys((*first.call_ids, *second.call_ids))),
            "bot": second.bot or first.bot,
            "direction": first.direction or second.direction,
            "people": max(first.people, second.people),
            "legs": tuple(dict.fromkeys((*first.legs, *second.legs))),
            "flags": tuple(dict.fromkeys((*first.flags, *second.flags))),
        }
    )


def merge_details(row: CallRow, parts: Sequence[CallDetail]) -> CallDetail:
    """Make one of what several sides know; a roster, a routing and a blob are the first's."""

    def every(name: str) -> tuple[Any, ...]:
        return tuple(each for part in parts for each in getattr(part, name))

    def first(name: str) -> Any:
        return next((getattr(part, name) for part in parts if getattr(part, name)), None)

    return CallDetail(
        row=row,
        timeline=tuple(sorted(every("timeline"), key=lambda step: step.at)),
        roster=first("roster") or (),
        legs=every("legs"),
        plugins=every("plugins"),
        routing=first("routing") or (),
        operations=tuple(sorted(every("operations"), key=lambda operation: operation.at)),
        recordings=every("recordings"),
        blob=first("blob"),
        resources={side: body for part in parts for side, body in part.resources.items()},
        join=first("join"),
        notifications={
            name: sum(part.notifications.get(name, 0) for part in parts)
            for part in parts
            for name in part.notifications
        },
        actions=tuple(dict.fromkeys(every("actions"))),
    )


def _merge_bots(known: BotView, other: BotView) -> BotView:
    return known.model_copy(
        update={
            "description": known.description or other.description,
            "can_be_called": known.can_be_called or other.can_be_called,
            "can_call": known.can_call or other.can_call,
            "can_join": known.can_join or other.can_join,
        }
    )
