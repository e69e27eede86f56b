"""All calls of a service: made, received, found, reported on, ended."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from mixminus.media.descriptor import MediaSessionDescriptor

from .. import call_state as cs
from ..graph import errors
from ..graph.participants import identity_set
from ..graph.requests import CallOptions, CallRequest, MediaConfig, Target
from ..graph.resources import CallIdentity, answered_by, call_resource, incoming_call_resource
from ..operation.call_context import concerning, enter_concern
from ..store.base import AppRow, CallRow, MeetingRow, StoreError
from .bot_media import BotMedia
from .call_report import CallReport, report_of
from .guard import AddressGuard, AddressRefusedError
from .invitation import AppUnreachableError
from .leftovers import OnOver, end_leftovers
from .lineages import Claim, Lineages, descriptor_of
from .live_call import LiveCall
from .meetings import Meetings
from .member import Member
from .plans import EnterPlan, Plan, RingPlan
from .rooms import GROUP, PEER_TO_PEER, Party, Room
from .services import CallServices
from .tokens import Principal

log = logging.getLogger("mixminus.control.calls")

KEPT_CALLS = 100
"""How many calls that are over can still be reported on."""

END_S = 10.0
"""How long a call may take to end when the service stops."""

FULL_RETRY_AFTER_S = 10.0
"""When to try again where there are max_calls already."""

LINK_SLOTS = 16
HOSTED_SLOTS = 64
"""Ring slots of a leg whose audio this service plays and records itself: it may stall for 1.2 s."""


class CallBook:
    """Makes calls, finds them, and reports on them.

    Thread: the loop's.
    """

    def __init__(self, services: CallServices, guard: AddressGuard, meetings: Meetings) -> None:
        self._services, self._guard, self._meetings = services, guard, meetings
        self._living: dict[str, LiveCall] = {}
        self._over: OrderedDict[str, CallReport] = OrderedDict()
        self.lineages = Lineages()
        self._forgetting: set[asyncio.Task[None]] = set()
        self._is_closing = False

    @property
    def living(self) -> int:
        """How many calls are not over."""
        return len(self._living)

    def __iter__(self) -> Iterator[LiveCall]:
        """Iterate over the calls that are not over."""
        return iter(tuple(self._living.values()))

    def living_call(self, call_id: str) -> LiveCall | None:
        """Return a living call of whatever application: for this process's own operator."""
        return self._living.get(call_id)

    def ended(self, call_id: str) -> CallReport | None:
        """Return what happened in one of the last that are over; likewise."""
        return self._over.get(call_id)

    async def end_leftovers(self, on_over: OnOver) -> None:
        """End what a crash left, with what its lineages were; *on_over* makes the records.

        Raises: StoreError.
        """
        store = self._services.store
        for row in await end_leftovers(store, on_over):
            self.lineages.learn(row)
        await store.forget_calls(KEPT_CALLS)

    async def create(self, request: CallRequest, app: AppRow) -> dict[str, Any]:
        """Make a call and begin to set it up; return its resource.

        Raises: GraphError.
        """
        if request.source_app_id not in (None, app.app_id):
            raise errors.source_identity_invalid()
        descriptor = descriptor_of(request.media)
        # One that goes on with a call that lives is no more work than that call was.
        goes_on = self.lineages.continues(app.app_id, app.tenant_id, descriptor)
        if not goes_on and (refusal := self._services.admission.refusal()):
            raise errors.no_more_calls(refusal.message, refusal.retry_after_s)
        if request.source_kind == "applicationInstance":
            self._expect_own_instance(request, app)
        for target in request.targets:
            if target.kind == "user" and self._services.directory.user(target.id) is None:
                raise errors.user_not_found(target.id)
        media = await self.bot_media(request.media)
        await self.expect_reachable("callbackUri", request.callback_uri)
        with self.lineages.claim(app.app_id, app.tenant_id, descriptor) as claim:
            room, in_lobby, request = await self._room_for(request, app, claim)
            try:
                # After the last wait: other calls may have been made, or the end begun, during it.
                self._expect_room_for_more(claim.older)
                return await self._create_in(room, request, app, media, claim, in_lobby=in_lobby)
            except BaseException:
                self._services.rooms.discard(room)
                raise

    async def receive(
        self,
        target: Target,
        room: Room,
        source: Party,
        *,
        call_id: str | None = None,
        policy_recording: bool = False,
        transferor: dict[str, Any] | None = None,
        call_routes: Sequence[dict[str, Any]] = (),
    ) -> LiveCall:
        """Tell an application of an incoming call from *source*; see its ``settled``.

        Raises: AppUnreachableError; StoreError.
        """
        services = self._services
        app = await services.store.app(target.id)
        if app is None:
            raise AppUnreachableError(f"no application {target.id} is registered")
        if app.webhook is None:
            raise AppUnreachableError(f"the application {target.id} has no webhook")
        if self._is_closing or self.living >= services.settings.max_calls:
            raise AppUnreachableError("no more calls now")
        if refusal := services.admission.refusal():
            raise AppUnreachableError(refusal.message)
        call_id = call_id or str(uuid.uuid4())
        participant_id = str(uuid.uuid4())
        caller = source.member
        resource = incoming_call_resource(
            self._identity(call_id, participant_id, room, app),
            callback_uri=app.webhook,
            source=answered_by(caller.identity),
            source_participant_id=caller.participant_id,
            observed_participant_id=caller.participant_id if policy_recording else None,
            transferor=transferor,
            call_routes=call_routes,
            **_meeting_members(room),
        )
        row = CallRow(
            call_id, app.app_id, app.tenant_id, app.webhook, resource["state"], False, resource
        )
        live = LiveCall(
            services,
            row,
            room=room,
            member=None,
            media=None,
            plan=EnterPlan(),
            options=CallOptions(),
            on_over=self._call_over,
        )
        settings = services.settings
        seconds = settings.answer_policy_s if policy_recording else settings.answer_s
        live.set_timer("answer", seconds, lambda: live.end(cs.BOT_SILENT))
        await self._begin(live)
        return live

    async def bot_media(self, config: MediaConfig) -> BotMedia:
        """Make what carries a bot's audio.

        Raises: GraphError 400 for a blob that cannot be read or an address that is refused.
        """
        if not config.is_app_hosted:
            for info in config.prefetch:
                await self.expect_reachable("mediaConfig.preFetchMedia.uri", info.uri)
            return BotMedia(self._services, config, None)
        descriptor = descriptor_of(config)
        assert descriptor is not None  # They are the application's.
        await self.expect_reachable("mpUri", descriptor.mp_uri, ("wss", "net.tcp"))
        return BotMedia(self._services, config, descriptor)

    async def expect_reachable(
        self, name: str, uri: str, schemes: tuple[str, ...] = ("https",)
    ) -> None:
        """Refuse an address that this service may not connect to.

        Raises: GraphError 400 naming the member.
        """
        try:
            await self._guard.pin(uri, schemes)
        except AddressRefusedError as error:
            raise errors.invalid_argument(f"{name}: {error}.") from None

    def find(self, call_id: str, principal: Principal) -> LiveCall:
        """Return a living call of that application.

        Raises: GraphError 404, also for another application's call.
        """
        live = self._living.get(call_id)
        if live is None or not _may_see(principal, live.app_id, live.tenant_id):
            raise errors.call_not_found()
        return live

    def of_app(self, call_id: str, like: LiveCall) -> LiveCall | None:
        """Return a living call of the same application as *like*, or None."""
        other = self._living.get(call_id)
        same = other is not None and (other.app_id, other.tenant_id) == (
            like.app_id,
            like.tenant_id,
        )
        return other if same else None

    async def report(self, call_id: str, principal: Principal) -> dict[str, Any]:
        """Return what happened in a call, also in one of the last that are over.

        Raises: GraphError 404.
        """
        live = self._living.get(call_id)
        report = self._over.get(call_id) if live is None else report_of(live)
        if report is None or not _may_see(principal, report.app_id, report.tenant_id):
            raise errors.call_not_found()
        counts = await self._services.store.notification_counts(call_id)
        return {
            "callId": call_id,
            "state": report.state,
            "states": [{"state": s.state, "atMs": s.at_ms} for s in report.states],
            "notifications": asdict(counts),
            "legs": report.legs,
            "transports": report.transports,
            "engine": asdict(report.engine),
            "latenessUs": [round(us, 1) for us in report.lateness_us.tolist()],
        }

    async def close(self) -> None:
        """End all calls, and wait until they are over. Again is no error."""
        self._is_closing = True
        living = list(self._living.values())
        await asyncio.gather(*(self._end(live) for live in living))
        await asyncio.gather(*self._forgetting, return_exceptions=True)

    # ---- making ----------------------------------------------------------------------------------

    async def _room_for(
        self, request: CallRequest, app: AppRow, claim: Claim
    ) -> tuple[Room, bool, CallRequest]:
        """Return where the call takes place, and whether the application waits in a lobby."""
        if request.meeting is None:
            kind = PEER_TO_PEER if len(request.targets) == 1 else GROUP
            organizer = identity_set("application", app.app_id, app.display_name)
            return self._services.rooms.create(kind, organizer=organizer), False, request
        meeting = await self._meetings.find(request.meeting, app.tenant_id)
        room = self._services.rooms.of_meeting(meeting)
        source_id = request.source_id or app.app_id
        replaced = claim.member_in(room, request.source_kind, source_id)
        if replaced is None and room.conversation.has_identity(request.source_kind, source_id):
            raise errors.conflict(
                "This identity is in the meeting already: join again under another source."
            )
        is_guest = request.source_kind == "guest"
        is_admitted = replaced is not None and not replaced.in_lobby
        return room, is_guest and meeting.lobby and not is_admitted, _resolved(request, meeting)

    async def _create_in(
        self,
        room: Room,
        request: CallRequest,
        app: AppRow,
        media: BotMedia,
        claim: Claim,
        *,
        in_lobby: bool,
    ) -> dict[str, Any]:
        participant_id, call_id = str(uuid.uuid4()), str(uuid.uuid4())
        name = request.source_name or app.display_name
        member = add_app_member(
            room,
            identity=identity_set(request.source_kind, request.source_id or app.app_id, name),
            kind=request.source_kind,
            display_name=name,
            participant_id=participant_id,
            app_id=app.app_id,
            media=media,
            in_lobby=in_lobby,
            in_default_mix=request.media.in_default_mix,
        )
        before = claim.member_in(room, member.kind, member.identity_id)
        if before is not None:
            # Nobody is to be heard, or seen, by being in a later epoch.
            room.conversation.set_muted(
                member, client=before.client_muted, server=before.server_muted
            )
            if before.hidden:
                room.conversation.hide(member)
        claim.entered(member)
        identity = self._identity(call_id, participant_id, room, app)
        resource = call_resource(request, identity, shown_config(request.media))
        row = CallRow(
            call_id,
            app.app_id,
            app.tenant_id,
            request.callback_uri,
            resource["state"],
            False,
            resource,
        )
        ringing_s = request.ringing_timeout_s or self._services.settings.ringing_s
        plan: Plan = RingPlan(request.targets, ringing_s) if request.targets else EnterPlan()
        live = LiveCall(
            self._services,
            row,
            room=room,
            member=member,
            media=media,
            plan=plan,
            options=request.options,
            on_over=self._call_over,
        )
        await self._begin(live, claim)
        log.info("call %s: created", row.call_id)
        return live.row.resource

    async def _begin(self, live: LiveCall, claim: Claim | None = None) -> None:
        self._living[live.id] = live
        live.room.call_ids.append(live.id)
        try:
            with concerning(live.concern):
                await live.begin()
            if claim is not None:
                # Before its media are connected: there is one leg at any time.
                claim.begun(live)
            is_incoming = live.row.resource["direction"] == "incoming"
            self._services.call_totals.begin(is_incoming=is_incoming)
        except BaseException:
            del self._living[live.id]
            live.room.call_ids.remove(live.id)
            if not live.room.call_ids:
                # No application was in: what was refused leaves no record.
                live.conversation.history.app_ids.clear()
            await live.close()
            raise

    def _identity(self, call_id: str, participant_id: str, room: Room, app: AppRow) -> CallIdentity:
        return CallIdentity(
            call_id=call_id,
            chain_id=room.id,
            participant_id=participant_id,
            tenant_id=app.tenant_id,
            app_id=app.app_id,
            app_name=app.display_name,
        )

    def _expect_own_instance(self, request: CallRequest, app: AppRow) -> None:
        owner = self._services.directory.instance_owner(request.source_id or "")
        if owner != app.app_id:
            raise errors.source_identity_invalid()

    def _expect_room_for_more(self, older: LiveCall | None) -> None:
        is_full = older is None and self.living >= self._services.settings.max_calls
        if self._is_closing or is_full:
            raise errors.no_more_calls("No more calls now.", FULL_RETRY_AFTER_S)

    # ---- ending ----------------------------------------------------------------------------------

    async def _end(self, live: LiveCall) -> None:
        try:
            async with asyncio.timeout(END_S):
                enter_concern(live.concern)
                await live.dispatch(cs.Ended(cs.SERVICE_STOPPED), may_wait=False)
                await live.ended.wait()
        except TimeoutError:
            log.warning("call %s: did not end within %s s", live.id, END_S)
        except StoreError:
            log.exception("call %s: its end could not be written", live.id)
        finally:
            await live.close()

    def _call_over(self, live: LiveCall) -> None:
        self._over[live.id] = report_of(live)
        while len(self._over) > KEPT_CALLS:
            self._over.popitem(last=False)
        self._living.pop(live.id, None)
        result = live.call.result
        self._services.call_totals.end(result, live.states[-1].at_ms / 1000)
        log.info(
            "call %s: over after %.1f s, %s",
            live.id,
            live.states[-1].at_ms / 1000,
            "" if result is None else f"{result.code}/{result.subcode}",
        )
        task = asyncio.create_task(self._forget(), name="forget calls")
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget(self) -> None:
        try:
            await self._services.store.forget_calls(KEPT_CALLS)
        except StoreError:
            log.exception("ended calls are not forgotten yet")


def add_app_member(
    room: Room,
    *,
    identity: dict[str, Any],
    kind: str,
    display_name: str,
    participant_id: str,
    app_id: str,
    media: BotMedia,
    in_lobby: bool = False,
    in_default_mix: bool = True,
) -> Member:
    """Put an application into a room, with a leg for the audio of its link, or that made here."""
    is_hosted_here = not media.is_app_hosted
    slots = HOSTED_SLOTS if is_hosted_here else LINK_SLOTS
    return room.conversation.add(
        identity=identity,
        kind=kind,
        display_name=display_name,
        participant_id=participant_id,
        in_lobby=in_lobby,
        in_default_mix=in_default_mix,
        meeting_role="guest" if kind == "guest" else "attendee",
        media_kind="service" if is_hosted_here else "link",
        app_id=app_id,
        source_slots=slots,
        render_slots=slots,
        paced=is_hosted_here,
    )


def _resolved(request: CallRequest, meeting: MeetingRow) -> CallRequest:
    """Name the thread of a meeting that was joined by its id or token."""
    if request.chat_info is not None:
        return request
    return replace(request, chat_info=_chat_info(meeting))


def _chat_info(meeting: MeetingRow) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.chatInfo",
        "threadId": meeting.thread_id,
        "messageId": meeting.message_id,
        "replyChainMessageId": None,
    }


def _meeting_members(room: Room) -> dict[str, Any]:
    """Return what an application needs to rejoin the meeting that it is called into."""
    meeting = room.conversation.meeting
    if meeting is None:
        return {}
    organizer = identity_set(
        "user", meeting.organizer_id, meeting.organizer_name, tenantId=meeting.tenant_id
    )
    meeting_info = {
        "@odata.type": "#microsoft.graph.organizerMeetingInfo",
        "organizer": organizer,
        "allowConversationWithoutHost": meeting.allow_without_host,
    }
    return {"chat_info": _chat_info(meeting), "meeting_info": meeting_info}


def shown_config(config: MediaConfig) -> dict[str, Any]:
    """Echo the media configuration, without its secret."""
    if config.blob is None:
        return config.shown
    descriptor = MediaSessionDescriptor.from_blob(config.blob)
    if descriptor.link_secret is None:
        return config.shown
    return {**config.shown, "blob": descriptor.redacted()}


def _may_see(principal: Principal, app_id: str, tenant_id: str) -> bool:
    return (principal.app_id, principal.tenant_id) == (app_id, tenant_id)
