"""Notifications over real HTTPS: order, retries, isolation, tokens, restarts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from mixminus.control.service.guard import SCHEMES, AddressGuard
from mixminus.control.service.keys import SigningKey, new_key_pem
from mixminus.control.service.notifier import Notifier
from mixminus.control.service.outbound import Outbound
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.service.tokens import NotificationTokens
from mixminus.control.service.urls import ServiceUrls
from mixminus.control.store.base import CallRow, NotificationCounts
from mixminus.control.store.sqlite import SqliteStore
from mixminus.control.tls import LocalAuthority, client_context
from tests.service_kit import FakeMedia, GraphHttp, Receiver, call_body, running_service
from tests.support import eventually

KEY = SigningKey(new_key_pem())
FAST = {"notify_first_wait_s": 0.01, "notify_longest_wait_s": 0.02}


class Outbox:
    """A notifier over a real store, and calls to put into it."""

    def __init__(self, state_dir: Path, guard: AddressGuard | None = None, **settings: Any) -> None:
        self._state_dir = state_dir
        self._guard = guard or AddressGuard(allow_private=True)
        self._settings = ServiceSettings(state_dir=state_dir, **(FAST | settings))
        self._exits = AsyncExitStack()
        self.store: SqliteStore
        self.notifier: Notifier

    async def __aenter__(self) -> Outbox:
        self.store = await SqliteStore.open(self._state_dir / "test.db")
        self._exits.push_async_callback(self.store.close)
        outbound = Outbound(self._guard, client_context(LocalAuthority(self._state_dir).ca_file))
        self._exits.push_async_callback(outbound.close)
        tokens = NotificationTokens(KEY, ServiceUrls.at("localhost", 1, "tenant"))
        self.notifier = Notifier(self.store, tokens, outbound, self._settings)
        self._exits.push_async_callback(self.notifier.close)
        await self.notifier.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    async def put(self, call_id: str, uri: str, *states: str) -> None:
        """Write notifications about a call, as the state machine's effects would."""
        row = CallRow(call_id, "app", "tenant", uri, states[-1], False, {"callChainId": "chain"})
        bodies = [
            f'{{"value": [{{"resourceData": {{"id": "{call_id}", "state": "{state}"}}}}]}}'
            for state in states
        ]
        await self.store.save_call(row, bodies)
        self.notifier.wake(call_id)

    async def settled(self, call_id: str) -> NotificationCounts:
        """Wait until nothing of a call is pending."""

        async def done() -> bool:
            return (await self.store.notification_counts(call_id)).pending == 0

        await eventually(done)
        return await self.store.notification_counts(call_id)


async def test_notifications_of_a_call_come_in_order_though_some_fail(tmp_path: Path) -> None:
    states = [f"state {n}" for n in range(10)]

    def reply(count: int) -> int:
        return 500 if count % 3 else 202

    async with Receiver(tmp_path, reply) as receiver, Outbox(tmp_path) as outbox:
        await outbox.put("call", receiver.url, *states)
        assert await outbox.settled("call") == NotificationCounts(sent=10, failed=0, pending=0)
        assert receiver.states("call") == states
        assert receiver.attempts == 30


async def test_redelivery_carries_the_same_message_id(tmp_path: Path) -> None:
    async with Receiver(tmp_path) as receiver, Outbox(tmp_path) as outbox:
        await outbox.put("call", receiver.url, "a", "b")
        await outbox.settled("call")
        first, second = (h["x-microsoft-skype-message-id"] for h in receiver.headers)
        assert first != second
        assert receiver.headers[0]["x-microsoft-skype-chain-id"] == "chain"
        assert receiver.headers[0]["content-type"] == "application/json; charset=utf-8"


async def test_slow_receiver_delays_no_other_call(tmp_path: Path) -> None:
    async with (
        Receiver(tmp_path) as slow,
        Receiver(tmp_path) as quick,
        Outbox(tmp_path) as outbox,
    ):
        slow.gate.clear()
        for number in range(20):
            await outbox.put(f"slow {number}", slow.url, "a")
        await outbox.put("quick", quick.url, "a", "b")
        assert (await outbox.settled("quick")).sent == 2
        assert slow.taken == []
        slow.gate.set()
        for number in range(20):
            assert (await outbox.settled(f"slow {number}")).sent == 1


async def test_receiver_that_hangs_is_tried_again(tmp_path: Path) -> None:
    async with Receiver(tmp_path) as receiver, Outbox(tmp_path, notify_timeout_s=0.1) as outbox:
        receiver.gate.clear()
        await outbox.put("call", receiver.url, "a")
        await eventually(lambda: outbox.notifier._workers)
        await asyncio.wait(tuple(outbox.notifier._workers.values()), timeout=0.3)
        receiver.gate.set()
        assert (await outbox.settled("call")).sent == 1


async def test_notification_is_given_up_in_time_and_later_ones_get_one_attempt(
    tmp_path: Path,
) -> None:
    async with (
        Receiver(tmp_path, lambda count: 500) as receiver,
        Outbox(tmp_path, notify_give_up_s=0.05) as outbox,
    ):
        await outbox.put("call", receiver.url, "a", "b", "c")
        assert await outbox.settled("call") == NotificationCounts(sent=0, failed=3, pending=0)


async def test_a_receiver_that_fails_several_times_is_one_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mixminus.control.notifier")
    async with (
        Receiver(tmp_path, lambda count: 500 if count <= 3 else 202) as receiver,
        Outbox(tmp_path) as outbox,
    ):
        await outbox.put("call", receiver.url, "a")
        assert (await outbox.settled("call")).sent == 1
        assert receiver.attempts == 4
    said = [r.getMessage() for r in caplog.records if r.name == "mixminus.control.notifier"]
    assert said == ["call call: notification not taken (status 500), again"]


async def test_redirect_is_not_followed(tmp_path: Path) -> None:
    async with (
        Receiver(tmp_path, lambda count: 302) as receiver,
        Outbox(tmp_path, notify_give_up_s=0.01) as outbox,
    ):
        await outbox.put("call", receiver.url, "a")
        assert (await outbox.settled("call")).failed == 1


async def test_receiver_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    async with (
        Receiver(tmp_path / "other") as receiver,
        Outbox(tmp_path, notify_give_up_s=0.01) as outbox,
    ):
        await outbox.put("call", receiver.url, "a")
        assert (await outbox.settled("call")).failed == 1
        assert receiver.attempts == 0


class PinnedGuard(AddressGuard):
    """Says of every host that it is here."""

    async def pin(self, uri: str, schemes: tuple[str, ...] = SCHEMES) -> str:
        return "127.0.0.1"


async def test_pinned_address_is_connected_to_under_its_hosts_name(tmp_path: Path) -> None:
    guard = PinnedGuard(allow_private=False)
    async with (
        Receiver(tmp_path, hosts=("bot.example",)) as receiver,
        Outbox(tmp_path, guard, notify_give_up_s=0.01) as outbox,
    ):
        host = f"bot.example:{receiver.port}"
        await outbox.put("call", f"https://{host}/api/calls?x=1", "a")
        assert (await outbox.settled("call")).sent == 1
        assert receiver.headers[0]["host"] == host
        await outbox.put("other", f"https://other.example:{receiver.port}/", "a")
        assert (await outbox.settled("other")).failed == 1


async def test_private_address_gets_nothing(tmp_path: Path) -> None:
    guard = AddressGuard(allow_private=False)
    async with (
        Receiver(tmp_path) as receiver,
        Outbox(tmp_path, guard, notify_give_up_s=0.01) as outbox,
    ):
        await outbox.put("call", receiver.url, "a")
        assert (await outbox.settled("call")).failed == 1
        assert receiver.attempts == 0


async def test_restart_drains_the_outbox(tmp_path: Path) -> None:
    down = True
    async with Receiver(tmp_path, lambda count: 503 if down else 202) as receiver:
        async with Outbox(tmp_path) as outbox:
            await outbox.put("call", receiver.url, "a", "b")
            await eventually(lambda: receiver.attempts)
        assert receiver.taken == []
        down = False
        async with Outbox(tmp_path) as outbox:
            assert (await outbox.settled("call")).sent == 2
        assert receiver.states("call") == ["a", "b"]


async def test_calls_that_a_restart_ended_are_said_to_be_over(tmp_path: Path) -> None:
    async with Receiver(tmp_path) as receiver:
        async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
            call_id = await graph.created(call_body(receiver.url))
            row = await service.store.call(call_id)
            assert row is not None
        receiver.taken.clear()
        # As a crash leaves it: the call is still living in the store.
        store = await SqliteStore.open(tmp_path / "service.db")
        await store.save_call(row, [])
        while (left := await store.next_notification(call_id)) is not None:
            await store.finish_notification(left.sequence, delivered=True)
        await store.close()
        async with running_service(tmp_path):
            await eventually(lambda: receiver.states(call_id)[-1:] == ["terminated"])
        result = receiver.of(call_id)[-1]["resultInfo"]
        assert (result["code"], result["subcode"]) == (500, 7106)


async def test_token_verifies_against_the_published_keys(tmp_path: Path) -> None:
    media = FakeMedia()
    async with (
        Receiver(tmp_path) as receiver,
        running_service(tmp_path, media) as service,
        GraphHttp(service.dev_file) as graph,
    ):
        dev = service.dev_file
        await graph.created(call_body(receiver.url))
        await eventually(lambda: receiver.headers)
        metadata = (await graph.http.get(dev.open_id_config_url)).json()
        keys = jwt.PyJWKSet.from_dict((await graph.http.get(metadata["jwks_uri"])).json())
        token = receiver.headers[0]["authorization"].removeprefix("Bearer ")
        header = jwt.get_unverified_header(token)
        assert header["alg"] == "RS256"
        claims = jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=["RS256"],
            audience=dev.app_id,
            issuer=dev.notification_issuer,
            options={"require": ["exp", "nbf", "iat"]},
        )
        assert metadata["issuer"] == dev.notification_issuer
        assert claims["tid"] == dev.tenant_id
        with pytest.raises(KeyError):
            # An access token's key is another one.
            keys[jwt.get_unverified_header(await graph.token())["kid"]]


async def test_a_fault_that_nobody_foresaw_does_not_end_what_is_told_of_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Receiver(tmp_path) as receiver, Outbox(tmp_path) as outbox:
        post = outbox.notifier._outbound.post
        failed: list[tuple[Any, ...]] = []

        async def fail_once(*args: Any) -> Any:
            if not failed:
                failed.append(args)
                raise RuntimeError("a bug of the client's")
            return await post(*args)

        monkeypatch.setattr(outbox.notifier._outbound, "post", fail_once)
        await outbox.put("one", receiver.url, "establishing", "terminated")
        counts = await outbox.settled("one")
        assert (counts.sent, counts.failed, len(failed)) == (2, 0, 1)
        assert receiver.states("one") == ["establishing", "terminated"]
        assert "a bug of the client's" in caplog.text
