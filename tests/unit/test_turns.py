"""Turns: one after another, in order; and nobody who may not wait is put behind one that does."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.control.service.turns import Turns
from mixminus.control.store.base import StoreAwayError
from tests.virtual_time import run_virtually


def away() -> StoreAwayError:
    return StoreAwayError("the disk is full")


STEPS = st.lists(
    st.tuples(st.sampled_from(["patient", "request", "cancelled", "slow"]), st.integers(0, 3)),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS)
def test_one_at_a_time_in_the_order_of_coming(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        turns, inside, came, had = Turns(), 0, list[int](), list[int]()

        async def have(number: int, kind: str) -> None:
            nonlocal inside
            came.append(number)
            async with turns.turn(may_wait=kind != "request"):
                inside += 1
                assert inside == 1
                had.append(number)
                if kind == "slow":
                    turns.hold_up(away)
                    await asyncio.sleep(5)
                    turns.go_on()
                await asyncio.sleep(1)
                inside -= 1

        tasks = []
        for number, (kind, pause_s) in enumerate(steps):
            task = asyncio.create_task(have(number, kind))
            tasks.append(task)
            await asyncio.sleep(pause_s)
            if kind == "cancelled" and number not in had:
                task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert had == [number for number in came if number in had]
        for number, end in enumerate(ends):
            kind = steps[number][0]
            if end is None:
                assert number in had
            elif isinstance(end, StoreAwayError):
                assert kind == "request"
                assert number not in had
            else:
                assert isinstance(end, asyncio.CancelledError)
                assert kind == "cancelled"
        async with turns.turn(may_wait=False):
            had.append(-1)
        assert had[-1] == -1

    run_virtually(main())


def test_requests_are_refused_as_soon_as_the_holder_waits() -> None:
    async def main() -> None:
        turns, told = Turns(), list[str]()

        async def request(name: str) -> None:
            try:
                async with turns.turn(may_wait=False):
                    told.append(name)
            except StoreAwayError:
                told.append(f"no {name}")

        async with turns.turn(may_wait=True):
            early = asyncio.create_task(request("early"))
            await asyncio.sleep(1)
            assert told == []
            turns.hold_up(away)
            await early
            await request("late")
            with pytest.raises(StoreAwayError, match="full"):
                turns.expect_none_waits()
            turns.go_on()
            turns.expect_none_waits()
            after = asyncio.create_task(request("after"))
            await asyncio.sleep(1)
        await after
        assert told == ["no early", "no late", "after"]

    run_virtually(main())
