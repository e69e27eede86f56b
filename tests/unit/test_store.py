"""The store: calls, notifications, applications, users; on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mixminus.control.store.base import (
    AppRow,
    CallRow,
    NotificationCounts,
    Store,
    StoreError,
    UserRow,
)
from tests.store_kit import Place

CALL = CallRow("call-1", "app", "tenant", "https://bot/", "establishing", False, {"id": "call-1"})


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    opened = await place.open()
    yield opened
    await opened.close()


async def test_call_comes_back_as_it_was_written(store: Store) -> None:
    await store.save_call(CALL, [])
    assert await store.call("call-1") == CALL
    changed = replace(CALL, state="terminated", is_over=True, resource={"id": "call-1", "ü": [1]})
    await store.save_call(changed, [])
    assert await store.call("call-1") == changed
    assert await store.call("call-2") is None


async def test_call_and_its_notifications_are_written_together_or_not_at_all(
    store: Store, place: Place
) -> None:
    await store.save_call(CALL, ["one"])
    # The second statement of the transaction fails: the first must not stay.
    place.fail_outbox()
    with pytest.raises(StoreError, match="disk"):
        await store.save_call(replace(CALL, state="established"), ["two"])
    assert await store.call("call-1") == CALL
    assert await store.notification_counts("call-1") == NotificationCounts(0, 0, 1)


async def test_notifications_wait_in_order_until_they_are_finished(store: Store) -> None:
    await store.save_call(CALL, ["a", "b"])
    await store.save_call(replace(CALL, call_id="call-2"), ["x"])
    await store.save_call(CALL, ["c"])
    assert await store.calls_with_notifications() == ("call-1", "call-2")
    seen = []
    while (row := await store.next_notification("call-1")) is not None:
        assert (row.app_id, row.tenant_id, row.callback_uri) == ("app", "tenant", "https://bot/")
        seen.append(row.body)
        await store.finish_notification(row.sequence, delivered=row.body != "b")
    assert seen == ["a", "b", "c"]
    assert await store.notification_counts("call-1") == NotificationCounts(2, 1, 0)
    assert await store.notification_counts() == NotificationCounts(2, 1, 1)
    assert await store.calls_with_notifications() == ("call-2",)


async def test_everything_stays_over_a_restart(place: Place) -> None:
    app = AppRow("app", "tenant", "Bot", "secret", ("Calls.Initiate.All",))
    user = UserRow("user", "John", "token")
    first = await place.open()
    assert await first.add_app(app) == app
    assert await first.add_user(user) == user
    assert await first.secret("key", lambda: "made once") == "made once"
    await first.save_call(CALL, ["a"])
    await first.close()
    second = await place.open()
    assert await second.add_app(replace(app, secret="another")) == app
    assert await second.add_user(replace(user, token="another")) == user
    assert await second.secret("key", lambda: "made again") == "made once"
    assert await second.living_calls() == (CALL,)
    row = await second.next_notification("call-1")
    assert row is not None
    assert row.body == "a"
    await second.close()


async def test_roles_of_an_app_can_be_set(store: Store) -> None:
    await store.add_app(AppRow("app", "tenant", "Bot", "secret", ("Calls.Initiate.All",)))
    await store.set_roles("app", [])
    app = await store.app("app")
    assert app is not None
    assert app.roles == ()
    with pytest.raises(StoreError, match="nobody"):
        await store.set_roles("nobody", [])


async def test_old_calls_are_forgotten_but_not_while_something_waits(store: Store) -> None:
    for number in range(5):
        row = replace(CALL, call_id=f"call-{number}", is_over=number != 4)
        await store.save_call(row, ["a"] if number == 0 else [])
    assert await store.forget_calls(keep=1) == 2
    left = [n for n in range(5) if await store.call(f"call-{n}") is not None]
    assert left == [0, 3, 4]
    assert await store.notification_counts("call-0") == NotificationCounts(0, 0, 1)


async def test_closed_store_says_so(store: Store) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.call("call-1")
