"""The queue: one operation after another, each with exactly one end, whatever cuts it short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from mixminus.control.graph.operations import Outcome
from mixminus.control.service.ivr.queue import MAX_WAITING, Job, MediaQueue, QueueFullError
from tests.support import eventually

DONE = Outcome.success()
CANCELED = Outcome.failure(400, 8508, "cancelled")
TERMINATED = Outcome.failure(400, 8528, "terminated")
FAILED = Outcome.failure(500, 9999, "bug")


class Stage:
    """A queue, what it ran, and how that ended."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[tuple[str, Outcome]] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.worker: asyncio.Task[None] | None = None
        self.queue = MediaQueue(self._spawn, self._finish)

    def has_begun(self, count: int) -> bool:
        return len(self.began) >= count

    def put(self, name: str, run: Callable[[], Awaitable[Outcome]] | None = None) -> None:
        self.gates[name] = asyncio.Event()

        async def wait() -> Outcome:
            self.began.append(name)
            await self.gates[name].wait()
            return DONE

        self.queue.put(Job(name, run or wait, CANCELED, TERMINATED, FAILED))

    def _spawn(self, work: object) -> asyncio.Task[None]:
        assert asyncio.iscoroutine(work)
        self.worker = asyncio.create_task(work)
        return self.worker

    async def _finish(self, name: str, outcome: Outcome) -> None:
        if name not in dict(self.ended):
            self.ended.append((name, outcome))
        await asyncio.sleep(0)


async def test_operations_run_one_after_another() -> None:
    stage = Stage()
    for name in "abc":
        stage.put(name)
    for count, name in enumerate("abc", start=1):
        await eventually(partial(stage.has_begun, count))
        assert len(stage.ended) == count - 1
        stage.gates[name].set()
    await eventually(lambda: len(stage.ended) == 3)
    assert stage.began == ["a", "b", "c"]
    assert stage.ended == [(name, DONE) for name in "abc"]
    stage.put("d")
    stage.gates["d"].set()
    await eventually(lambda: stage.ended[-1] == ("d", DONE))


async def test_cancel_ends_the_running_one_first_then_those_that_wait() -> None:
    stage = Stage()
    for name in "abc":
        stage.put(name)
    await eventually(lambda: stage.began == ["a"])
    await stage.queue.cancel()
    assert stage.ended == [(name, CANCELED) for name in "abc"]
    assert stage.began == ["a"]
    stage.put("next")
    stage.gates["next"].set()
    await eventually(lambda: stage.ended[-1] == ("next", DONE))


async def test_cancel_with_nothing_to_cancel_is_no_error() -> None:
    stage = Stage()
    await stage.queue.cancel()
    assert stage.ended == []


async def test_the_end_of_the_call_ends_all_and_takes_no_more() -> None:
    stage = Stage()
    stage.put("a")
    stage.put("b")
    await eventually(lambda: stage.began == ["a"])
    await stage.queue.close()
    assert stage.ended == [("a", TERMINATED), ("b", TERMINATED)]
    await stage.queue.close()
    with pytest.raises(RuntimeError):
        stage.put("c")


async def test_a_bug_is_the_end_of_its_operation_alone(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()

    async def fail() -> Outcome:
        raise KeyError("a bug")

    stage.put("a", fail)
    stage.put("b")
    stage.gates["b"].set()
    await eventually(lambda: len(stage.ended) == 2)
    assert stage.ended == [("a", FAILED), ("b", DONE)]
    assert "operation a failed" in caplog.text


async def test_a_worker_that_is_cancelled_stops_what_it_runs() -> None:
    stage = Stage()
    stopped = asyncio.Event()

    async def run() -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return DONE

    stage.put("a", run)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stage.worker is not None
    stage.worker.cancel()
    await asyncio.gather(stage.worker, return_exceptions=True)
    assert stopped.is_set()
    assert stage.ended == []


async def test_not_more_than_so_many_may_wait() -> None:
    stage = Stage()
    stage.put("running")
    await eventually(lambda: stage.began == ["running"])
    for number in range(MAX_WAITING):
        stage.queue.expect_room()
        stage.put(str(number))
    with pytest.raises(QueueFullError, match=str(MAX_WAITING)):
        stage.queue.expect_room()
    await stage.queue.close()
