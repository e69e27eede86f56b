"""Admission, health pages and the drain of a process: pure, or in virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from mixminus.control.host import Bot, BotHost
from mixminus.control.operation.admission import Admission, Refusal
from mixminus.control.operation.drain import Drained, drain
from mixminus.control.operation.health import HealthPages
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.load import Health, Load
from mixminus.media.platform import MediaPlatform
from mixminus.media.vitals import Heartbeat, RecentTicks
from tests.unit.test_load import IDLE
from tests.virtual_time import run_virtually

ALIVE = Heartbeat(1.0, 50, 100, 100, 100, 2, 2)
DEAD = Heartbeat(1.0, 0, 0, 0, 0, 2, 2)


class Platform(MediaPlatform):
    """A platform that does not run, and says what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.lately = IDLE
        self.beat = ALIVE
        self.asked_s: list[float] = []

    def recent(self, seconds: float = 1.0) -> RecentTicks:
        self.asked_s.append(seconds)
        return self.lately

    def heartbeat(self) -> Heartbeat:
        return self.beat


def settings(**over: Any) -> OperationSettings:
    return OperationSettings(**{"admission": True, **over})


def operation(**over: Any) -> tuple[Operation, Platform]:
    platform = Platform()
    return Operation(settings(**over), platform), platform


def load(admission: Admission, ratio: float) -> None:
    """Have that load for as long as it takes to be believed."""
    start_s = getattr(admission, "_test_s", 0.0)
    for second in range(60):
        admission.take(Load(ratio, "test"), start_s + second)
    admission._test_s = start_s + 60  # type: ignore[attr-defined]


def test_new_calls_are_refused_while_overloaded_and_only_then() -> None:
    admission = operation(retry_after_s=7)[0].admission
    seen: list[Refusal | None] = []
    for ratio in (0.5, 0.75, 0.9, 0.75, 0.5):
        load(admission, ratio)
        seen.append(admission.refusal())
    assert seen == [None, None, Refusal(7.0, "overloaded"), None, None]
    assert admission.refusals == {"overloaded": 1, "draining": 0}


def test_a_drain_refuses_whatever_the_load_and_the_settings() -> None:
    admission = operation(admission=False)[0].admission
    load(admission, 2.0)
    assert admission.health is Health.OVERLOADED, "it is said all the same"
    assert admission.refusal() is None
    admission.drain()
    refusal = admission.refusal()
    assert refusal is not None
    assert refusal.reason == "draining"
    assert "stopping" in refusal.message
    assert admission.draining


def test_changes_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    admission = operation()[0].admission
    told: list[tuple[Health, bool]] = []

    def broken(_: Admission) -> None:
        raise RuntimeError("a bug of a consumer")

    admission.on_change(broken)
    off = admission.on_change(lambda a: told.append((a.health, a.draining)))
    with caplog.at_level(logging.INFO):
        load(admission, 0.9)
        load(admission, 0.1)
        admission.drain()
        admission.drain()
    normal, heavily, over = Health.NORMAL, Health.HEAVILY_LOADED, Health.OVERLOADED
    states = [(heavily, False), (over, False), (heavily, False), (normal, False), (normal, True)]
    assert told == states
    assert "health overloaded, was heavilyLoaded" in caplog.text
    assert "(test)" in caplog.text
    assert caplog.text.count("a callback of admission failed") == 5
    off()
    off()
    load(admission, 0.9)
    assert told == states


def test_the_load_is_sampled_each_second_while_it_is_entered() -> None:
    async def main() -> None:
        run, platform = operation()
        async with run:
            await asyncio.sleep(10.5)
            assert platform.asked_s == [2.0] * 10
            assert run.admission.health is Health.NORMAL
            platform.lately = RecentTicks(
                **{**{name: getattr(IDLE, name) for name in IDLE.__slots__}, "loop_share": 0.99}
            )
            await asyncio.sleep(30)
            assert run.admission.load.of == "event loop"
            assert run.admission.refusal() == Refusal(10.0, "overloaded")
        asked = len(platform.asked_s)
        await asyncio.sleep(10)
        assert len(platform.asked_s) == asked

    run_virtually(main())


def test_settings_say_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="expected less than overloaded_ratio"):
        settings(heavily_loaded_ratio=0.9, overloaded_ratio=0.8)
    with pytest.raises(ValidationError, match="retry_after_s"):
        settings(retry_after_s=0)
    with pytest.raises(ValidationError, match="heavily_loaded_ratio"):
        settings(heavily_loaded_ratio=0.01)


# ---- the drain -----------------------------------------------------------------------------------


def drained(calls: list[float], insist_s: float | None = None, **over: Any) -> tuple[Drained, bool]:
    """Drain a process whose calls end at those seconds."""

    async def main() -> tuple[Drained, bool]:
        run, _ = operation(**over)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        run.count_calls(lambda: sum(end > loop.time() - start_s for end in calls))
        insisted = asyncio.Event()
        if insist_s is not None:
            loop.call_later(insist_s, insisted.set)
        result = await drain(run, insisted=insisted)
        return result, run.admission.draining

    return run_virtually(main())


def test_without_calls_nothing_is_waited_for() -> None:
    assert drained([]) == (Drained("empty", 0.0, 0), True)


def test_calls_are_waited_for_until_they_have_ended() -> None:
    result, is_draining = drained([3.0, 12.0, 7.0])
    assert (result.why, result.calls_left, is_draining) == ("empty", 0, True)
    assert 12.0 <= result.seconds <= 12.2


def test_the_deadline_is_kept() -> None:
    result, _ = drained([3.0, 1e6], drain_s=20)
    assert (result.why, result.calls_left) == ("deadline", 1)
    assert result.seconds == pytest.approx(20.0, abs=0.001)


def test_a_deadline_of_nothing_waits_for_nothing() -> None:
    result, _ = drained([3.0], drain_s=0)
    assert result == Drained("deadline", 0.0, 1)


def test_who_insists_is_not_kept_waiting() -> None:
    result, _ = drained([1e6], insist_s=2.0)
    assert (result.why, result.calls_left) == ("insisted", 1)
    assert result.seconds == pytest.approx(2.0, abs=0.001)


def test_calls_of_all_roles_count() -> None:
    run, _ = operation()
    forget = run.count_calls(lambda: 2)
    run.count_calls(lambda: 3)
    assert run.busy == 5
    forget()
    forget()
    assert run.busy == 3


def test_a_role_has_the_operations_platform() -> None:
    run, platform = operation()
    run.expect_platform(platform)
    bot = HostSettings(tenant_id="t", app_id="a", client_secret=SecretStr("s"))
    with pytest.raises(ValueError, match="platform that the operation was made for"):
        BotHost(Bot(), bot, platform=MediaPlatform(), operation=run)
    with pytest.raises(ValueError, match="platform that the operation was made for"):
        CallService(ServiceSettings(), platform=MediaPlatform(), operation=run)


# ---- health pages --------------------------------------------------------------------------------


async def describe() -> dict[str, Any]:
    return {"calls": 4}


async def test_healthz_is_about_media_and_not_the_loop() -> None:
    run, platform = operation()
    pages = HealthPages("bot host", run, describe=describe)
    status, body = await pages.health()
    assert status == 200
    assert body == {
        "status": "ok",
        "role": "bot host",
        "heartbeat": {
            "seconds": 1.0,
            "ticks": 50,
            "framesMixed": 100,
            "framesReceived": 100,
            "framesSent": 100,
            "legs": 2,
            "ticksAdvance": True,
        },
        "health": "normal",
        "calls": 4,
    }
    platform.beat = DEAD
    status, body = await pages.health()
    assert (status, body["status"]) == (503, "failing")


async def test_readyz_says_why_not() -> None:
    run, platform = operation()
    store_is_there = True

    async def store() -> bool:
        return store_is_there

    pages = HealthPages("call service", run, describe=describe, checks={"store": store})
    assert (await pages.readiness())[1]["reasons"] == ["notStarted"]
    pages.is_started = True
    status, body = await pages.readiness()
    assert (status, body) == (
        200,
        {
            "status": "ready",
            "role": "call service",
            "reasons": [],
            "health": "normal",
            "load": {"ratio": 0.0, "of": "nothing"},
            "calls": 0,
        },
    )
    load(run.admission, 0.75)
    assert (await pages.readiness())[0] == 200, "heavily loaded is no reason to send nothing"
    load(run.admission, 0.95)
    run.admission.drain()
    platform.beat = DEAD
    store_is_there = False
    status, body = await pages.readiness()
    assert (status, body["status"]) == (503, "notReady")
    assert body["reasons"] == ["draining", "overloaded", "engine", "store"]
    assert body["health"] == "overloaded"


def test_a_check_that_hangs_says_no() -> None:
    async def main() -> None:
        run, _ = operation()
        began_s = asyncio.get_running_loop().time()

        async def store() -> bool:
            await asyncio.get_running_loop().create_future()
            return True

        pages = HealthPages("call service", run, describe=describe, checks={"store": store})
        pages.is_started = True
        assert (await pages.readiness())[1]["reasons"] == ["store"]
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(1.0)

    run_virtually(main())
