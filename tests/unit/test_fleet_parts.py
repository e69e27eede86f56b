"""The parts of a fleet that need no store: who lives, who gets a call, what may be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from mixminus.control.client.requests import GraphConnectionError
from mixminus.control.host.fleet.gate import LONGEST_WAIT_S, GraphGate, call_id_of
from mixminus.control.host.fleet.placement import Placement, preferred, takes_calls
from mixminus.control.host.fleet.reconcile import EngineCall, differences
from mixminus.control.host.fleet.watching import DEAD_AFTER_S, BeatWatch
from mixminus.media.fence import Fence
from tests.fleet_kit import call_row, instance_row
from tests.virtual_time import run_virtually


def test_instance_is_dead_once_its_beat_stood_still_for_ten_seconds() -> None:
    watch = BeatWatch("a")
    for second in range(11):
        watch.observe([instance_row("a", beat=1), instance_row("b", beat=7)], float(second))
        assert watch.is_dead("b") is (second >= DEAD_AFTER_S)
    assert watch.dead == {"b"}  # And not a, whose beat stood still as well: it is we.
    assert [row.instance for row in watch.living] == ["a"]


def test_instance_that_beats_again_lives() -> None:
    watch = BeatWatch("a")
    for second in range(20):
        watch.observe([instance_row("b", beat=7)], float(second))
    watch.observe([instance_row("b", beat=8)], 20.0)
    assert not watch.dead
    assert watch.still_s("b") == 0.0


def test_instance_that_started_anew_with_the_same_beat_lives() -> None:
    watch = BeatWatch("a")
    for second in range(20):
        watch.observe([instance_row("b", beat=0)], float(second))
    watch.observe([instance_row("b", beat=0, incarnation="2")], 20.0)
    assert not watch.dead


def test_who_looked_away_for_an_hour_holds_nobody_for_dead() -> None:
    # Frozen, or without a store: the others may have been, too.
    watch = BeatWatch("a")
    watch.observe([instance_row("b", beat=7)], 0.0)
    watch.observe([instance_row("b", beat=7)], 3600.0)
    assert not watch.dead
    assert watch.still_s("b") <= 2.0


def test_clock_that_goes_back_makes_nobody_younger() -> None:
    watch = BeatWatch("a")
    for now_s in (0.0, 2.0, 4.0, 6.0, 8.0, 1.0, 3.0):
        watch.observe([instance_row("b", beat=7)], now_s)
    assert watch.still_s("b") == 10.0


def test_call_goes_to_who_has_least_for_its_size() -> None:
    placement = Placement()
    placement.update(
        [
            instance_row("a", calls=10, capacity=100),
            instance_row("b", calls=5, capacity=20),
            instance_row("c", calls=12, capacity=200),
        ]
    )
    assert placement.choose("a") == "c"


def test_load_decides_among_equals_and_the_own_host_before_others() -> None:
    placement = Placement()
    placement.update([instance_row("a", load=0.5), instance_row("b", load=0.1)])
    assert placement.choose("a") == "a"  # No call is sent away for nothing.
    placement = Placement()
    placement.update([instance_row("x", load=0.5), instance_row("b", load=0.1)])
    assert placement.choose("a") == "b"


def test_burst_of_calls_is_spread_before_anybody_beats() -> None:
    placement = Placement()
    placement.update([instance_row("a"), instance_row("b"), instance_row("c")])
    chosen = [placement.choose("a") for _ in range(30)]
    assert [chosen.count(name) for name in "abc"] == [10, 10, 10]


@pytest.mark.parametrize("unfit", [{"is_draining": True}, {"load": 1.0}, {"calls": 100}], ids=str)
def test_nothing_goes_to_who_takes_nothing(unfit: Any) -> None:
    placement = Placement()
    placement.update([instance_row("a", calls=50), instance_row("b", **unfit)])
    assert not takes_calls(instance_row("b", **unfit))
    assert placement.choose("a") == "a"
    assert placement.takers("a") == ()


def test_who_drains_sends_calls_away_and_keeps_them_when_nobody_is_there() -> None:
    placement = Placement()
    placement.update([instance_row("a", is_draining=True), instance_row("b", calls=99)])
    assert placement.choose("a") == "b"
    assert placement.choose("a") == "a"  # b is full with that.


def test_capacity_is_never_given_twice_until_a_new_beat() -> None:
    placement = Placement()
    rows = [instance_row("a", is_draining=True), instance_row("b", capacity=2, beat=1)]
    placement.update(rows)
    assert [placement.choose("a") for _ in range(3)] == ["b", "b", "a"]
    placement.update(rows)  # The same beat: what was given is not counted in it.
    assert placement.choose("a") == "a"
    placement.update([rows[0], instance_row("b", capacity=2, calls=1, beat=2)])
    assert placement.choose("a") == "b"


def test_dead_hosts_calls_are_spread_and_all_agree_who_is_first() -> None:
    lineages = [f"call-{number}" for number in range(300)]
    first = [preferred(lineage, ["a", "b", "c"]) for lineage in lineages]
    assert first == [preferred(lineage, ["c", "a", "b"]) for lineage in lineages]
    assert all(70 <= first.count(name) <= 130 for name in "abc")
    assert preferred("x", []) is None


@pytest.mark.parametrize(
    ("url", "call_id"),
    [
        ("https://g.test/v1.0/communications/calls/abc/playPrompt", "abc"),
        ("https://g.test/v1.0/communications/calls/a%2Fc", "a/c"),
        ("https://g.test/v1.0/communications/calls", None),
        ("https://g.test/v1.0/communications/calls/", None),
        ("https://g.test/mixminus/v1/calls/abc", None),
    ],
)
def test_call_of_a_request_is_read_from_its_url(url: Any, call_id: Any) -> None:
    assert call_id_of(url) == call_id


CALL = "https://g.test/v1.0/communications/calls/abc"


def shut_gate(left: Collection[str] = ()) -> tuple[GraphGate, Fence]:
    fence, gate = Fence(clock_ns=lambda: 0), GraphGate()
    gate.arm(fence, left.__contains__)
    fence.shut("a test")
    return gate, fence


def test_request_waits_for_the_fence() -> None:
    async def run() -> None:
        gate, fence = shut_gate()
        asked = asyncio.create_task(gate("POST", CALL))
        await asyncio.sleep(1)
        assert not asked.done()
        fence.open(fence.standstills)
        await asked

    run_virtually(run())


def test_request_that_changes_a_call_that_was_let_go_is_never_sent() -> None:
    async def run() -> None:
        left: set[str] = set()
        gate, fence = shut_gate(left)
        asked = asyncio.create_task(gate("DELETE", CALL))
        await asyncio.sleep(1)
        left.add("abc")
        fence.open(fence.standstills)
        with pytest.raises(GraphConnectionError, match="let go"):
            await asked
        with pytest.raises(GraphConnectionError, match="let go"):
            await gate("POST", f"{CALL}/keepAlive")
        await gate("GET", CALL)  # Looking harms nobody.
        await gate("DELETE", f"{CALL}-other")

    run_virtually(run())


def test_request_is_given_up_when_the_store_stays_away() -> None:
    async def run() -> None:
        gate, _ = shut_gate()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(GraphConnectionError, match="did not answer"):
            await gate("POST", CALL)
        assert loop.time() - began_s == pytest.approx(LONGEST_WAIT_S)

    run_virtually(run())


def test_gate_that_is_not_armed_lets_everything_pass() -> None:
    run_virtually(GraphGate()("POST", CALL))


def test_all_that_agrees_has_no_differences() -> None:
    rows = [call_row("l1"), call_row("l2", owner="b")]
    told = {"old-l1": "established", "OLD-L2": "established"}
    assert differences(rows, [EngineCall("old-l1", "app", True)], told, own="a") == []


@pytest.mark.parametrize(
    ("row", "engine", "told", "word"),
    [
        (call_row(), [], {"old-l1": "established"}, "not in this process"),
        (call_row(owner="b"), [], {"old-l1": None}, "not at the service"),
        (call_row(owner="b"), [], {"old-l1": "terminated"}, "not at the service"),
        (call_row(owner=None), [], {"old-l1": "established"}, "offered"),
        (call_row(call_id=None), [], {}, "creation is not answered"),
        (call_row(owner="b"), [EngineCall("old-l1", "app", True)], {}, "b's in the store"),
        (call_row(), [EngineCall("old-l1", "app", False)], {}, "media are closed"),
    ],
)
def test_each_difference_is_listed(row: Any, engine: Any, told: Any, word: Any) -> None:
    (found,) = differences([row], engine, told, own="a")
    assert word in found["difference"]
    assert found["lineage"] == row.lineage


def test_call_that_only_the_process_has_is_listed() -> None:
    (found,) = differences([], [EngineCall("x", "service", False)], {"x": "established"}, own="a")
    assert found == {
        "callId": "x",
        "lineage": None,
        "owner": None,
        "difference": "in this process, and not in the store",
    }
