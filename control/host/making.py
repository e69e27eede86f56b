"""Making calls, and calls that were made before: asked for with media, kept, and then followed."""

from __future__ import annotations

import logging
import time
import uuid
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from mixminus.media.session import MediaSession

from ..client.bodies import AppHosted, Media, ServiceHosted, call_body
from ..client.calls import CallsClient
from ..client.models import CallInfo, Identity
from ..client.requests import GraphConnectionError
from ..graph.enums import CallState
from ..graph.notifications import Notification
from ..store.host_base import HostCallRow
from .bot import Bot
from .call import HostedCall
from .call_concerns import CallConcerns
from .call_facts import Addresses
from .durable import CallKeep
from .keeping import HostKeeping, kept_resource
from .names import callback_of
from .parts import MediaKind, Peer, media_of
from .prompts import Playable, PromptFiles
from .strangers import Strangers

log = logging.getLogger("mixminus.control.host")

Body: TypeAlias = dict[str, Any]
Post: TypeAlias = Callable[[Body], Awaitable[CallInfo]]
"""Asks the service for a call."""


class CallMaking:
    """How a host's calls come to be: by being asked for, or asked for again. Thread: the loop's."""

    prompts: PromptFiles
    concerns: CallConcerns
    keeping: HostKeeping | None
    _bot: Bot
    _addresses: Callable[[], Addresses]
    _creating: int
    _is_closing: bool
    _early: deque[tuple[Notification, str]]
    _strangers: Strangers

    @abstractmethod
    def _client_of(self, tenant_id: str) -> CallsClient: ...

    @abstractmethod
    def _expect_open(self) -> None: ...

    @abstractmethod
    def _open_session(self, lineage: str | None = None, epoch: int = 1) -> MediaSession: ...

    @abstractmethod
    async def _drop_session(self, session: MediaSession) -> None: ...

    @abstractmethod
    def _deliver_early(self) -> None: ...

    @abstractmethod
    def _add(
        self,
        resource: Mapping[str, Any],
        peer: Peer,
        tenant_id: str,
        session: MediaSession | None = None,
        *,
        created_at_s: float,
        is_owned: bool = True,
        keep: CallKeep | None = None,
        is_rejoined: bool = False,
    ) -> HostedCall: ...

    # Calls that are made.

    async def _make(
        self,
        kind: str,
        write: Callable[[Media], Body],
        media: MediaKind,
        prefetch: Sequence[Playable],
        in_default_mix: bool,
        peer: Peer,
        post: Post,
    ) -> HostedCall:
        """Ask by *post* for a call, by the body that *write* makes for its media."""
        with self.concerns.made():
            self._expect_open()
            lineage = str(uuid.uuid4())
            session = self._open_session(lineage) if media == "app" else None
            try:
                prompts = [self.prompts.prompt(prompt) for prompt in prefetch]
                hosted = media_of(session, prompts, in_default_mix=in_default_mix)
                body, keep = write(hosted), None
                if self.keeping is not None:
                    body["callbackUri"] = callback_of(self._addresses(), lineage)
                    keep = await self.keeping.begin(
                        body, hosted, kind=kind, lineage=lineage, peer=peer
                    )
            except BaseException:
                if session is not None:
                    await self._drop_session(session)
                raise
            return await self._ask_for(post, body, peer, session, keep)

    async def _ask_for(
        self,
        post: Post,
        body: Body,
        peer: Peer,
        session: MediaSession | None,
        keep: CallKeep | None,
        *,
        is_rejoined: bool = False,
    ) -> HostedCall:
        self._creating += 1
        created_at_s = time.monotonic()
        try:
            info = await post(body)
        except BaseException as exc:
            self._creating -= 1
            self._deliver_early()
            if session is not None:
                await self._drop_session(session)
            if keep is not None and not is_rejoined:
                # Should the service have made it all the same, then whoever is told of it hangs up.
                keep.note(is_over=True, reason=f"never answered: {type(exc).__name__}")
            raise
        self._creating -= 1
        tenant_id = info.tenant_id or self._addresses().tenant_id
        if keep is not None:
            keep.note(
                call_id=info.id,
                tenant_id=tenant_id,
                state=str(info.raw.get("state", CallState.ESTABLISHING.value)),
                resource=kept_resource(info.raw),
            )
        call = self._add(
            info.raw,
            peer,
            tenant_id,
            session,
            created_at_s=created_at_s,
            keep=keep,
            is_rejoined=is_rejoined,
        )
        self._deliver_early()
        if self._is_closing:
            await call.hang_up()
        elif keep is not None:
            await keep.settle()
        return call

    # Calls that were made before. *row* is ours: its owner is this host, its epoch the new one.

    def can_join_again(self, row: HostCallRow) -> bool:
        """Whether the call's row says where to join: a call of two has no such place."""
        return _meeting_members(row) is not None

    async def join_again(self, row: HostCallRow) -> HostedCall:
        """Join the call of *row* again, with new media, in the epoch that *row* has.

        Its old call at the service ends with that; the row gets the new id.
        Raises: GraphRequestError, TokenError; GraphConnectionError also when the host is stopping,
                and with a row that has no meeting, ValueError. Then the row is as it was.
        """
        members = _meeting_members(row)
        if members is None:
            raise ValueError(f"call {row.call_id}: there is no meeting to join again")
        self._expect_not_closing()
        if row.call_id is not None:
            # The service tells of its end: that says nothing of the call that takes its place.
            self._strangers.leave(row.call_id, row.tenant_id)
        with self.concerns.made():
            keep = self._keep_of(row)
            is_app = row.media == "app"
            session = self._open_session(row.lineage, row.epoch) if is_app else None
            in_default_mix = bool(row.joining.get("inDefaultMix", True))
            media = (
                ServiceHosted((), in_default_mix)
                if session is None
                else AppHosted(session.media_configuration(), in_default_mix)
            )
            body = {**self._joining_body(row, media), **members}
            post = self._client_of(row.tenant_id).post
            return await self._ask_for(post, body, _peer_of(row), session, keep, is_rejoined=True)

    async def resume(
        self, row: HostCallRow, info: CallInfo, participants: Sequence[Mapping[str, Any]] = ()
    ) -> HostedCall:
        """Go on with a call of *row* whose media the service has, as the GET that gave *info* says.

        *participants* are what a GET of those gave. Raises: GraphConnectionError when the host is
        stopping.
        """
        self._expect_not_closing()
        keep = self._keep_of(row)
        call = self._add(
            {**row.resource, **info.raw},
            _peer_of(row),
            row.tenant_id,
            created_at_s=time.monotonic(),
            keep=keep,
            is_rejoined=True,
        )
        call.take_participants(participants)
        await keep.settle()
        return call

    def ring_again(self, row: HostCallRow, info: CallInfo) -> HostedCall:
        """Show the bot a call of *row* that came in, and that nobody has answered yet.

        Raises: GraphConnectionError when the host is stopping.
        """
        self._expect_not_closing()
        return self._add(
            {**row.resource, **info.raw},
            _peer_of(row),
            row.tenant_id,
            created_at_s=time.monotonic(),
            keep=self._keep_of(row),
        )

    def _expect_not_closing(self) -> None:
        # A call that stands is not a new one: it comes back also to a host that takes no more.
        if self._is_closing:
            raise GraphConnectionError("the host is stopping")

    def _keep_of(self, row: HostCallRow) -> CallKeep:
        if self.keeping is None:
            raise RuntimeError("a host without a store has no calls to come back")
        return self.keeping.of_row(row)

    def _joining_body(self, row: HostCallRow, media: Media) -> Body:
        addresses = self._addresses()
        body = call_body(
            callback_uri=callback_of(addresses, row.lineage),
            media=media,
            source=Identity.application(addresses.app_id, self._bot.name),
            tenant_id=row.tenant_id,
        )
        asked = row.joining.get("body")
        return {**body, **(asked if isinstance(asked, Mapping) else {})}


def _meeting_members(row: HostCallRow) -> Body | None:
    """Return where to join, as first asked, or else as the service told it."""
    asked = row.joining.get("body")
    found: Body | None = None
    for where in (asked if isinstance(asked, Mapping) else {}, row.resource):
        meeting = where.get("meetingInfo")
        if isinstance(meeting, Mapping):
            names = ("chatInfo", "meetingInfo")
            told = {name: where[name] for name in names if where.get(name) is not None}
            if not str(meeting.get("@odata.type")).endswith("tokenMeetingInfo"):
                return told
            # A token is for a while: better is what the service told of the meeting, if it did.
            found = found or told
    return found


def _peer_of(row: HostCallRow) -> Peer:
    return Peer(row.peer.get("id"), row.peer.get("displayName"))
