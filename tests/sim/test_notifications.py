"""Calls under notifications that are lost, late, doubled and out of order: all journals agree.

``python -m tests.sim.notifications --calls 10000`` is the whole of it; here are short forms, and
that a fault would be seen.
"""

from __future__ import annotations

from typing import Any

import pytest

from mixminus.control.host.inbox import CallInbox
from mixminus.control.service.notifier import Notifier
from mixminus.control.store.base import OutboxRow
from mixminus.control.store.host_base import Inbound, Receipt
from mixminus.control.store.inbox_tables import InboxTables
from tests.sim.mail import Weather
from tests.sim.notifications import Outcome, run

CALM = Weather(lost=0.0, late=0.0, doubled=0.0)


def wrong_of(outcome: Outcome) -> str:
    return f"seed {outcome.seed}: " + "; ".join(outcome.wrong[:5])


def test_few_calls_in_bad_weather() -> None:
    outcome = run(calls=8, seed=11)
    assert not outcome.wrong, wrong_of(outcome)
    assert outcome.counts["applied"] == outcome.counts["notifications"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_hundreds_of_calls_lose_nothing_and_apply_nothing_twice(seed: int) -> None:
    outcome = run(calls=250, seed=seed)
    assert not outcome.wrong, wrong_of(outcome)
    # The weather was bad: without that the run would say nothing.
    for what in ("lost on the way", "reply lost", "late", "doubled"):
        assert outcome.counts[what] > 0, what


@pytest.mark.slow
def test_what_never_comes_is_made_good_by_asking() -> None:
    outcome = run(calls=150, seed=3, weather=Weather(swallowed=0.10))
    assert not outcome.wrong, wrong_of(outcome)
    assert outcome.counts["swallowed"] > 0


@pytest.mark.soak
def test_ten_thousand_calls_in_five_minutes() -> None:
    outcome = run(calls=10_000, seed=1)
    assert not outcome.wrong, wrong_of(outcome)
    print(f"{outcome.virtual_s:,.0f} s of virtual time in {outcome.real_s:.0f} s")


@pytest.mark.slow
def test_a_notification_that_is_given_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = Notifier._deliver

    async def careless(self: Notifier, row: OutboxRow, attempts: int | None) -> bool:
        return await deliver(self, row, 1)

    monkeypatch.setattr(Notifier, "_deliver", careless)
    outcome = run(calls=20, seed=4)
    assert any("how notifications ended" in wrong for wrong in outcome.wrong)


@pytest.mark.slow
def test_an_inbox_that_takes_everything_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = InboxTables.receive
    posts = iter(range(1_000_000))

    async def forgetful(self: InboxTables, messages: list[Inbound], instance: str) -> Receipt:
        fresh = [
            Inbound(
                f"{one.message_id}/{next(posts)}", one.call_id, one.tenant_id, one.body, to=one.to
            )
            for one in messages
        ]
        return await receive(self, fresh, instance)

    monkeypatch.setattr(InboxTables, "receive", forgetful)
    outcome = run(calls=20, seed=5)
    assert any("the inbox has what the outbox had" in wrong for wrong in outcome.wrong)


@pytest.mark.slow
def test_an_inbox_that_loses_what_it_took_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    take = CallInbox.take
    came = iter(range(1_000_000))

    async def leaky(
        self: CallInbox, told: list[Any], tenant_id: str, message_id: str | None, **address: Any
    ) -> None:
        if next(came) % 7:
            await take(self, told, tenant_id, message_id, **address)

    monkeypatch.setattr(CallInbox, "take", leaky)
    outcome = run(calls=20, seed=6)
    assert any("the inbox has what the outbox had" in wrong for wrong in outcome.wrong)
