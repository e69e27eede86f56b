"""What a host says and does of the others that fall silent, over days, in no time."""

from __future__ import annotations

import pytest

from mixminus.control.host.fleet.takeover import FORGET_LOOKS, GONE_S, Takeover
from mixminus.control.host.fleet.watching import DEAD_AFTER_S, BeatWatch
from mixminus.control.store.host_base import HostCallRow
from tests.fleet_kit import MemoryStore, Tables, call_row, instance_row


class Scene:
    """Host ``a`` among others whose beats stand still."""

    def __init__(self, *calls: HostCallRow) -> None:
        self.tables = Tables(calls={row.lineage: row for row in calls})
        for name in ("a", "b", "c"):
            self.tables.instances[name] = instance_row(name)
        self.watch = BeatWatch("a", longest_gap_s=2 * GONE_S)
        self.started: list[str] = []
        store = MemoryStore(self.tables, "a")
        self.takeover = Takeover(
            "a",
            self.watch,
            store=lambda: store,  # type: ignore[return-value, arg-type]
            start=lambda row: self.started.append(row.lineage),
            holds=lambda row: False,
            may_take=lambda: True,
        )

    async def look(self, now_s: float) -> None:
        self.watch.observe(self.tables.instances.values(), now_s)
        await self.takeover.look()


async def test_a_host_that_falls_silent_is_told_once_and_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    scene = Scene(call_row("l1", owner="b"), call_row("l2", owner="b"))
    await scene.look(0.0)
    assert not caplog.messages
    scene.tables.instances["c"] = instance_row("c", beat=1)
    for now_s in (DEAD_AFTER_S, DEAD_AFTER_S + 1, DEAD_AFTER_S + 2):
        await scene.look(now_s)
    assert set(scene.started) == {"l1", "l2"}
    scene.tables.instances["b"] = instance_row("b", beat=5)
    await scene.look(DEAD_AFTER_S + 3)
    first, second = [line for line in caplog.messages if line.startswith("b: ")]
    assert first == "b: no beat for 10 s: it is held for dead, and its calls, 2, are taken over"
    assert second == "b: beats again, or is gone from the store"


async def test_a_host_that_is_silent_for_a_day_is_forgotten_unless_it_has_calls() -> None:
    scene = Scene(call_row("l1", owner="c"))
    await scene.look(0.0)
    for _ in range(FORGET_LOOKS):
        await scene.look(GONE_S - 1)
    assert set(scene.tables.instances) == {"a", "b", "c"}
    for _ in range(FORGET_LOOKS):
        await scene.look(GONE_S)
    assert set(scene.tables.instances) == {"a", "c"}
