"""Hosts beside each other: takeover, drain, and one that stood still. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mixminus.control.store.host_base import Inbound, InstanceInUseError
from tests.fleet_kit import Node, call_row, eventually, fleet, instance_row
from tests.host_kit import TENANT
from tests.virtual_time import run_virtually

TAKEOVER_S = 15.0


def test_dead_hosts_calls_are_taken_over_in_time_and_shared() -> None:
    async def run() -> None:
        async with fleet() as world:
            rows = [call_row(f"l{number}", owner="dead") for number in range(40)]
            world.has(*rows)
            world.dead("dead")
            b, c = await world.start("b"), await world.start("c")
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await eventually(lambda: len(b.calls) + len(c.calls) == 40)
            assert loop.time() - began_s <= TAKEOVER_S
            assert min(len(b.calls), len(c.calls)) >= 10
            owners = {row.lineage: row.owner for row in world.tables.calls.values()}
            for node in (b, c):
                assert all(owners[str(call.lineage)] == node.name for call in node.calls)
            assert set(world.cloud.known) == {call.id for call in (*b.calls, *c.calls)}
            assert all(row.epoch == 2 for row in world.tables.calls.values())

    run_virtually(run())


def test_nobody_takes_over_from_a_host_that_beats() -> None:
    async def run() -> None:
        async with fleet() as world:
            a, b = await world.start("a"), await world.start("b")
            world.has(call_row())
            world.has(call_row("l2", owner="b"))
            await asyncio.sleep(0.2)
            a.fleet.takeover._start(world.row())  # As after a restart.
            b.fleet.takeover._start(world.row("l2"))
            await eventually(lambda: len(a.calls) == len(b.calls) == 1)
            await asyncio.sleep(120)
            assert [row.epoch for row in world.tables.calls.values()] == [2, 2]
            assert (a.fleet.takeover.taken, b.fleet.takeover.taken) == (0, 0)

    run_virtually(run())


def test_rows_of_a_host_that_nobody_knows_are_taken_in_the_end() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row(owner="long gone"))
            node = await world.start("a")
            await eventually(lambda: len(node.calls) == 1)
            assert world.row().owner == "a"

    run_virtually(run())


def test_incoming_call_given_to_a_host_that_died_is_taken_over() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.dead("dead")
            node = await world.start("a")
            resource = {
                "id": "new",
                "state": "incoming",
                "tenantId": TENANT,
                "source": {"identity": {"user": {"id": "u", "displayName": "Jane"}}},
            }
            body = {
                "changeType": "created",
                "resourceUrl": "/communications/calls/new",
                "resourceData": resource,
            }
            await node.store.receive([Inbound("m/0", "new", TENANT, body, to="dead")], "a")
            assert len(node.calls) == 0
            took_s = await eventually(lambda: len(node.calls) == 1)
            assert took_s <= TAKEOVER_S

    run_virtually(run())


def test_host_that_stood_still_lets_go_and_has_its_writes_refused() -> None:
    async def run() -> None:
        async with fleet() as world:
            a, b = await world.start("a"), await world.start("b")
            world.has(call_row())
            a.fleet.takeover._start(world.row())
            await eventually(lambda: len(a.calls) == 1)
            (old,) = a.calls
            a.freeze()
            await eventually(lambda: len(b.calls) == 1)
            assert world.row().owner == "b"
            await asyncio.sleep(45)
            # What the bot was about to ask for when it was frozen.
            hanging_up = asyncio.create_task(old.hang_up())
            await asyncio.sleep(0)
            a.thaw()
            assert not a.fence.is_open  # From the very first moment.
            await eventually(lambda: a.fence.is_open)
            assert old.is_over
            assert old.end_reason == "moved to b"
            await hanging_up
            (call,) = b.calls
            # Once, by the host that joined again: the stale one asked nothing of the service.
            assert world.cloud.deleted == ["old-l1", old.id]
            assert set(world.cloud.known) == {call.id}
            assert world.row().epoch == call.epoch

    run_virtually(run())


def test_store_that_is_away_ends_no_call_and_shuts_no_fence() -> None:
    async def run() -> None:
        async with fleet() as world:
            a, b = await world.start("a"), await world.start("b")
            world.has(call_row())
            a.fleet.takeover._start(world.row())
            await eventually(lambda: len(a.calls) == 1)
            for node in (a, b):
                node.store.is_away = True
            await asyncio.sleep(300)
            assert a.fence.is_open
            assert a.fleet.beating.is_away
            for node in (a, b):
                node.store.is_away = False
            await asyncio.sleep(30)
            assert a.fleet.beating.beats > 0
            assert world.row().owner == "a"  # Nobody was held for dead for the store's sake.
            assert (len(a.calls), len(b.calls)) == (1, 0)

    run_virtually(run())


def test_fence_stays_shut_while_the_store_is_away_and_opens_with_it() -> None:
    async def run() -> None:
        async with fleet() as world:
            a = await world.start("a")
            a.freeze()
            await asyncio.sleep(20)
            a.thaw()
            a.store.is_away = True
            assert not a.fence.is_open
            await asyncio.sleep(60)
            assert not a.fence.is_open
            a.store.is_away = False
            took_s = await eventually(lambda: a.fence.is_open)
            assert took_s <= 1.0

    run_virtually(run())


def test_drained_hosts_calls_move_and_nothing_is_hung_up() -> None:
    async def run() -> None:
        async with fleet() as world:
            a, b = await world.start("a"), await world.start("b")
            world.has(call_row())
            world.has(call_row("l2", media="service", joining={"kind": "create", "body": {}}))
            world.has(call_row("l3", joining={"kind": "create", "body": {}}), at_service=False)
            for lineage in ("l1", "l2"):
                a.fleet.takeover._start(world.row(lineage))
            await eventually(lambda: len(a.calls) == 2)
            await asyncio.sleep(2)
            ids = {call.lineage: call for call in a.calls}
            a.admission.drain()
            took_s = await eventually(lambda: len(a.calls) == 0)
            assert took_s <= 20.0
            assert {world.row(lineage).owner for lineage in ("l1", "l2")} == {"b"}
            assert a.fleet.moving.moved == 2
            assert ids["l2"].end_reason == "moved to b"
            assert "old-l2" in world.cloud.known  # Under its id, at the other host.
            assert {call.lineage for call in b.calls} == {"l1", "l2"}
            assert world.cloud.deleted.count("old-l2") == 0
            assert set(world.cloud.known) == {call.id for call in b.calls}

    run_virtually(run())


def test_drained_host_that_is_alone_keeps_its_calls() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())
            a = await world.start("a")
            (call,) = a.calls
            a.admission.drain()
            await asyncio.sleep(60)
            assert list(a.calls) == [call]
            assert (world.row().owner, world.row().epoch) == ("a", 2)

    run_virtually(run())


def test_call_that_nobody_takes_is_taken_back() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())
            a = await world.start("a")
            # Somebody who beats, and takes nothing: he may be starting, or have lost the service.
            world.tables.instances["idle"] = instance_row("idle")
            (call,) = a.calls
            a.admission.drain()
            await eventually(lambda: world.row().owner is None)
            await eventually(lambda: world.row().owner == "a")
            assert list(a.calls) == [call]
            await call.save_state("still mine")
            assert world.row().saved_state == "still mine"
            assert call.epoch == world.row().epoch > 2

    run_virtually(run())


def test_new_calls_go_to_the_emptier_host_and_are_answered() -> None:
    async def run() -> None:
        async with fleet() as world:
            a, b = await world.start("a", capacity_calls=1), await world.start("b")
            world.has(call_row())
            a.fleet.takeover._start(world.row())
            await asyncio.sleep(10)
            assert a.fleet.place() == "b"
            answer = await a.fleet.ask("b", {"user": "John"})
            assert answer == {"call": {"callId": "made", "user": "John"}}
            assert b.made == [{"user": "John"}]

    run_virtually(run())


def test_host_that_takes_no_requests_leaves_the_call_to_who_asked() -> None:
    async def run() -> None:
        async with fleet() as world:
            a = await world.start("a")
            world.tables.instances["idle"] = instance_row("idle")
            assert await a.fleet.ask("idle", {"user": "John"}) is None
            assert world.tables.requests == {}  # Withdrawn: it is not made twice.

    run_virtually(run())


def test_one_of_those_who_are_left_says_where_incoming_calls_are_told_now() -> None:
    async def run() -> None:
        async with fleet() as world:
            told: list[str] = []
            nodes = {name: await world.start(name) for name in "abc"}
            await asyncio.sleep(2)

            def teller(name: str) -> Callable[[], Awaitable[None]]:
                async def tell() -> None:
                    told.append(name)

                return tell

            for name, node in nodes.items():
                node.fleet.on_fewer = teller(name)
            await asyncio.sleep(60)
            assert told == []  # Nobody is gone.
            nodes["a"].admission.drain()
            await asyncio.sleep(5)
            assert len(told) == 1
            assert told[0] in "bc"

    run_virtually(run())


def test_name_taken_by_another_process_stops_this_one() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())
            a = await world.start("a")
            (call,) = a.calls
            deleted = list(world.cloud.deleted)
            world.tables.instances["a"] = instance_row("a", incarnation="another")
            with pytest.raises(InstanceInUseError, match="another process is a now"):
                async with asyncio.timeout(10):
                    await a.fleet.wait_failed()
            assert call.is_over
            assert not a.fence.is_open
            assert world.cloud.deleted == deleted

    run_virtually(run())


def test_who_leaves_is_gone_from_the_store() -> None:
    async def run() -> None:
        async with fleet() as world:
            async with Node("a", world.tables, world.cloud):
                assert set(world.tables.instances) == {"a"}
            assert world.tables.instances == {}

    run_virtually(run())


def test_fleet_tells_owners_and_what_does_not_agree() -> None:
    async def run() -> None:
        async with fleet() as world:
            world.has(call_row())
            a = await world.start("a")
            told = await a.fleet.describe()
            (call,) = told["calls"]
            assert (call["owner"], call["epoch"], call["callId"]) == ("a", 2, world.row().call_id)
            (one,) = told["instances"]
            assert (one["instance"], one["rows"], one["isAlive"]) == ("a", 1, True)
            same = await a.fleet.reconcile()
            assert (same["differences"], same["unanswered"]) == ([], [])
            assert (same["service"], same["store"], same["engine"]) == (1, 1, 1)
            world.cloud.known.clear()
            found = (await a.fleet.reconcile())["differences"]
            assert {one["difference"] for one in found} == {
                "in the store, and not at the service",
                "in this process, and not at the service",
            }

    run_virtually(run())
