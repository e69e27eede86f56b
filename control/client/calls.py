"""Calls as the Graph API has them: create, join, and all that can be done with one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Self

from ..graph.joinurl import JoinInfo, parse_join_meeting_id, parse_join_url
from .base import CALLS, NOT_FOUND, an_object, path_of
from .bodies import AUDIO, Media, Meeting, Options, Target, call_body
from .group import GroupVerbs
from .handling import HandlingVerbs
from .media_verbs import MediaVerbs
from .models import CallInfo, Identity
from .requests import GraphConnectionError, GraphRequestError, GraphResponse
from .tokens import TokenError

log = logging.getLogger("mixminus.control.client")

KEEP_ALIVE_EVERY_S: Final = 15 * 60.0
"""Graph drops a call that was not kept alive for 45 minutes, and advises a third of that."""
KEEP_ALIVE_RETRY_S: Final = 60.0


def find_meeting(
    *,
    join_url: str | None = None,
    join_meeting_id: str | None = None,
    passcode: str | None = None,
    token: str | None = None,
    info: JoinInfo | None = None,
    allow_without_host: bool = True,
) -> Meeting:
    """Return the meeting that exactly one of link, join id, token and *info* means.

    Raises: ValueError; JoinUrlError, which is one, on a link or id that is none.
    """
    ways = (join_url, join_meeting_id, token, info)
    if sum(way is not None for way in ways) != 1:
        raise ValueError("expected one of join_url, join_meeting_id, token and info")
    if passcode is not None and join_meeting_id is None:
        raise ValueError("expected a passcode only with a join_meeting_id")
    if join_url is not None:
        info = parse_join_url(join_url)
    elif join_meeting_id is not None:
        info = JoinInfo(join_meeting_id=parse_join_meeting_id(join_meeting_id), passcode=passcode)
    return Meeting(info or JoinInfo(), token, allow_without_host)


class CallsClient(HandlingVerbs, MediaVerbs, GroupVerbs):
    """The calls of one application, with the tokens of one tenant: its own, or as said.

    One method for each of the calls API, under the API's name; results are frozen models.
    """

    def for_tenant(self, tenant_id: str | None) -> Self:
        """Return the same client with the tokens of another tenant: that of a call's other side."""
        return type(self)(self._graph, tenant_id)

    async def create(
        self,
        *targets: Target,
        callback_uri: str,
        media: Media,
        source: Identity | None = None,
        tenant_id: str | None = None,
        subject: str | None = None,
        modalities: Sequence[str] = AUDIO,
        ringing_timeout_s: int | None = None,
        routing_policies: Sequence[str] = (),
        options: Options | None = None,
    ) -> CallInfo:
        """Call one target, a user or (from an application instance) a telephone, or several.

        Raises: GraphRequestError, GraphConnectionError, TokenError; ValueError without a target.
        """
        if not targets:
            raise ValueError("expected somebody to call")
        body = call_body(
            callback_uri=callback_uri,
            media=media,
            targets=targets,
            source=source,
            tenant_id=tenant_id,
            subject=subject,
            modalities=modalities,
            ringing_timeout_s=ringing_timeout_s,
            routing_policies=routing_policies,
            options=options,
        )
        return await self.post(body)

    async def join(
        self,
        meeting: Meeting,
        *,
        callback_uri: str,
        media: Media,
        source: Identity | None = None,
        tenant_id: str | None = None,
        subject: str | None = None,
        modalities: Sequence[str] = AUDIO,
        options: Options | None = None,
    ) -> CallInfo:
        """Join *meeting*, see :func:`find_meeting`; as a guest when *source* is one.

        Raises: GraphRequestError, GraphConnectionError, TokenError; ValueError on half a meeting.
        """
        body = call_body(
            callback_uri=callback_uri,
            media=media,
            source=source,
            tenant_id=tenant_id or meeting.info.tenant_id,
            subject=subject,
            modalities=modalities,
            options=options,
        )
        return await self.post({**body, **meeting.members()})

    async def post(self, body: dict[str, Any]) -> CallInfo:
        """Create a call as *body* says, and return it as the service describes it.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        response = await self._ask("POST", CALLS, body)
        call = CallInfo.read(an_object(response))
        if not call.id:
            raise GraphRequestError(response.status, "", "the answer is not a call with an id")
        return call

    async def get(self, call_id: str) -> CallInfo | None:
        """Return the call, or None when it is over.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        try:
            response: GraphResponse = await self._ask("GET", path_of(call_id))
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return None
            raise
        return CallInfo.read(an_object(response))

    async def delete(self, call_id: str) -> bool:
        """Hang up; False when the call was over already.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        return await self._unless_gone("DELETE", path_of(call_id))

    async def keep_alive(self, call_id: str) -> bool:
        """Say that the call is still wanted; False when it is over.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        return await self._unless_gone("POST", f"{path_of(call_id)}/keepAlive", is_repeatable=True)

    async def keep_alive_until_gone(
        self,
        call_id: str,
        *,
        on_alive: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the call alive every 15 minutes; return once the service says that it is over.

        A failure is tried again after a minute: 45 minutes leave room. *on_alive* is called each
        time that the service took it. *sleep* is for tests.
        """
        wait_s = KEEP_ALIVE_EVERY_S
        while True:
            await sleep(wait_s)
            try:
                if not await self.keep_alive(call_id):
                    return
                wait_s = KEEP_ALIVE_EVERY_S
                on_alive()
            except (GraphRequestError, GraphConnectionError, TokenError) as exc:
                log.warning("call %s: keepAlive: %s", call_id, exc)
                wait_s = KEEP_ALIVE_RETRY_S
