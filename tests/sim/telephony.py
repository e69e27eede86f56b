"""A call service's side of a simulation: lives of calls, written and told as the real one does.

The state machine, the store and the notifier are the service's own; who calls whom, and when each
call does what, comes from a seed. The bot host's Graph requests are answered here, without sockets.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from mixminus.control import call_state as cs
from mixminus.control.graph.enums import CallState, ChangeType
from mixminus.control.graph.notifications import Notification, normal_id
from mixminus.control.service.rows import call_bodies, changed_row, other_bodies
from mixminus.control.store.base import CallRow, Store

TENANT = "aa67bd4c-8475-432d-bd41-39f255720e0a"
APP = "2891555a-92ff-42e6-80fa-6e1300c6b5c6"
JOHN = "112f7296-5fa4-42ca-bae8-6a692b15d4b8"
ANSWER_S = 120.0
"""Longer than the documented 15 s: mail that is lost may not decide whether a call is answered."""
RECEIVERS = 16
ROOT = "/v1.0/communications/calls"

Json = dict[str, Any]


@dataclass
class Life:
    """One call as its service knows it, and every notification of it in the order of writing."""

    row: CallRow
    call: cs.Call
    tones: int
    talk_s: float
    told: list[str] = field(default_factory=list)
    people: int = 1
    said_tones: int = 0
    ended_at_s: float | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def shown(self) -> Json:
        return dict(self.row.resource)

    def participants(self) -> list[Json]:
        user = {"user": {"id": JOHN, "displayName": "John"}}
        return [
            {
                "@odata.type": "#microsoft.graph.participant",
                "id": f"{self.row.call_id}-{number}",
                "info": {"identity": user},
                "isMuted": number % 2 == 1,
                "isInLobby": False,
            }
            for number in range(self.people)
        ]


class Telephony:
    """All calls of a run: ``lives`` is the sender's journal."""

    def __init__(
        self, store: Store, wake: Callable[[str], None], callback_uri: str, chance: random.Random
    ) -> None:
        self._store, self._wake, self._callback_uri = store, wake, callback_uri
        self._chance = chance
        self._acting: set[asyncio.Task[None]] = set()
        self.lives: dict[str, Life] = {}
        self.asked: dict[str, int] = {}

    async def ring(self) -> str:
        """Let a call come in; return its id."""
        life = self._life("incoming")
        life.call, effects = cs.Call.receive(life.row.call_id)
        await self._write(life, effects)
        self._spawn(self._give_up(life))
        return life.row.call_id

    async def settle(self) -> None:
        """Wait until every call is over."""
        while self._acting:
            await asyncio.gather(*self._acting)

    # What a bot host asks.

    async def answer_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request of the Graph API."""
        parts = request.url.path.removeprefix(ROOT).strip("/").split("/")
        verb = " ".join((request.method, *parts[1:]))
        self.asked[verb] = self.asked.get(verb, 0) + 1
        if parts == [""]:
            return httpx2.Response(201, json=await self._create(json.loads(request.content)))
        life = self.lives.get(normal_id(parts[0]))
        if life is None or life.call.is_over:
            error = {"code": "8527", "message": "Call not found."}
            return httpx2.Response(404, json={"error": error})
        match verb:
            case "GET":
                return httpx2.Response(200, json=life.shown())
            case "GET participants":
                return httpx2.Response(200, json={"value": life.participants()})
            case "POST answer":
                self._spawn(self._connect(life))
                return httpx2.Response(202)
            case "DELETE":
                await self._end(life, cs.BOT_HUNG_UP)
                return httpx2.Response(204)
            case "POST keepAlive":
                return httpx2.Response(200)
        return httpx2.Response(400, json={"error": {"code": "UnknownError", "message": verb}})

    async def _create(self, body: Json) -> Json:
        life = self._life("outgoing")
        life.row.resource["targets"] = body["targets"]
        life.call, effects = cs.Call.create(life.row.call_id)
        await self._write(life, effects)
        self._spawn(self._connect(life))
        return life.shown()

    # How calls go.

    def _life(self, direction: str) -> Life:
        call_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        state = "incoming" if direction == "incoming" else "establishing"
        john = {"user": {"id": JOHN, "displayName": "John", "tenantId": TENANT}}
        # Of as many receivers as a fleet has: one alone has so many connections and no more.
        uri = self._callback_uri.format(number=len(self.lives) % RECEIVERS)
        resource = {
            "@odata.type": "#microsoft.graph.call",
            "id": call_id,
            "callChainId": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            "state": state,
            "direction": direction,
            "callbackUri": uri,
            "source": {"identity": john},
            "targets": [{"identity": {"application": {"id": APP, "displayName": "bot"}}}],
            "requestedModalities": ["audio"],
            "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
            "tenantId": TENANT,
            "resultInfo": None,
        }
        row = CallRow(call_id, APP, TENANT, uri, state, False, resource)
        chance = self._chance
        life = Life(row, cs.Call(call_id), chance.randrange(4), chance.uniform(5.0, 150.0))
        self.lives[normal_id(call_id)] = life
        return life

    async def _connect(self, life: Life) -> None:
        """Answered by both sides: the call stands, things happen in it, it ends."""
        if life.call.setup is cs.Setup.BOT:
            await self._apply(life, cs.BotAnswered())
        await self._apply(life, cs.MediaReady())
        await asyncio.sleep(self._chance.uniform(0.0, 5.0))
        await self._apply(life, cs.Reached())
        await self._apply(life, cs.MediaFlows())
        happenings = ["tone"] * life.tones + ["people"] + ["hold"] * self._chance.randrange(2)
        self._chance.shuffle(happenings)
        for what in happenings:
            await asyncio.sleep(life.talk_s / len(happenings) * self._chance.random() * 2)
            await self._happen(life, what)
        await self._end(life, cs.CALLEE_LEFT)

    async def _happen(self, life: Life, what: str) -> None:
        if what == "hold":
            await self._apply(life, cs.Held())
            await asyncio.sleep(self._chance.uniform(0.0, 3.0))
            await self._apply(life, cs.Resumed())
            return
        async with life.turn:
            if not life.call.is_established:
                return
            if what == "people":
                life.people += 1
                path = (life.row.call_id, "participants")
                told = Notification(ChangeType.UPDATED, path, life.participants())
            else:
                life.said_tones += 1
                tone = {"sequenceId": life.said_tones, "tone": f"tone{life.said_tones % 10}"}
                data = {
                    "@odata.type": "#microsoft.graph.call",
                    "state": life.call.state.value,
                    "toneInfo": {"@odata.type": "#microsoft.graph.toneInfo", **tone},
                    "id": life.row.call_id,
                }
                told = Notification(ChangeType.UPDATED, (life.row.call_id,), data)
            await self._save(life, other_bodies(life.row, [told]))

    async def _give_up(self, life: Life) -> None:
        await asyncio.sleep(ANSWER_S)
        if life.call.state is CallState.INCOMING:
            await self._end(life, cs.BOT_SILENT)

    async def _end(self, life: Life, result: cs.ResultInfo) -> None:
        await self._apply(life, cs.Ended(result), cs.TornDown())

    async def _apply(self, life: Life, *events: cs.Event) -> None:
        async with life.turn:
            for event in events:
                life.call, effects = life.call.apply(event)
                if effects:
                    await self._write_in_turn(life, effects)

    async def _write(self, life: Life, effects: cs.Effects) -> None:
        async with life.turn:
            await self._write_in_turn(life, effects)

    async def _write_in_turn(self, life: Life, effects: cs.Effects) -> None:
        life.row = changed_row(life.row, life.call)
        await self._save(life, call_bodies(life.row, effects))

    async def _save(self, life: Life, bodies: list[str]) -> None:
        await self._store.save_call(life.row, bodies)
        life.told += bodies
        if life.row.is_over and life.ended_at_s is None:
            life.ended_at_s = asyncio.get_running_loop().time()
        self._wake(life.row.call_id)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)
