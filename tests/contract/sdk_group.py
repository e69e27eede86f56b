"""The SDK's requests about participants, who hears whom, and what is shared."""

from __future__ import annotations

from msgraph_beta.generated.communications.calls.item.add_large_gallery_view import (
    add_large_gallery_view_post_request_body as large_gallery,
)
from msgraph_beta.generated.communications.calls.item.change_screen_sharing_role import (
    change_screen_sharing_role_post_request_body as screen_sharing,
)
from msgraph_beta.generated.communications.calls.item.mute import mute_post_request_body as mute
from msgraph_beta.generated.communications.calls.item.participants.invite import (
    invite_post_request_body as invite,
)
from msgraph_beta.generated.communications.calls.item.participants.item.mute import (
    mute_post_request_body as participant_mute,
)
from msgraph_beta.generated.communications.calls.item.participants.item.start_hold_music import (
    start_hold_music_post_request_body as start_hold,
)
from msgraph_beta.generated.communications.calls.item.participants.item.stop_hold_music import (
    stop_hold_music_post_request_body as stop_hold,
)
from msgraph_beta.generated.communications.calls.item.participants.mute_all import (
    mute_all_post_request_body as mute_all,
)
from msgraph_beta.generated.communications.calls.item.unmute import (
    unmute_post_request_body as unmute,
)
from msgraph_beta.generated.models.add_large_gallery_view_operation import (
    AddLargeGalleryViewOperation,
)
from msgraph_beta.generated.models.audio_routing_group import AudioRoutingGroup
from msgraph_beta.generated.models.invite_participants_operation import InviteParticipantsOperation
from msgraph_beta.generated.models.mute_participant_operation import MuteParticipantOperation
from msgraph_beta.generated.models.mute_participants_operation import MuteParticipantsOperation
from msgraph_beta.generated.models.operation_status import OperationStatus
from msgraph_beta.generated.models.participant import Participant
from msgraph_beta.generated.models.routing_mode import RoutingMode
from msgraph_beta.generated.models.screen_sharing_role import ScreenSharingRole
from msgraph_beta.generated.models.start_hold_music_operation import StartHoldMusicOperation
from msgraph_beta.generated.models.stop_hold_music_operation import StopHoldMusicOperation
from msgraph_beta.generated.models.unmute_participant_operation import UnmuteParticipantOperation

from tests.contract.sdk_world import ALICE, CALL, CONTEXT, Drivers, Made, World, user
from tests.contract.stage import WAIT_S
from tests.support import eventually

drives = Drivers()
PARTICIPANT = f"{CALL}/participants/{{participant-id}}"
GROUP = f"{CALL}/audioRoutingGroups/{{audioRoutingGroup-id}}"
SHARING = f"{CALL}/contentSharingSessions"
APP_HOSTED_MEETING = "08_meeting_app_hosted"


async def shown(made: Made, participant_id: str) -> Participant:
    found = await made.call.participants.by_participant_id(participant_id).get()
    assert found is not None
    return found


@drives(f"GET {CALL}/participants", f"GET {CALL}/participants/$count", f"GET {PARTICIPANT}")
async def participants(world: World) -> None:
    async with world.meeting() as made:
        page = await made.call.participants.get()
        assert page is not None
        assert page.value is not None
        assert await made.call.participants.count.get() == len(page.value) == 2
        john = await shown(made, await made.johns())
        assert (john.is_muted, john.is_in_lobby) == (False, False)
        assert john.info is not None
        assert john.media_streams is not None
        assert [stream.label for stream in john.media_streams] == ["main-audio"]
        assert (await shown(made, await made.own())).id == await made.own()


@drives(f"POST {CALL}/participants/invite")
async def invited(world: World) -> None:
    async with world.meeting() as made, world.stage.person("Alice") as alice:
        operation = await made.call.participants.invite.post(
            invite.InvitePostRequestBody(
                participants=[user(ALICE, "Alice")], client_context=CONTEXT
            )
        )
        assert isinstance(operation, InviteParticipantsOperation)
        assert operation.status is OperationStatus.Running
        assert operation.client_context == CONTEXT
        assert operation.participants is not None
        assert len(operation.participants) == 1
        await alice.told("answered")
        await made.told("deleted inviteParticipantsOperation")
        assert await made.call.participants.count.get() == 3


@drives(f"DELETE {PARTICIPANT}")
async def removed(world: World) -> None:
    async with world.meeting() as made:
        await made.call.participants.by_participant_id(await made.johns()).delete()
        await made.john.told("ended")
        assert await made.call.participants.count.get() == 1


@drives(f"POST {CALL}/participants/muteAll")
async def all_muted(world: World) -> None:
    async with world.meeting() as made:
        john = await made.johns()
        operation = await made.call.participants.mute_all.post(
            mute_all.MuteAllPostRequestBody(participants=[john], client_context=CONTEXT)
        )
        assert isinstance(operation, MuteParticipantsOperation)
        assert operation.status is OperationStatus.Completed
        assert operation.participants == [john]
        assert (await shown(made, john)).is_muted


@drives(f"POST {PARTICIPANT}/mute")
async def one_muted(world: World) -> None:
    async with world.meeting() as made:
        john = await made.johns()
        operation = await made.call.participants.by_participant_id(john).mute.post(
            participant_mute.MutePostRequestBody(client_context=CONTEXT)
        )
        assert isinstance(operation, MuteParticipantOperation)
        assert operation.status is OperationStatus.Completed
        assert operation.client_context == CONTEXT
        entry = await shown(made, john)
        assert entry.is_muted
        assert entry.media_streams is not None
        assert entry.media_streams[0].server_muted


@drives(f"POST {CALL}/mute", f"POST {CALL}/unmute")
async def self_muted(world: World) -> None:
    async with world.meeting() as made:
        muted = await made.call.mute.post(mute.MutePostRequestBody(client_context=CONTEXT))
        assert isinstance(muted, MuteParticipantOperation)
        assert muted.status is OperationStatus.Completed
        assert (await shown(made, await made.own())).is_muted
        heard = await made.call.unmute.post(unmute.UnmutePostRequestBody(client_context=CONTEXT))
        assert isinstance(heard, UnmuteParticipantOperation)
        assert heard.status is OperationStatus.Completed
        assert not (await shown(made, await made.own())).is_muted


@drives(f"POST {PARTICIPANT}/startHoldMusic", f"POST {PARTICIPANT}/stopHoldMusic")
async def hold_music(world: World) -> None:
    async with world.meeting() as made:
        john = made.call.participants.by_participant_id(await made.johns())
        started = await john.start_hold_music.post(
            start_hold.StartHoldMusicPostRequestBody(
                custom_prompt=world.prompt(), client_context=CONTEXT
            )
        )
        assert isinstance(started, StartHoldMusicOperation)
        assert started.status is OperationStatus.Running
        assert started.client_context == CONTEXT
        await made.told("deleted startHoldMusicOperation")
        stopped = await john.stop_hold_music.post(
            stop_hold.StopHoldMusicPostRequestBody(client_context=CONTEXT)
        )
        assert isinstance(stopped, StopHoldMusicOperation)
        assert stopped.status is OperationStatus.Completed


@drives(f"POST {CALL}/changeScreenSharingRole")
async def screen_sharing_role(world: World) -> None:
    async with world.meeting(APP_HOSTED_MEETING) as made:
        role = screen_sharing.ChangeScreenSharingRolePostRequestBody
        await made.call.change_screen_sharing_role.post(role(role=ScreenSharingRole.Sharer))
        page = await made.call.content_sharing_sessions.get()
        assert page is not None
        assert page.value is not None
        assert len(page.value) == 1
        await made.call.change_screen_sharing_role.post(role(role=ScreenSharingRole.Viewer))
        assert await made.call.content_sharing_sessions.count.get() == 0


@drives(f"GET {SHARING}", f"GET {SHARING}/$count", f"GET {SHARING}/{{contentSharingSession-id}}")
async def sharing_sessions(world: World) -> None:
    async with world.meeting() as made:
        joined = (await made.john.told("joined"))["callId"]
        await made.john.phone.send(type="share", callId=joined, action="start")

        async def is_shared() -> bool:
            return bool(await made.call.content_sharing_sessions.count.get() == 1)

        await eventually(is_shared, WAIT_S)
        page = await made.call.content_sharing_sessions.get()
        assert page is not None
        assert page.value is not None
        (session,) = page.value
        assert session.id is not None
        one = made.call.content_sharing_sessions.by_content_sharing_session_id(session.id)
        got = await one.get()
        assert got is not None
        assert (got.id, got.presenter_participant_id) == (session.id, await made.johns())


@drives(f"POST {CALL}/addLargeGalleryView")
async def large_gallery_view(world: World) -> None:
    async with world.meeting() as made:
        operation = await made.call.add_large_gallery_view.post(
            large_gallery.AddLargeGalleryViewPostRequestBody(client_context=CONTEXT)
        )
        assert isinstance(operation, AddLargeGalleryViewOperation)
        assert operation.status is OperationStatus.Running
        assert operation.client_context == CONTEXT
        await made.told("deleted addLargeGalleryViewOperation")
        assert await made.call.participants.count.get() == 3


@drives(
    f"POST {CALL}/audioRoutingGroups",
    f"GET {CALL}/audioRoutingGroups",
    f"GET {CALL}/audioRoutingGroups/$count",
    f"GET {GROUP}",
    f"PATCH {GROUP}",
    f"DELETE {GROUP}",
)
async def routing_groups(world: World) -> None:
    async with world.meeting() as made:
        own, john = await made.own(), await made.johns()
        groups = made.call.audio_routing_groups
        body = AudioRoutingGroup(
            id="oneToOne", routing_mode=RoutingMode.OneToOne, sources=[own], receivers=[john]
        )
        created = await groups.post(body)
        assert created is not None
        assert (created.id, created.routing_mode) == ("oneToOne", RoutingMode.OneToOne)
        page = await groups.get()
        assert page is not None
        assert page.value is not None
        assert [group.id for group in page.value] == ["oneToOne"]
        assert await groups.count.get() == 1
        one = groups.by_audio_routing_group_id("oneToOne")
        change = AudioRoutingGroup(
            id="oneToOne", routing_mode=RoutingMode.Multicast, sources=[john], receivers=[own]
        )
        changed = await one.patch(change)
        assert changed is not None
        assert (changed.routing_mode, changed.sources) == (RoutingMode.Multicast, [john])
        got = await one.get()
        assert got is not None
        assert got.receivers == [own]
        await one.delete()
        assert await groups.count.get() == 0
