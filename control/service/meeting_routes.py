"""The routes of meetings: a user of the directory makes and lists them, and minds their lobbies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from .. import call_state as cs
from ..graph import errors
from ..graph.fields import Fields
from ..store.base import MeetingRow, UserRow
from .bodies import read_json
from .conversation import Conversation
from .directory import Directory
from .meetings import Meetings
from .member import Member
from .openapi import described
from .rooms import Rooms

Json = dict[str, Any]

PATH = "/mixminus/v1/meetings"


class MeetingRoutes:
    """Meetings over HTTP, for users: the Bearer is the token that their devices register with.

    *on_created* is awaited before the answer to whoever made a meeting.
    """

    def __init__(
        self,
        meetings: Meetings,
        directory: Directory,
        rooms: Rooms,
        on_created: Callable[[], Awaitable[None]],
    ) -> None:
        self._meetings, self._directory, self._rooms = meetings, directory, rooms
        self._on_created = on_created

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PATH, tags=["mixminus"])

        @router.post("", **described("", "createMeeting", 201, "meetingRequest", "meeting"))
        async def create(request: Request) -> Response:
            """Schedule a meeting, whose organizer is the user."""
            organizer = self._user(request)
            fields = Fields.of_body(await read_json(request))
            meeting = await self._meetings.create(
                organizer,
                fields.text("subject") or "",
                with_passcode=fields.boolean("passcode", True),
                lobby=fields.boolean("lobby", True),
                allow_without_host=fields.boolean("allowWithoutHost", True),
                in_channel=fields.boolean("channel", False),
            )
            await self._on_created()
            return JSONResponse(self._shown(meeting), 201)

        @router.get("", **described("", "listMeetings", 200, reply="meetings"))
        async def list_all(request: Request) -> Response:
            """List all meetings."""
            self._user(request)
            found = [self._shown(meeting) for meeting in await self._meetings.all()]
            return JSONResponse({"value": found})

        @router.get("/{join_meeting_id}", **described("", "getMeeting", 200, reply="meeting"))
        async def get(join_meeting_id: str, request: Request) -> Response:
            """Get a meeting."""
            self._user(request)
            return JSONResponse(self._shown(await self._meetings.known(join_meeting_id)))

        @router.get("/{join_meeting_id}/lobby", **described("", "listLobby", 200, reply="guests"))
        async def lobby(join_meeting_id: str, request: Request) -> Response:
            """List who waits in the lobby of a meeting."""
            self._user(request)
            conversation = self._under_way(await self._meetings.known(join_meeting_id))
            members = [] if conversation is None else list(conversation.members.values())
            waiting = [_waiting(member) for member in members if member.in_lobby]
            return JSONResponse({"value": waiting})

        @router.post(
            "/{join_meeting_id}/lobby/{participant_id}/admit",
            **described("", "admitFromLobby", 204),
        )
        async def admit(join_meeting_id: str, participant_id: str, request: Request) -> Response:
            """Let a guest in."""
            conversation, member = await self._guest(request, join_meeting_id, participant_id)
            conversation.admit(member)
            return Response(status_code=204)

        @router.post(
            "/{join_meeting_id}/lobby/{participant_id}/deny",
            **described("", "denyFromLobby", 204),
        )
        async def deny(join_meeting_id: str, participant_id: str, request: Request) -> Response:
            """Send a guest away."""
            conversation, member = await self._guest(request, join_meeting_id, participant_id)
            conversation.expel(member, cs.DENIED)
            return Response(status_code=204)

        return router

    def _user(self, request: Request) -> UserRow:
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        user = self._directory.authenticate(token.strip())
        if scheme.casefold() != "bearer" or user is None:
            raise errors.unauthenticated("Expected the token of a user of the directory.")
        return user

    async def _guest(
        self, request: Request, join_meeting_id: str, participant_id: str
    ) -> tuple[Conversation, Member]:
        """Return who waits in the lobby under that id, and where."""
        self._user(request)
        conversation = self._under_way(await self._meetings.known(join_meeting_id))
        member = None if conversation is None else conversation.members.get(participant_id)
        if conversation is None or member is None:
            raise errors.not_found("Participant")
        if not member.in_lobby:
            raise errors.conflict(f"Participant {participant_id} is not in the lobby.")
        return conversation, member

    def _under_way(self, meeting: MeetingRow) -> Conversation | None:
        room = self._rooms.under_way(meeting)
        return None if room is None else room.conversation

    def _shown(self, meeting: MeetingRow) -> Json:
        conversation = self._under_way(meeting)
        return {
            "subject": meeting.subject,
            "organizer": {"id": meeting.organizer_id, "displayName": meeting.organizer_name},
            "tenantId": meeting.tenant_id,
            "joinUrl": meeting.join_url,
            "threadId": meeting.thread_id,
            "messageId": meeting.message_id,
            "joinMeetingId": meeting.join_meeting_id,
            "passcode": meeting.passcode,
            "token": self._meetings.token(meeting),
            "lobby": meeting.lobby,
            "allowWithoutHost": meeting.allow_without_host,
            "isAdHoc": meeting.is_ad_hoc,
            "createdDateTime": meeting.created_at,
            "participants": 0 if conversation is None else len(conversation.members),
        }


def _waiting(member: Member) -> Json:
    return {
        "participantId": member.participant_id,
        "displayName": member.display_name,
        "kind": member.kind,
        "since": member.joined_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
