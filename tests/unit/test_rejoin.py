"""Calls of before: joined again, resumed, rung again or closed. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mixminus.control.client.requests import GraphConnectionError, GraphRequestError
from mixminus.control.host.rejoin import JOINING, REFUSED_FOR_S, Outcome, is_final
from tests.fleet_kit import MEETING, Node, call_row, eventually, fleet
from tests.virtual_time import run_virtually


def test_start_joins_a_meeting_again_with_new_media_and_ends_the_old_leg() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(saved_state={"turn": 3}))
            node = await world.start("a")
            (call,) = node.calls
            row = world.row()
            assert (row.owner, row.epoch, row.call_id) == ("a", 2, call.id)
            assert call.id != "old-l1"
            assert (call.lineage, call.epoch, call.is_rejoined) == ("l1", 2, True)
            (body,) = world.cloud.created
            assert body["meetingInfo"] == MEETING["meetingInfo"]
            assert body["chatInfo"] == MEETING["chatInfo"]
            assert body["callbackUri"] == "https://a.test/api/calls/a/l1"
            assert world.cloud.epochs["l1"] == 2
            assert "old-l1" not in world.cloud.known
            assert set(world.cloud.known) == {call.id}
            await eventually(lambda: node.back == [call])
            assert call.saved_state == {"turn": 3}
            assert node.new == []  # on_rejoined in the place of on_call.
            assert row.reason is None
            assert node.fleet.rejoin.outcomes[Outcome.JOINED] == 1

    run_virtually(run())


def test_start_goes_on_with_service_hosted_media_under_the_same_id() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(media="service", joining={"kind": "create", "body": {}}))
            node = await world.start("a")
            (call,) = node.calls
            assert (call.id, world.row().epoch, call.is_rejoined) == ("old-l1", 2, True)
            assert world.cloud.created == []
            assert world.cloud.deleted == []
            await eventually(lambda: node.back == [call])

    run_virtually(run())


def test_call_that_is_gone_is_closed_and_the_bot_hears_nothing() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(), at_service=False)
            world.has(call_row("l2"))
            world.cloud.known["old-l2"]["state"] = "terminated"
            node = await world.start("a")
            assert len(node.calls) == 0
            for lineage in ("l1", "l2"):
                assert world.row(lineage).is_over
                assert world.row(lineage).reason == "over at the service"
            assert node.back == []

    run_virtually(run())


def test_call_of_two_is_ended_for_nobody_can_give_it_other_media() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(joining={"kind": "create", "body": {}}))
            node = await world.start("a")
            assert world.cloud.deleted == ["old-l1"]
            assert world.row().is_over
            assert "call of two" in str(world.row().reason)
            assert len(node.calls) == 0

    run_virtually(run())


def test_meeting_that_only_the_service_knows_of_is_joined() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(joining={"kind": "incoming", "body": {}}), told=MEETING)
            node = await world.start("a")
            assert len(node.calls) == 1
            assert world.cloud.created[0]["meetingInfo"] == MEETING["meetingInfo"]

    run_virtually(run())


def test_call_that_nobody_had_answered_rings_again() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(state="incoming", media="service", joining={"kind": "incoming"}))
            asked: list[str] = []
            node = Node("a", world.tables, world.cloud)

            @node.bot.on_incoming_call
            async def on_incoming_call(call: Any) -> None:
                asked.append(call.id)

            async with node:
                await eventually(lambda: asked == ["old-l1"])
                assert not next(iter(node.calls)).is_rejoined

    run_virtually(run())


def test_creation_that_was_never_answered_is_closed_after_a_minute() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(call_id=None), at_service=False)
            await world.start("a")
            assert not world.row().is_over
            took_s = await eventually(lambda: world.row().is_over, 120.0)
            assert 45.0 <= took_s <= 61.0
            assert "never answered" in str(world.row().reason)

    run_virtually(run())


def test_creation_whose_call_is_told_of_after_all_comes_back() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(call_id=None, epoch=1), at_service=False)
            world.cloud.has(call_row())  # The service had taken it on, for the dead process.
            node = await world.start("a")
            info = await world.cloud.get("old-l1")
            assert info is not None
            assert node.calls.on_found is not None
            await eventually(lambda: node.fleet.rejoin.awaited == {"l1"})
            node.calls.on_found(world.row(), info)
            await eventually(lambda: len(node.calls) == 1)
            assert world.row().call_id == next(iter(node.calls)).id
            assert list(world.cloud.known) == [world.row().call_id]

    run_virtually(run())


def test_service_that_is_away_at_the_start_is_tried_until_it_answers() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())
            world.cloud.fail = GraphConnectionError("away")
            node = await world.start("a")  # It does not wait for ever.
            assert len(node.calls) == 0
            await asyncio.sleep(60)
            assert not world.row().is_over
            world.cloud.fail = None
            took_s = await eventually(lambda: len(node.calls) == 1)
            assert took_s <= 5.5

    run_virtually(run())


def test_lost_answer_to_the_join_leaves_one_leg_and_no_ghost() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())

            original = world.cloud.post
            answers = iter([True, False])

            async def post(body: Any) -> Any:
                info = await original(body)
                if next(answers):
                    raise GraphConnectionError("the answer was lost")
                return info

            world.cloud.post = post  # type: ignore[method-assign]
            node = await world.start("a")
            await eventually(lambda: len(node.calls) == 1)
            (call,) = node.calls
            assert set(world.cloud.known) == {call.id}  # The one that was not heard of has ended.
            assert world.row().epoch == 3
            assert world.cloud.epochs["l1"] == 3

    run_virtually(run())


def test_death_in_the_middle_of_a_rejoin_is_gone_on_with() -> None:
    async def run() -> None:
        async with fleet() as world:
            # The join had gone through, which ended the old leg; the answer died with the host.
            world.has(call_row(epoch=2, reason=JOINING), at_service=False)
            world.cloud.epochs["l1"] = 2
            world.cloud.legs["l1"] = "unheard"
            world.cloud.known["unheard"] = {"id": "unheard", "state": "established"}
            node = await world.start("a")
            (call,) = node.calls
            assert set(world.cloud.known) == {call.id}
            assert world.row().reason is None
            assert not world.row().is_over

    run_virtually(run())


def test_join_that_is_refused_for_good_ends_the_old_leg() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())

            async def post(body: Any) -> Any:
                raise GraphRequestError(403, "7505", "not in this meeting")

            world.cloud.post = post  # type: ignore[method-assign]
            await world.start("a")
            assert world.cloud.deleted == ["old-l1"]
            assert world.row().is_over
            assert "not in this meeting" in str(world.row().reason)

    run_virtually(run())


@pytest.mark.parametrize(
    ("error", "after_s", "is_it"),
    [
        (GraphRequestError(403, "", ""), 0.0, True),
        (GraphRequestError(429, "", ""), 0.0, False),
        (GraphRequestError(409, "staleEpoch", ""), 0.0, False),
        (GraphRequestError(409, "", ""), REFUSED_FOR_S + 1, True),
        (GraphRequestError(503, "", ""), 1e6, False),
        (GraphConnectionError("away"), 1e6, False),
    ],
)
def test_only_a_word_of_the_service_is_final(error: Any, after_s: Any, is_it: Any) -> None:
    assert is_final(error, after_s=after_s) is is_it
