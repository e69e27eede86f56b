"""The fence: who stood still says nothing until the store was asked, whichever task runs first."""

from __future__ import annotations

import asyncio

import pytest

from mixminus.media.fence import STILL_NS, Fence, boot_time_ns

SECOND_NS = 1_000_000_000


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_ns = 77 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_time(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_stays_open_while_the_pulse_goes_on(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    for _ in range(10):
        clock.pass_time(STILL_NS / SECOND_NS)
        assert fence.pulse()
        assert fence.is_open
    assert fence.standstills == 0


def test_the_first_look_after_a_standstill_finds_it_shut(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    clock.pass_time(6.001)
    assert not fence.is_open, "no pulse was felt in between: the sender itself finds out"
    clock.pass_time(1)
    assert not fence.is_open, "that time goes on does not open it"
    assert fence.standstills == 1


def test_looks_are_a_pulse_too(clock: Clock) -> None:
    fence = Fence(limit_ns=SECOND_NS, clock_ns=clock)
    for _ in range(5):
        clock.pass_time(0.9)
        assert fence.is_open


def test_it_opens_by_an_answer_of_now_alone(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    clock.pass_time(10)
    assert not fence.pulse()
    asked_at = fence.standstills
    clock.pass_time(60)
    assert not fence.open(asked_at), "the process stood still again before the answer was used"
    asked_at = fence.standstills
    clock.pass_time(2)
    assert fence.open(asked_at)
    assert fence.is_open
    assert fence.standstills == 2


def test_an_answer_from_before_the_standstill_does_not_keep_it_open(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    asked_at = fence.standstills
    clock.pass_time(10)
    assert not fence.open(asked_at)


def test_who_asked_to_know_is_told_once_a_closing(clock: Clock) -> None:
    fence, told = Fence(clock_ns=clock), list[str]()
    take_back = fence.on_shut(lambda: told.append("shut"))
    fence.shut("by hand")
    fence.shut("by hand")
    assert told == ["shut"]
    assert fence.open(fence.standstills)
    clock.pass_time(7)
    assert not fence.is_open
    assert told == ["shut", "shut"]
    take_back()
    take_back()
    assert fence.open(fence.standstills)
    fence.shut("by hand")
    assert told == ["shut", "shut"]


async def test_who_waits_goes_on_when_it_opens(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    await fence.wait_open()
    fence.shut("by hand")
    waiting = asyncio.create_task(fence.wait_open())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert fence.open(fence.standstills)
    await waiting
    fence.shut("by hand")
    waiting = asyncio.create_task(fence.wait_open())
    await asyncio.sleep(0)
    fence.open(fence.standstills)
    clock.pass_time(7)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done(), "between the opening and the waking the process stood still"
    waiting.cancel()


async def test_keeping_it_begins_anew(clock: Clock) -> None:
    fence = Fence(clock_ns=clock)
    clock.pass_time(60)
    keeping = asyncio.create_task(fence.keep())
    await asyncio.sleep(0)
    assert fence.is_open, "what was before the host ran is no standstill of its own"
    keeping.cancel()


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="limit_ns: expected more than 0, got 0"):
        Fence(limit_ns=0)


def test_the_clock_counts_nanoseconds_and_goes_on() -> None:
    first = boot_time_ns()
    assert 0 < first <= boot_time_ns()
