"""A host lives and loses a call's media link alone: it joins again, or hangs up. Virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from mixminus.control.client.requests import GraphConnectionError
from mixminus.control.host.link_loss import JOINED_AGAIN
from mixminus.control.host.rejoin import Outcome
from tests.fleet_kit import Fleet, Node, call_row, eventually, fleet
from tests.session_kit import FakeTransport
from tests.virtual_time import run_virtually

TWO: dict[str, Any] = {"kind": "create", "body": {}, "inDefaultMix": True}


def lose_link(call: Any) -> None:
    """Have the link of *call* stand, and then be lost."""
    transport = FakeTransport()
    call.session.attach(transport)
    transport.closed.set_result("nothing came for 5 s")


async def joined(world: Fleet) -> tuple[Node, Any]:
    """Return a host, and its call in a meeting, which is in its second epoch."""
    world.has(call_row(saved_state={"turn": 3}))
    node = await world.start("a")
    (call,) = node.calls
    await eventually(lambda: node.back == [call])
    return node, call


def test_call_in_a_meeting_is_joined_again_with_what_the_bot_saved() -> None:
    async def run() -> None:
        async with fleet() as world:
            node, call = await joined(world)
            await call.save_state({"turn": 4})
            lose_link(call)
            await eventually(lambda: len(node.back) == 2)
            (again,) = node.calls
            assert node.back[1] is again is not call
            assert (call.is_over, call.end_reason) == (True, JOINED_AGAIN)
            assert (again.lineage, again.epoch, again.is_rejoined) == ("l1", 3, True)
            assert again.saved_state == {"turn": 4}
            row = world.row()
            assert (row.owner, row.epoch, row.call_id, row.is_over) == ("a", 3, again.id, False)
            # The old leg is asked to go: a service without epochs would keep it.
            await eventually(lambda: call.id in world.cloud.deleted)
            assert set(world.cloud.known) == {again.id}
            assert not node.calls.is_left(call.id)
            assert node.fleet.rejoin.outcomes[Outcome.JOINED] == 2
            assert len(node.calls._sessions) == 1
            lose_link(again)
            await eventually(lambda: len(node.back) == 3)
            assert world.row().epoch == 4

    run_virtually(run())


@pytest.mark.parametrize("why", ["away", "gone", "store", "stopping"])
def test_call_that_cannot_be_joined_again_is_hung_up(why: str) -> None:
    async def run() -> None:
        async with fleet() as world:
            node, call = await joined(world)
            if why == "away":
                world.cloud.fail = GraphConnectionError("no route to the service")
            elif why == "gone":
                world.cloud.known[call.id]["state"] = "terminated"
            elif why == "store":
                node.store.is_away = True
                call.keep.note(reason="not written yet")
            else:
                await node.fleet.stop_taking()
            lose_link(call)
            await eventually(lambda: call.is_over)
            assert call.end_reason == "hung up by the bot host"
            assert len(node.back) == 1
            assert len(world.cloud.created) == 1
            if why == "store":
                node.store.is_away = False
            await eventually(lambda: world.row().is_over)
            assert len(node.calls) == 0

    run_virtually(run())


def test_call_of_two_is_hung_up() -> None:
    async def run() -> None:
        async with fleet() as world:
            _, call = await joined(world)
            call.keep.note(joining=TWO, resource={})
            lose_link(call)
            await eventually(lambda: call.is_over)
            assert world.cloud.deleted[-1] == call.id
            assert len(world.cloud.created) == 1

    run_virtually(run())
