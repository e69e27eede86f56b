"""A call goes on in a later epoch at the worst moment: while the older one begins, or ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.service import CallService
from mixminus.control.store.base import CallRow
from tests.interop.test_one_leg import SUPERSEDED, media_of, world
from tests.service_kit import GOOD_SDP, Receiver, call_body, phone_of
from tests.support import eventually

CALLS = "/v1.0/communications/calls"


class Hold:
    """Holds back the next thing that it is asked to let through, and no other."""

    def __init__(self) -> None:
        self.waits, self.go_on = asyncio.Event(), asyncio.Event()

    async def pass_through(self) -> None:
        if not self.waits.is_set():
            self.waits.set()
            # A test that fails meanwhile is not to wait for ever.
            async with asyncio.timeout(10):
                await self.go_on.wait()


def hold_write(
    service: CallService, monkeypatch: pytest.MonkeyPatch, held: Callable[[CallRow], bool]
) -> Hold:
    save, hold = service.store.save_call, Hold()

    async def save_call(row: CallRow, *args: Any) -> None:
        if held(row):
            await hold.pass_through()
        await save(row, *args)

    monkeypatch.setattr(service.store, "save_call", save_call)
    return hold


def states(receiver: Receiver, call_id: str) -> list[str]:
    data = [item["resourceData"] for body in receiver.taken for item in body["value"]]
    return [item["state"] for item in data if isinstance(item, dict) and item["id"] == call_id]


async def test_a_call_that_is_still_being_made_gives_its_place_to_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        hold = hold_write(w.service, monkeypatch, lambda row: row.state == "establishing")
        making = asyncio.create_task(w.graph.created(w.body(1)))
        await hold.waits.wait()
        second = await w.join(2)
        assert len(await w.participants(second)) == 2, "the first has its entry already"
        hold.go_on.set()
        first = await making
        end = await w.told(first, "terminated")
        assert (end["resultInfo"]["code"], end["resultInfo"]["subcode"]) == SUPERSEDED
        (_,) = await w.participants(second)
        assert w.living() == {second}
        assert len(w.media.links) == 1, "nothing was connected for a call that was over at once"


async def test_a_call_that_is_ending_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        first = await w.join(1)
        link, hold = w.media.links[0], Hold()
        close = link.close

        async def slowly() -> None:
            await hold.pass_through()
            await close()

        monkeypatch.setattr(link, "close", slowly)
        hanging_up = asyncio.create_task(w.graph.http.delete(f"{CALLS}/{first}"))
        await hold.waits.wait()
        second = await w.join(2)
        (_,) = await w.participants(second)
        hold.go_on.set()
        assert (await hanging_up).status_code == 204
        end = await w.told(first, "terminated")
        assert end["resultInfo"]["subcode"] == 7000, "it ended for the reason that came first"
        assert w.living() == {second}


async def test_who_was_muted_is_muted_in_the_next_epoch(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first = await w.join(1)
        reply = await w.graph.http.post(f"{CALLS}/{first}/mute", json={"clientContext": "c"})
        assert reply.status_code == 200, reply.text
        second = await w.join(2)
        await w.told(first, "terminated")
        (own,) = await w.participants(second)
        assert own["isMuted"] is True
        reply = await w.graph.http.post(f"{CALLS}/{second}/unmute", json={"clientContext": "c"})
        assert reply.status_code == 200, reply.text
        (own,) = await w.participants(second)
        assert own["isMuted"] is False


@pytest.mark.parametrize("is_first_to_be_written", [True, False])
async def test_a_hang_up_of_the_old_id_crosses_the_rejoin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first_to_be_written: bool
) -> None:
    async with world(tmp_path) as w:
        first = await w.join(1)
        ends = "terminating"
        hold = hold_write(
            w.service,
            monkeypatch,
            lambda row: (
                (row.call_id == first and row.state == ends)
                if is_first_to_be_written
                else row.call_id != first
            ),
        )

        async def hang_up() -> None:
            assert (await w.graph.http.delete(f"{CALLS}/{first}")).status_code == 204

        async def join() -> None:
            await w.join(2)

        acts = (hang_up, join) if is_first_to_be_written else (join, hang_up)
        held = asyncio.create_task(acts[0]())
        await hold.waits.wait()
        other = asyncio.create_task(acts[1]())
        if is_first_to_be_written:
            # The hang-up waits for the store: the rejoin does not wait for it.
            await other
        else:
            await w.told(first, "terminated")
        hold.go_on.set()
        await asyncio.gather(held, other)
        await w.told(first, "terminated")
        (second,) = w.living()
        (_,) = await w.participants(second)
        assert w.states(first).count("terminated") == 1
        assert (await w.graph.http.delete(f"{CALLS}/{first}")).status_code == 404
        assert w.living() == {second}


async def test_a_rejoin_that_reaches_nobody_leaves_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        body = call_body(w.receiver.url, mediaConfig=media_of(w.lineage, 1))
        first = await w.graph.created(body)
        await john.expect("ring")
        await john.send(type="answer", callId=first, sdp=GOOD_SDP)
        await john.expect("answered")
        await w.told(first, "established")
        body = call_body(w.receiver.url, mediaConfig=media_of(w.lineage, 2))
        second = await w.graph.created(body)
        assert (await john.expect("ended"))["subcode"] == SUPERSEDED[1]
        await john.expect("ring")
        await john.send(type="decline", callId=second)
        for call_id in (first, second):
            await w.told(call_id, "terminated")
        services = w.service.book._services
        await eventually(lambda: not list(services.rooms) and not len(services.callers))
        assert w.living() == set()


async def test_a_dead_hosts_address_holds_up_nothing_of_the_call_that_went_on(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, notify_timeout_s=60.0) as w, Receiver(tmp_path) as dead:
        first = await w.graph.created(w.body(1, callbackUri=dead.url))
        await eventually(lambda: "established" in states(dead, first))
        # It takes what it is sent, and answers nothing any more.
        dead.gate.clear()
        second = await w.join(2)
        await w.told(second, "established")
        await eventually(lambda: w.service.book.living == 1)
        assert "terminated" not in states(dead, first)
        third = await w.join(3)
        await w.told(second, "terminated")
        assert w.living() == {third}
        dead.gate.set()
        await eventually(lambda: "terminated" in states(dead, first))
