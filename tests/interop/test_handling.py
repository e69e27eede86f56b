"""Incoming calls and what a bot does with them, over real HTTPS and real signalling sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mixminus.control.graph.enums import ALL_ROLES
from mixminus.control.service.service import CallService
from mixminus.control.store.base import AppRow
from mixminus.media.descriptor import MediaSessionDescriptor
from tests.service_kit import (
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    Receiver,
    call_body,
    phone_of,
    running_service,
)
from tests.support import eventually

SECOND_APP = "5b5e0b5e-2f1d-4c53-8f3a-0d6f6d3b7c11"
ALICE = "278405a3-f568-4b3e-b684-009193463064"
BOB = "5810cede-f3cc-42eb-b2c1-e9bd5d53ec96"


def user_target(user_id: str) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.invitationParticipantInfo",
        "identity": {"user": {"id": user_id, "displayName": "somebody"}},
    }


def answer_body(callback_uri: str) -> dict[str, Any]:
    return {
        "callbackUri": callback_uri,
        "acceptedModalities": ["audio"],
        "mediaConfig": {
            "@odata.type": "#microsoft.graph.appHostedMediaConfig",
            "blob": MediaSessionDescriptor.new("wss://localhost:1/media").to_blob(),
        },
    }


class World(NamedTuple):
    """A service, its application with a webhook, and what the test makes of it."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    media: FakeMedia

    async def post(self, call_id: str, action: str, body: dict[str, Any], status: int = 202) -> Any:
        path = f"/v1.0/communications/calls/{call_id}/{action}"
        reply = await self.graph.http.post(path, json=body)
        assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    async def rung(self, phone: Phone, **members: Any) -> str:
        """Ring the bot from *phone*; return the call once the bot was told."""
        await phone.send(type="call", appId=self.graph.dev.app_id, sdp=GOOD_SDP, **members)
        call_id = str((await phone.expect("calling"))["callId"])
        await self.told(call_id, "incoming")
        return call_id

    async def told(self, call_id: str, state: str) -> dict[str, Any]:
        await eventually(lambda: state in self.receiver.states(call_id))
        return next(d for d in self.receiver.of(call_id) if d.get("state") == state)

    async def established(self, phone: Phone, **members: Any) -> str:
        """Make a call that *phone* answers."""
        call_id = await self.graph.created(call_body(self.receiver.url, **members))
        await phone.expect("ring")
        await phone.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await phone.expect("answered")
        await self.told(call_id, "established")
        return call_id


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    media = FakeMedia()
    async with (
        running_service(state_dir, media, **settings) as service,
        Receiver(state_dir) as receiver,
        GraphHttp(service.dev_file) as graph,
    ):
        reply = await graph.http.put(
            f"/mixminus/v1/apps/{graph.dev.app_id}/webhook", json={"callbackUri": receiver.url}
        )
        assert reply.is_success, reply.text
        yield World(service, graph, receiver, media)


async def test_a_bot_answers_a_user(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        data = await w.told(call_id, "incoming")
        assert data["direction"] == "incoming"
        assert data["source"]["identity"]["user"]["displayName"] == "John"
        assert data["targets"][0]["identity"]["application"]["id"] == w.graph.dev.app_id
        assert data["incomingContext"]["sourceParticipantId"]
        await w.post(call_id, "answer", answer_body(w.receiver.url))
        assert (await john.expect("answered"))["callId"] == call_id
        await eventually(lambda: w.receiver.of(call_id)[-1].get("mediaState") is not None)
        assert w.receiver.states(call_id) == [
            *("incoming", "establishing", "established", "established")
        ]
        await w.post(call_id, "answer", answer_body(w.receiver.url), 400)
        await john.send(type="hangup", callId=call_id)
        assert (await john.expect("ended"))["subcode"] == 4521
        assert (await w.told(call_id, "terminated"))["resultInfo"]["subcode"] == 4521


@pytest.mark.slow
@pytest.mark.parametrize(("reason", "code"), [("none", 603), ("busy", 486), ("forbidden", 403)])
async def test_a_bot_rejects_a_user(tmp_path: Path, reason: str, code: int) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        await w.post(call_id, "reject", {"reason": reason})
        assert (await john.expect("ended"))["code"] == code
        assert (await w.told(call_id, "terminated"))["resultInfo"]["code"] == code
        assert w.receiver.states(call_id) == ["incoming", "terminated"]


async def test_a_silent_bot_loses_the_call(tmp_path: Path) -> None:
    async with world(tmp_path, answer_s=0.2) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        assert (await john.expect("ended"))["subcode"] == 8587
        assert (await w.told(call_id, "terminated"))["resultInfo"]["subcode"] == 8587
        await w.post(call_id, "answer", answer_body(w.receiver.url), 404)


async def test_policy_recording_has_a_shorter_time_and_says_who_is_observed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, answer_policy_s=0.2) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john, policyRecording=True)
        context = (await w.told(call_id, "incoming"))["incomingContext"]
        assert context["observedParticipantId"] == context["sourceParticipantId"]
        assert (await john.expect("ended"))["subcode"] == 8587


async def test_a_caller_gives_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        await john.send(type="hangup", callId=call_id)
        await john.expect("ended")
        assert (await w.told(call_id, "terminated"))["resultInfo"]["code"] == 487


async def test_an_application_without_a_webhook_cannot_be_called(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, phone_of(service.dev_file) as john:
        await john.send(type="call", appId=service.dev_file.app_id, sdp=GOOD_SDP)
        await john.expect("calling")
        assert (await john.expect("ended"))["subcode"] == 10057


async def test_a_bot_redirects_a_user_to_another(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.rung(john)
        body = {"targets": [user_target(ALICE)], "timeout": 30, "callbackUri": w.receiver.url}
        await w.post(call_id, "redirect", body)
        await alice.expect("ring")
        await alice.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await alice.expect("answered")
        await john.expect("answered")
        data = await w.told(call_id, "terminated")
        assert data["answeredBy"]["identity"]["user"]["id"] == ALICE
        assert data["direction"] == "incoming"
        # The two talk on without the bot, until one of them hangs up.
        await alice.send(type="hangup", callId=call_id)
        await alice.expect("ended")
        assert (await john.expect("ended"))["subcode"] == 4521


async def test_a_redirect_that_nobody_takes(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.rung(john)
        await w.post(call_id, "redirect", {"targets": [user_target(ALICE)], "timeout": 30})
        await alice.expect("ring")
        await alice.send(type="decline", callId=call_id)
        assert (await john.expect("ended"))["code"] == 603
        assert "answeredBy" not in await w.told(call_id, "terminated")


async def test_a_blind_transfer(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.established(john)
        await w.post(call_id, "transfer", {"transferTarget": user_target(ALICE)})
        await w.told(call_id, "transferring")
        await alice.expect("ring")
        await alice.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await alice.expect("answered")
        data = await w.told(call_id, "terminated")
        assert (data["resultInfo"]["code"], data["resultInfo"]["subcode"]) == (0, 7015)
        assert "transferAccepted" in w.receiver.states(call_id)
        await john.send(type="hangup", callId=call_id)
        await john.expect("ended")
        await alice.expect("ended")


async def test_a_blind_transfer_that_fails_leaves_the_call(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.established(john)
        await w.post(call_id, "transfer", {"transferTarget": user_target(ALICE)})
        await alice.expect("ring")
        await alice.send(type="decline", callId=call_id)
        await eventually(lambda: "resultInfo" in w.receiver.of(call_id)[-1])
        data = w.receiver.of(call_id)[-1]
        assert data["state"] == "established"
        assert (data["resultInfo"]["code"], data["resultInfo"]["subcode"]) == (500, 7000)
        reply = await w.graph.http.get(f"/v1.0/communications/calls/{call_id}")
        assert reply.json()["state"] == "established"


async def test_of_two_transfers_at_once_one_is_refused(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.established(john)
        path = f"/v1.0/communications/calls/{call_id}/transfer"
        body = {"transferTarget": user_target(ALICE)}
        replies = await asyncio.gather(*(w.graph.http.post(path, json=body) for _ in range(2)))
        assert sorted(reply.status_code for reply in replies) == [202, 409]
        await alice.expect("ring")
        await alice.send(type="decline", callId=call_id)


@pytest.mark.parametrize("actions", [("answer", "answer"), ("reject", "reject")])
async def test_of_two_at_once_one_is_refused(tmp_path: Path, actions: tuple[str, str]) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        bodies = {"answer": answer_body(w.receiver.url), "reject": {"reason": "busy"}}
        path = f"/v1.0/communications/calls/{call_id}"
        replies = await asyncio.gather(
            *(w.graph.http.post(f"{path}/{action}", json=bodies[action]) for action in actions)
        )
        statuses = sorted(reply.status_code for reply in replies)
        # The second may find the call gone.
        assert statuses in ([202, 400], [202, 404]), statuses


@pytest.mark.slow
async def test_a_consultative_transfer(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.established(john)
        other_id = await w.established(alice, targets=[user_target(ALICE)])
        target = {**user_target(ALICE), "replacesCallId": other_id}
        await w.post(call_id, "transfer", {"transferTarget": target})
        await alice.expect("moved")
        for ended in (call_id, other_id):
            data = await w.told(ended, "terminated")
            assert data["terminationReason"] == "AppTransferred"
            assert data["resultInfo"]["subcode"] == 7015
        await alice.send(type="hangup", callId=other_id)
        await alice.expect("ended")
        assert (await john.expect("ended"))["subcode"] == 4521


async def second_app(w: World) -> GraphHttp:
    """Register another application with the same webhook; return its client, not yet entered."""
    app = AppRow(SECOND_APP, w.graph.dev.tenant_id, "Second", "its secret", ALL_ROLES)
    await w.service.store.add_app(app)
    await w.service.store.set_webhook(SECOND_APP, w.receiver.url)
    return GraphHttp(
        w.graph.dev.model_copy(update={"app_id": SECOND_APP, "client_secret": "its secret"})
    )


def app_target() -> dict[str, Any]:
    return {"identity": {"application": {"id": SECOND_APP, "displayName": "Second"}}}


async def incoming_of_second(w: World) -> dict[str, Any]:
    """Wait for the second application's incoming call."""

    def found() -> list[dict[str, Any]]:
        items = [item["resourceData"] for body in w.receiver.taken for item in body["value"]]
        return [
            data
            for data in items
            if isinstance(data, dict)
            and data.get("state") == "incoming"
            and data["targets"][0]["identity"]["application"]["id"] == SECOND_APP
        ]

    await eventually(found)
    return found()[0]


async def test_a_call_can_be_redirected_to_another_application(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        await second_app(w) as second,
    ):
        call_id = await w.rung(john)
        await w.post(call_id, "redirect", {"targets": [app_target()]})
        data = await incoming_of_second(w)
        assert data["source"]["identity"]["user"]["displayName"] == "John"
        [route] = data["callRoutes"]
        assert route["original"]["application"]["id"] == w.graph.dev.app_id
        path = f"/v1.0/communications/calls/{data['id']}/answer"
        # Another application's call is not to be seen, whatever is known of its id.
        assert (await w.graph.http.post(path, json=answer_body(w.receiver.url))).status_code == 404
        assert (await second.http.post(path, json=answer_body(w.receiver.url))).is_success
        await john.expect("answered")
        answered = (await w.told(call_id, "terminated"))["answeredBy"]["identity"]
        assert answered["application"]["id"] == SECOND_APP
        await w.told(data["id"], "established")
        await john.send(type="hangup", callId=call_id)
        assert (await w.told(data["id"], "terminated"))["resultInfo"]["subcode"] == 4521


async def test_a_call_can_be_transferred_to_another_application(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as w,
        phone_of(w.graph.dev) as john,
        await second_app(w) as second,
    ):
        call_id = await w.established(john)
        await w.post(call_id, "transfer", {"transferTarget": app_target()})
        data = await incoming_of_second(w)
        transferor = data["incomingContext"]["transferor"]["application"]
        assert transferor["id"] == w.graph.dev.app_id
        assert data["source"]["identity"]["user"]["displayName"] == "John"
        path = f"/v1.0/communications/calls/{data['id']}/answer"
        assert (await second.http.post(path, json=answer_body(w.receiver.url))).is_success
        assert (await w.told(call_id, "terminated"))["resultInfo"]["subcode"] == 7015
        await w.told(data["id"], "established")
        assert (await second.http.delete(path.removesuffix("/answer"))).status_code == 204
        assert (await john.expect("ended"))["subcode"] == 7000


async def test_actions_in_the_wrong_state_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w, phone_of(w.graph.dev) as john:
        call_id = await w.rung(john)
        error = await w.post(call_id, "transfer", {"transferTarget": user_target(ALICE)}, 400)
        assert error["error"]["code"] == "8501"
        outgoing = await w.graph.created(call_body(w.receiver.url, targets=[user_target(BOB)]))
        for action, body in (
            ("answer", answer_body(w.receiver.url)),
            ("reject", {"reason": "busy"}),
            ("redirect", {"targets": [user_target(ALICE)]}),
        ):
            error = await w.post(outgoing, action, body, 400)
            assert error["error"]["code"] == "8585"
        assert w.receiver.states(call_id) == ["incoming"]


async def test_a_forwarded_user_rings_elsewhere_and_the_call_says_so(tmp_path: Path) -> None:
    async with (
        world(tmp_path, forwarding={BOB: ALICE}) as w,
        phone_of(w.graph.dev, "Alice") as alice,
    ):
        call_id = await w.established(alice, targets=[user_target(BOB)])
        call = (await w.graph.http.get(f"/v1.0/communications/calls/{call_id}")).json()
        [route] = call["callRoutes"]
        assert route["routingType"] == "forwarded"
        assert route["original"]["user"]["id"] == BOB
        assert route["final"]["user"]["id"] == ALICE
        assert call["answeredBy"]["identity"]["user"]["id"] == ALICE


async def test_establishing_and_established_can_be_told_in_the_wrong_order(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, swap_establishing=True) as w, phone_of(w.graph.dev) as john:
        call_id = await w.established(john)
        await eventually(lambda: len(w.receiver.states(call_id)) >= 2)
        assert w.receiver.states(call_id)[:2] == ["established", "establishing"]
