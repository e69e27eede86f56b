"""A person in two conversations of one call: neither is forgotten, however they are left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.callers import Callers
from mixminus.control.service.rooms import Room
from tests.contract.stage import Stage, staged
from tests.interop.test_group_calls import target
from tests.service_kit import GOOD_SDP, Phone, call_body, phone_of
from tests.support import eventually

CALLS = "/v1.0/communications/calls"


class Places:
    """John's device, which is in a group call and in what Bob was transferred into."""

    def __init__(self, stage: Stage, john: Phone, call_id: str) -> None:
        self.stage, self.john, self.call_id = stage, john, call_id

    @property
    def callers(self) -> Callers:
        found = self.stage.service.book._services.callers
        assert isinstance(found, Callers)
        return found

    @property
    def rooms(self) -> list[Room]:
        return list(self.stage.service.book._services.rooms)

    async def until(self, kind: str) -> dict[str, Any]:
        """Read until a message of that type comes, whatever else John is told."""
        while True:
            async with asyncio.timeout(5):
                message: dict[str, Any] = json.loads(await self.john.socket.recv())
            if message["type"] == kind:
                return message


@asynccontextmanager
async def places(stage: Stage, john: Phone) -> AsyncIterator[Places]:
    async with stage.person("Bob") as bob:
        people = {"targets": [target("John"), target("Bob")]}
        call_id = await stage.graph.created(call_body(stage.receiver.url, **people))
        both = Places(stage, john, call_id)
        await both.until("ring")
        await john.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await both.until("answered")
        await stage.told(call_id, "updated call established")
        await eventually(lambda: len(both.rooms[0].parties) == 3)
        asked = {"transferTarget": target("John"), "transferee": target("Bob")}
        reply = await stage.graph.http.post(f"{CALLS}/{call_id}/transfer", json=asked)
        assert reply.status_code == 202, reply.text
        await both.until("ring")
        await john.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await bob.told("moved")
        await stage.hang_up(call_id)
        kinds = sorted(room.conversation.kind for room in both.rooms)
        assert kinds == ["groupCall", "peerToPeer"]
        assert len(both.callers) == 3
        yield both
        await eventually(lambda: not both.rooms and not len(both.callers))


async def test_who_hangs_up_leaves_the_later_conversation_and_then_the_other(
    tmp_path: Path,
) -> None:
    async with (
        staged(tmp_path) as stage,
        phone_of(stage.dev) as john,
        places(stage, john) as both,
    ):
        await john.send(type="hangup", callId=both.call_id)
        await eventually(lambda: [r.conversation.kind for r in both.rooms] == ["groupCall"])
        assert len(both.callers) == 1
        await john.send(type="hangup", callId=both.call_id)


async def test_a_device_that_is_lost_is_waited_for_in_both(tmp_path: Path) -> None:
    async with (
        staged(tmp_path, caller_grace_s=0.05) as stage,
        phone_of(stage.dev) as john,
        places(stage, john),
    ):
        await john.socket.close()


@pytest.mark.slow
async def test_another_device_leaves_the_conversation_that_it_is_in(tmp_path: Path) -> None:
    async with (
        staged(tmp_path) as stage,
        phone_of(stage.dev) as john,
        places(stage, john) as both,
        phone_of(stage.dev) as other,
    ):
        await other.send(type="reoffer", callId=both.call_id, sdp=GOOD_SDP)
        assert (await other.expect("reanswered"))["callId"] == both.call_id
        # The later one is the other device's now; this one is in the group call still.
        await john.send(type="hangup", callId=both.call_id)
        await eventually(lambda: [r.conversation.kind for r in both.rooms] == ["peerToPeer"])
        await other.send(type="hangup", callId=both.call_id)
