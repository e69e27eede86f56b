"""What an application may do in a group call, what it is told, and what it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mixminus.control import call_state as cs
from mixminus.control.call_state import ResultInfo
from mixminus.control.graph import errors, requests
from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.notifications import Notification
from mixminus.control.graph.participants import identity_set
from mixminus.control.graph.requests import MediaInfo
from mixminus.control.service.conversation import Conversation
from mixminus.control.service.invitation import Answered, Failed
from mixminus.control.service.ivr.prompts import PromptError
from mixminus.control.service.live_call import LiveCall
from mixminus.control.service.member import Member
from mixminus.control.service.operations import Operations
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.verbs import group
from mixminus.control.store.conversation_base import OperationRow
from mixminus.media.pcm import Pcm
from tests.manual import ManualPlatform

Json = dict[str, Any]
PROMPT = "https://music.example/tune.wav"


class FakePrompts:
    def __init__(self) -> None:
        self.may_fetch = asyncio.Event()
        self.may_fetch.set()
        self.failure: PromptError | None = None

    def of(self, app_id: str) -> FakePrompts:
        return self

    async def get(self, info: MediaInfo) -> Pcm:
        await self.may_fetch.wait()
        if self.failure is not None:
            raise self.failure
        return np.ones(320, np.int16)


class FakeInvitation:
    def __init__(self, room: SimpleNamespace, target: requests.Target) -> None:
        self.id = f"invitation of {target.id}"
        self.target, self._room = target, room
        self.outcome: asyncio.Future[Answered | Failed] = asyncio.Future()
        room.invitations.add(self)

    def settle(self, outcome: Answered | Failed) -> None:
        self._room.invitations.discard(self)
        self.outcome.set_result(outcome)

    def cancel(self, reason: str) -> None:
        self.settle(Failed(cs.CANCELLED_BY_CALLER))


class FakeLive:
    """An application's call without its media, its store and its state machine."""

    def __init__(self, kind: str = "groupCall") -> None:
        platform = ManualPlatform()
        self.conversation = Conversation(
            platform,
            chain_id="chain",
            kind=kind,
            tenant_id="tenant",
            meeting=None,
            history=ConversationHistory("chain", kind, "tenant", None),
        )
        self.id, self.app_id = "call", "app"
        self.prompts = FakePrompts()
        self.services = SimpleNamespace(
            platform=platform, prompts=self.prompts, settings=SimpleNamespace(ringing_s=30.0)
        )
        self.room = SimpleNamespace(invitations=set())
        self.row = SimpleNamespace(resource={"incomingContext": None})
        self.is_app_hosted = self.has_entered = self.is_established = True
        self.told: list[Notification] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.operations = Operations(self)
        self.member = self.join("app", kind="application")

    def join(self, name: str, kind: str = "user", **how: Any) -> Member:
        return self.conversation.add(
            identity=identity_set(kind, name, name), kind=kind, display_name=name, **how
        )

    def ring(self, target: requests.Target, timeout_s: float) -> FakeInvitation:
        return FakeInvitation(self.room, target)

    def expect_established(self) -> None:
        if not self.is_established:
            raise errors.call_not_established()

    def expect_group(self) -> None:
        if not self.conversation.is_group:
            raise errors.not_a_group_call()

    def expect_store(self) -> None:
        """It is there."""

    async def operate(self, begun: OperationRow) -> bool:
        return True

    async def notify(self, *notifications: Notification, ended: str | None = None) -> None:
        self.told.extend(notifications)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self.tasks.append(task)
        return task

    async def settle(self) -> Json:
        """Wait for what was begun; return what was told of the last operation."""
        await asyncio.gather(*self.tasks)
        return dict(cast(Json, self.told[-1].resource_data))

    @property
    def as_live(self) -> LiveCall:
        return cast(LiveCall, self)


@pytest.fixture
async def call() -> AsyncIterator[FakeLive]:
    call = FakeLive()
    yield call
    await call.conversation.close()


def invite_request(*names: str, **members: Any) -> requests.InviteRequest:
    people = [{"identity": {"user": {"id": name}}, **members} for name in names]
    return requests.parse_invite({"participants": people, "clientContext": "cc"})


def routing_request(call: FakeLive, *ids: str, **members: Any) -> requests.RoutingGroup:
    sources, receivers = [call.member.participant_id], list(ids)
    body = {"id": "g", "routingMode": "multicast", "sources": sources, "receivers": receivers}
    return requests.parse_routing_group(body | members)


async def refused(work: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(GraphError) as caught:
        await work
    return caught.value.status, caught.value.code


Verb = Callable[[FakeLive], Awaitable[Any]]
HOLD = requests.HoldMusicRequest(None, True, None)
VERBS: dict[str, Verb] = {
    "invite": lambda call: group.invite(call.as_live, invite_request("anna")),
    "remove": lambda call: group.remove(call.as_live, "p"),
    "mute": lambda call: group.mute(call.as_live, "p", None),
    "muteAll": lambda call: group.mute_all(call.as_live, requests.MuteAllRequest(("p",), None)),
    "mute self": lambda call: group.mute_self(call.as_live, None),
    "unmute self": lambda call: group.unmute_self(call.as_live, None),
    "startHoldMusic": lambda call: group.start_hold_music(call.as_live, "p", HOLD),
    "stopHoldMusic": lambda call: group.stop_hold_music(call.as_live, "p", None),
    "role": lambda call: group.change_screen_sharing_role(call.as_live, "sharer"),
    "gallery": lambda call: group.add_large_gallery_view(call.as_live, None),
    "create group": lambda call: group.create_routing_group(
        call.as_live, routing_request(call, "p")
    ),
    "delete group": lambda call: group.delete_routing_group(call.as_live, "g"),
    "admit": lambda call: group.admit(call.as_live, "p"),
    "deny": lambda call: group.deny(call.as_live, "p"),
}


@pytest.mark.parametrize("name", VERBS)
async def test_a_verb_needs_an_established_group_call(name: str) -> None:
    two = FakeLive("peerToPeer")
    assert await refused(VERBS[name](two)) == (400, "8548")
    two.is_established = False
    assert await refused(VERBS[name](two)) == (400, "8501")
    gone = FakeLive()
    gone.conversation.remove(gone.member)
    assert await refused(VERBS[name](gone)) == (400, "8528")
    assert two.operations.all() == gone.operations.all() == []


async def test_an_unknown_participant_is_not_found(call: FakeLive) -> None:
    for name in ("remove", "mute", "startHoldMusic", "stopHoldMusic", "admit", "deny"):
        assert await refused(VERBS[name](call)) == (404, "8522"), name
    assert await refused(VERBS["muteAll"](call)) == (400, "8558")
    assert await refused(VERBS["create group"](call)) == (400, "8558")
    with pytest.raises(GraphError):
        group.participant(call.as_live, "p")


async def test_while_it_is_being_called_it_sees_nobody(call: FakeLive) -> None:
    call.has_entered = False
    assert group.participants(call.as_live) == []
    assert group.routing_groups(call.as_live) == []
    assert group.content_sharing_sessions(call.as_live) == []


async def test_in_the_lobby_nothing_can_be_done_to_others() -> None:
    call = FakeLive("meeting")
    anna = call.join("anna")
    call.member.in_lobby = True
    ids = anna.participant_id
    assert [entry["id"] for entry in group.participants(call.as_live)] == [
        call.member.participant_id
    ]
    assert await refused(group.mute(call.as_live, ids, None)) == (404, "8522")
    assert await refused(group.remove(call.as_live, ids)) == (404, "8522")
    for name in ("invite", "startHoldMusic", "role", "gallery", "create group", "admit"):
        assert await refused(VERBS[name](call)) == (400, "8585"), name
    await call.conversation.close()


async def test_muting_others_and_oneself(call: FakeLive) -> None:
    anna, bert = call.join("anna"), call.join("bert")
    operation = await group.mute(call.as_live, anna.participant_id, "cc")
    assert operation["@odata.type"] == "#microsoft.graph.muteParticipantOperation"
    assert (operation["status"], operation["clientContext"]) == ("completed", "cc")
    asked = requests.MuteAllRequest((bert.participant_id, "p"), None)
    assert await refused(group.mute_all(call.as_live, asked)) == (400, "8558")
    states = [(anna.is_muted, bert.is_muted)]
    asked = requests.MuteAllRequest((anna.participant_id, bert.participant_id), None)
    operation = await group.mute_all(call.as_live, asked)
    assert operation["participants"] == [anna.participant_id, bert.participant_id]
    states.append((anna.is_muted, bert.is_muted))
    assert states == [(True, False), (True, True)]
    await group.mute_self(call.as_live, None)
    assert group.participant(call.as_live, call.member.participant_id)["isMuted"]
    operation = await group.unmute_self(call.as_live, None)
    assert operation["@odata.type"] == "#microsoft.graph.unmuteParticipantOperation"
    assert not group.participant(call.as_live, call.member.participant_id)["isMuted"]
    assert call.told == []


async def test_an_invitation_runs_until_all_are_reached(call: FakeLive) -> None:
    operation = await group.invite(call.as_live, invite_request("anna", "bert"))
    assert operation["status"] == "running"
    anna, bert = sorted(call.room.invitations, key=lambda one: str(one.target.id))
    shown = {entry["participantId"] for entry in operation["participants"]}
    assert shown == {anna.id, bert.id}
    member = call.join("anna")
    anna.settle(Answered(cast(Any, SimpleNamespace(member=member))))
    assert call.told == []
    bert.settle(Failed(cs.NOT_ANSWERED))
    told = await call.settle()
    assert call.told[0].resource_path == ("call", "operations", operation["id"])
    assert (told["status"], told["clientContext"]) == ("completed", "cc")
    assert [entry["participantId"] for entry in told["participants"]] == [member.participant_id]


async def test_an_invitation_that_nobody_takes_fails(call: FakeLive) -> None:
    await group.invite(call.as_live, invite_request("anna"))
    (invitation,) = call.room.invitations
    await group.remove(call.as_live, invitation.id)
    told = await call.settle()
    assert told["status"] == "failed"
    assert (told["resultInfo"]["code"], told["resultInfo"]["subcode"]) == (412, 9999)
    assert "487#0" in told["resultInfo"]["message"]


async def test_an_identity_is_invited_once(call: FakeLive) -> None:
    call.join("anna")
    assert await refused(group.invite(call.as_live, invite_request("anna"))) == (409, "8519")
    await group.invite(call.as_live, invite_request("bert"))
    both = invite_request("carl", "bert")
    assert await refused(group.invite(call.as_live, both)) == (409, "8519")
    assert len(call.room.invitations) == 1
    for invitation in tuple(call.room.invitations):
        invitation.cancel("hangup")
    await call.settle()


async def test_removing_ends_all_but_the_organizer(call: FakeLive) -> None:
    organizer, anna = call.join("boss", meeting_role="organizer"), call.join("anna")
    ends: list[ResultInfo] = []
    anna.on_removed = ends.append
    await group.remove(call.as_live, anna.participant_id)
    assert ends == [cs.REMOVED]
    assert anna.participant_id not in call.conversation.members
    assert await refused(group.remove(call.as_live, organizer.participant_id)) == (400, "8552")
    assert organizer.participant_id in call.conversation.members


async def test_the_lobby_is_opened_or_not() -> None:
    call = FakeLive("meeting")
    guests = [call.join(name, in_lobby=True) for name in ("anna", "bert")]
    ends: list[ResultInfo] = []
    guests[1].on_removed = ends.append
    await group.admit(call.as_live, guests[0].participant_id)
    assert not guests[0].in_lobby
    again = group.admit(call.as_live, guests[0].participant_id)
    assert await refused(again) == (409, "8519")
    await group.deny(call.as_live, guests[1].participant_id)
    assert ends == [cs.DENIED]
    await call.conversation.close()


async def test_one_at_a_time_hears_hold_music(call: FakeLive) -> None:
    anna, bert = call.join("anna"), call.join("bert")
    operation = await group.start_hold_music(call.as_live, anna.participant_id, HOLD)
    assert operation["status"] == "running"
    told = await call.settle()
    assert (told["id"], told["status"]) == (operation["id"], "completed")
    states = [anna.is_on_hold]
    second = group.start_hold_music(call.as_live, bert.participant_id, HOLD)
    assert await refused(second) == (409, "8519")
    stop = group.stop_hold_music(call.as_live, bert.participant_id, None)
    assert await refused(stop) == (409, "8519")
    operation = await group.stop_hold_music(call.as_live, anna.participant_id, "cc")
    assert operation["status"] == "completed"
    states.append(anna.is_on_hold)
    assert states == [True, False]


async def test_what_happens_while_music_is_fetched_counts(call: FakeLive) -> None:
    anna, bert = call.join("anna"), call.join("bert")
    call.prompts.may_fetch.clear()
    asked = requests.HoldMusicRequest(MediaInfo(PROMPT, None), True, None)
    for member in (anna, bert):
        await group.start_hold_music(call.as_live, member.participant_id, asked)
    call.conversation.remove(anna)
    call.prompts.may_fetch.set()
    await call.settle()
    results = {
        (data["status"], data["resultInfo"]["subcode"])
        for data in (cast(Json, told.resource_data) for told in call.told)
    }
    assert results == {("failed", 8558), ("completed", 0)}
    assert bert.is_on_hold
    assert call.conversation.stop_music(bert)
    call.prompts.failure = PromptError(8536, "not there")
    await group.start_hold_music(call.as_live, bert.participant_id, asked)
    told = await call.settle()
    assert (told["status"], told["resultInfo"]["subcode"]) == ("failed", 8536)
    assert not bert.is_on_hold


async def test_routing_groups_are_made_changed_shown_and_undone(call: FakeLive) -> None:
    anna, bert = call.join("anna").participant_id, call.join("bert").participant_id
    made = await group.create_routing_group(call.as_live, routing_request(call, anna))
    assert made == {
        "@odata.type": "#microsoft.graph.audioRoutingGroup",
        "id": "g",
        "routingMode": "multicast",
        "sources": [call.member.participant_id],
        "receivers": [anna],
    }
    twice = group.create_routing_group(call.as_live, routing_request(call, anna))
    assert await refused(twice) == (409, "8519")
    change = requests.parse_routing_group({"receivers": [anna, bert]}, partial=True)
    changed = await group.update_routing_group(call.as_live, "g", change)
    assert changed == group.routing_group(call.as_live, "g") == made | {"receivers": [anna, bert]}
    wrong = requests.parse_routing_group({"receivers": ["p"]}, partial=True)
    assert await refused(group.update_routing_group(call.as_live, "g", wrong)) == (400, "8558")
    other = group.update_routing_group(call.as_live, "h", change)
    assert await refused(other) == (404, "8522")
    assert group.routing_groups(call.as_live) == [changed]
    await group.delete_routing_group(call.as_live, "g")
    assert group.routing_groups(call.as_live) == []
    assert await refused(group.delete_routing_group(call.as_live, "g")) == (404, "8522")


async def test_the_screen_sharing_role_starts_and_ends_a_session(call: FakeLive) -> None:
    await group.change_screen_sharing_role(call.as_live, "sharer")
    (session,) = group.content_sharing_sessions(call.as_live)
    assert session["presenterParticipantId"] == call.member.participant_id
    assert group.content_sharing(call.as_live, session["id"]) == session
    stream = group.participants(call.as_live)[0]["mediaStreams"][1]
    assert (stream["direction"], stream["label"]) == ("sendOnly", "applicationsharing-video")
    await group.change_screen_sharing_role(call.as_live, "viewer")
    assert group.content_sharing_sessions(call.as_live) == []
    with pytest.raises(GraphError):
        group.content_sharing(call.as_live, session["id"])
    call.is_app_hosted = False
    role = group.change_screen_sharing_role(call.as_live, "sharer")
    assert await refused(role) == (400, "8500")


async def test_recording_shows_at_who_is_recorded(call: FakeLive) -> None:
    anna = call.join("anna")
    operation = await group.update_recording_status(call.as_live, "recording", "cc")
    assert operation["status"] == "completed"
    own = group.participant(call.as_live, call.member.participant_id)
    assert own["recordingInfo"]["recordingStatus"] == "recording"
    call.row.resource["incomingContext"] = {"observedParticipantId": anna.participant_id}
    await group.update_recording_status(call.as_live, "recording", None)
    observed = group.participant(call.as_live, anna.participant_id)["recordingInfo"]
    assert observed["initiator"] == call.member.identity


async def test_one_large_gallery_shows_after_its_operation(call: FakeLive) -> None:
    operation = await group.add_large_gallery_view(call.as_live, "cc")
    second = await group.add_large_gallery_view(call.as_live, None)
    await call.settle()
    statuses = {cast(Json, told.resource_data)["id"]: told.resource_data for told in call.told}
    assert cast(Json, statuses[operation["id"]])["status"] == "completed"
    assert cast(Json, statuses[second["id"]])["status"] == "failed"
    gallery = group.participants(call.as_live)[1]
    assert await refused(group.add_large_gallery_view(call.as_live, None)) == (409, "8519")
    await group.remove(call.as_live, gallery["id"])
    assert len(group.participants(call.as_live)) == 1
