"""The live feed: what changes, told to every page that looks on, five times a second at most."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from .addresses import detail_with_addresses
from .guard import client_address, cookie
from .journals import Journals
from .merge import Sources, find_row
from .models import CallRow, Engine
from .sign_in import (
    SESSION_COOKIE,
    NotSignedInError,
    SignedIn,
    SignIns,
    TooManyTriesError,
)
from .source import ConsoleRefusedError
from .watcher import Hello, Watcher, read_message

log = logging.getLogger("mixminus.control.console")

TICK_S: Final = 0.2
"""How often levels are told: with a page that draws at once they are at most 250 ms old."""
SECOND_TICKS: Final = 5
HURRY_TICKS: Final = 2
"""How soon after something happened rows and the shown call are looked at again."""
HISTORY_S: Final = 120
HELLO_S: Final = 5.0
MOST_WATCHERS: Final = 32
FIRST_EVENTS: Final = 100

NOT_SIGNED_IN, BAD_MESSAGE, NO_HELLO, TOO_MANY_TRIES, TOO_MANY = 4401, 4400, 4408, 4429, 4503
INTERNAL: Final = 1011
GOING: Final = 1012


class Live:
    """Looks at the sources while somebody looks on, and at the engine once a second always.

    Thread: the loop's.
    """

    def __init__(self, sources: Sources, journals: Journals, sign_ins: SignIns) -> None:
        self.epoch = secrets.token_hex(8)
        """Another one after each start: numbers of an earlier one mean nothing then."""
        self.history: deque[Engine] = deque(maxlen=HISTORY_S)
        self._sources, self._journals, self._sign_ins = sources, journals, sign_ins
        self._watchers: set[Watcher] = set()
        self._rows: dict[str, CallRow] = {}
        self._texts: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._came = asyncio.Event()
        self._happened = False
        journals.listen(self._on_entry)

    @property
    def watchers(self) -> int:
        """How many pages look on."""
        return len(self._watchers)

    def start(self) -> None:
        """Begin to look. Again is no error."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="console live feed")

    async def stop(self) -> None:
        """Look no more; whoever still looks on is sent away. Again is no error."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for watcher in tuple(self._watchers):
            watcher.close(GOING, "the server stops")

    # ---- one page --------------------------------------------------------------------------------

    async def serve(self, websocket: WebSocket) -> None:
        """Serve a page's connection, from its hello to its end."""
        await websocket.accept()
        try:
            watcher = await self._welcome(websocket)
        except WebSocketDisconnect:
            return
        except TimeoutError:
            await websocket.close(NO_HELLO, "expected a hello")
            return
        except TooManyTriesError as error:
            await websocket.close(TOO_MANY_TRIES, error.message)
            return
        except NotSignedInError as error:
            await websocket.close(NOT_SIGNED_IN, _reason(error.message))
            return
        except ConsoleRefusedError as error:
            await _refuse(websocket, error)
            return
        if len(self._watchers) >= MOST_WATCHERS:
            await websocket.close(TOO_MANY, f"{MOST_WATCHERS} pages look on already")
            return
        self._snapshot(watcher)
        self._watchers.add(watcher)
        self._came.set()
        sending = asyncio.create_task(_send(websocket, watcher), name="console sender")
        receiving = asyncio.create_task(_receive(websocket, watcher), name="console receiver")
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watchers.discard(watcher)
            sending.cancel()
            receiving.cancel()
            ends = await asyncio.gather(sending, receiving, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _welcome(self, websocket: WebSocket) -> Watcher:
        """Return the watcher for whoever says hello as they should.

        Raises: TimeoutError, NotSignedInError, TooManyTriesError, ConsoleRefusedError,
                WebSocketDisconnect.
        """
        async with asyncio.timeout(HELLO_S):
            hello = read_message(await _receive_text(websocket))
        if not isinstance(hello, Hello):
            raise ConsoleRefusedError.invalid("type: expected hello first")
        who = self._who(websocket, hello)
        await websocket.send_text(
            json.dumps(
                {
                    "type": "ready",
                    "epoch": self.epoch,
                    "name": who.name,
                    "sides": self._sources.sides,
                }
            )
        )
        return Watcher(who, self._journals)

    def _who(self, websocket: WebSocket, hello: Hello) -> SignedIn:
        if hello.token is not None:
            return self._sign_ins.by_token(hello.token, client_address(websocket.scope))
        session_id = cookie(websocket.headers, SESSION_COOKIE)
        if session_id is None:
            raise NotSignedInError("expected a sign-in: the token that was printed at the start")
        return self._sign_ins.by_session(session_id)

    def _snapshot(self, watcher: Watcher) -> None:
        self._look_at_rows()
        engine = self._sources.engine()
        entries, _ = self._journals.since(0)
        texts = {
            "type": '"snapshot"',
            "calls": f"[{','.join(self._texts.values())}]",
            "engine": "null" if engine is None else _json(engine),
            "history": f"[{','.join(_json(sample) for sample in self.history)}]",
            "events": f"[{','.join(entry.json() for entry in entries[-FIRST_EVENTS:])}]",
            "seq": str(self._journals.seq),
        }
        members = ",".join(f'"{name}":{text}' for name, text in texts.items())
        watcher.begin(f"{{{members}}}", self._rows, self._journals.seq)

    # ---- all pages -------------------------------------------------------------------------------

    def _on_entry(self) -> None:
        self._happened = True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s, tick, looked = loop.time(), 0, 0
        while True:
            try:
                is_second = tick % SECOND_TICKS == 0
                is_hurried = self._happened and tick - looked >= HURRY_TICKS
                if is_second or is_hurried:
                    looked = tick
                self._tick(is_second=is_second, looks=is_second or is_hurried)
            except Exception:
                # A bug of ours or a source's: the pages see it and come back, the calls go on.
                log.exception("the console's live feed failed")
                for watcher in self._watchers:
                    watcher.close(INTERNAL, "the live feed failed: see the log")
            steps = 1 if self._watchers else SECOND_TICKS - tick % SECOND_TICKS
            tick += steps
            due_s += steps * TICK_S
            if due_s < loop.time():
                due_s = loop.time()  # The loop was held up: what is missed is missed.
            if await self._pause(loop, due_s):
                due_s, tick = loop.time(), tick + 1

    async def _pause(self, loop: asyncio.AbstractEventLoop, until_s: float) -> bool:
        """Wait until then; with nobody looking on, until somebody comes: say whether one did."""
        if self._watchers:
            await asyncio.sleep(until_s - loop.time())
            return False
        self._came.clear()
        try:
            async with asyncio.timeout_at(until_s):
                await self._came.wait()
        except TimeoutError:
            return False
        return True

    def _tick(self, *, is_second: bool, looks: bool) -> None:
        if is_second:
            engine = self._sources.engine()
            if engine is not None:
                self.history.append(engine)
                self._tell_engine(engine)
        if not self._watchers:
            return
        if is_second:
            self._expect_valid()
        if looks:
            self._happened = False
            self._look_at_rows()
            self._tell_details()
        self._tell_meters()
        for watcher in self._watchers:
            watcher.look()

    def _expect_valid(self) -> None:
        for watcher in self._watchers:
            try:
                self._sign_ins.expect_valid(watcher.who)
            except NotSignedInError as error:
                watcher.close(NOT_SIGNED_IN, _reason(error.message))

    def _tell_engine(self, engine: Engine) -> None:
        if self._watchers:
            text = f'{{"type":"engine","engine":{_json(engine)}}}'
            for watcher in self._watchers:
                watcher.engine(text)

    def _look_at_rows(self) -> None:
        """See which rows are new, changed or gone, and tell those who look on."""
        rows = {row.id: row for row in self._sources.rows()}
        before = self._rows
        changed = {row_id: _json(row) for row_id, row in rows.items() if before.get(row_id) != row}
        gone = before.keys() - rows.keys()
        self._rows = rows
        if not changed and not gone:
            return
        self._texts = {row_id: changed.get(row_id) or self._texts[row_id] for row_id in rows}
        for watcher in self._watchers:
            watcher.rows(changed, set(gone))

    def _tell_details(self) -> None:
        texts: dict[str, str] = {}
        for watcher in self._watchers:
            call_id = watcher.detail_id
            if call_id is None:
                continue
            if call_id not in texts:
                row = find_row(self._rows.values(), call_id)
                detail = None if row is None else self._sources.detail_of(row)
                shown = (
                    "null"
                    if detail is None
                    else _json(detail_with_addresses(detail, self._sign_ins))
                )
                texts[call_id] = f'{{"type":"detail","id":{json.dumps(call_id)},"call":{shown}}}'
            watcher.detail(texts[call_id])

    def _tell_meters(self) -> None:
        wanted = [watcher for watcher in self._watchers if watcher.calls is None or watcher.calls]
        if not wanted:
            return
        wants_all = any(watcher.calls is None for watcher in wanted)
        ids = None if wants_all else self._known_as(wanted)
        at_ms = time.time_ns() // 1_000_000
        levels = self._sources.meters(ids)
        whole = _meters(at_ms, levels) if wants_all else ""
        for watcher in wanted:
            watcher.meters(whole if watcher.calls is None else self._some(watcher, at_ms, levels))

    def _known_as(self, watchers: list[Watcher]) -> set[str]:
        """Return all ids of the watched calls, as each side may know them."""
        ids: set[str] = set()
        for watcher in watchers:
            ids |= watcher.calls or frozenset()
        for row in self._rows.values():
            own = {row.id, *row.call_ids}
            if own & ids:
                ids |= own
        return ids

    def _some(self, watcher: Watcher, at_ms: int, levels: dict[str, tuple[int, int]]) -> str:
        watched = watcher.calls or frozenset()
        legs = (
            leg
            for row in self._rows.values()
            if row.id in watched or not watched.isdisjoint(row.call_ids)
            for leg in row.legs
        )
        return _meters(at_ms, {leg: levels[leg] for leg in legs if leg in levels})


async def _send(websocket: WebSocket, watcher: Watcher) -> None:
    """Send what there is until the connection is to end; a slow reader holds up only itself."""
    while True:
        await watcher.wait()
        while watcher.end is None and (text := watcher.take()) is not None:
            await websocket.send_text(text)
        if watcher.end is not None:
            await websocket.close(*watcher.end)
            return


async def _receive(websocket: WebSocket, watcher: Watcher) -> None:
    """Take what the page sends until it goes, or sends what nobody understands."""
    try:
        while True:
            message = read_message(await _receive_text(websocket))
            if isinstance(message, Hello):
                raise ConsoleRefusedError.invalid("type: expected watch, got another hello")
            watcher.watch(message)
    except ConsoleRefusedError as error:
        await _refuse(websocket, error)


async def _receive_text(websocket: WebSocket) -> str:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text = message.get("text")
    if not isinstance(text, str):
        raise ConsoleRefusedError.invalid("expected text, got bytes")
    return text


async def _refuse(websocket: WebSocket, error: ConsoleRefusedError) -> None:
    body = {"type": "error", "error": {"code": error.code, "message": error.message}}
    try:
        await websocket.send_text(json.dumps(body))
        await websocket.close(BAD_MESSAGE, _reason(error.message))
    except (WebSocketDisconnect, RuntimeError):
        return  # It went away first.


def _reason(message: str) -> str:
    """Return what fits into a close frame: 123 bytes (RFC 6455 section 5.5)."""
    return message.encode()[:120].decode(errors="ignore")


def _meters(at_ms: int, levels: dict[str, tuple[int, int]]) -> str:
    legs = json.dumps(levels, separators=(",", ":"))
    return f'{{"type":"meters","at":{at_ms},"legs":{legs}}}'


def _json(model: Any) -> str:
    text: str = model.model_dump_json(by_alias=True)
    return text
