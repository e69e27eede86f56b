"""Calls as the Graph API has them: create, look at, keep alive, hang up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from .requests import GraphClient, GraphConnectionError, GraphRequestError
from .tokens import TokenError

log = logging.getLogger("mixminus.control.client")

KEEP_ALIVE_EVERY_S: Final = 15 * 60.0
"""Graph drops a call that was not kept alive for 45 minutes, and advises a third of that."""
KEEP_ALIVE_RETRY_S: Final = 60.0
NOT_FOUND: Final = 404


def peer_to_peer_call(
    *,
    app_id: str,
    app_name: str,
    tenant_id: str,
    user_id: str,
    user_name: str | None,
    callback_uri: str,
    blob: str,
) -> dict[str, Any]:
    """Return the body that creates a call from the application to one user, media hosted by us.

    Source: Microsoft Graph, create call, "peer-to-peer VoIP call with application hosted media".
    """
    return {
        "@odata.type": "#microsoft.graph.call",
        "callbackUri": callback_uri,
        "source": {
            "@odata.type": "#microsoft.graph.participantInfo",
            "identity": {
                "@odata.type": "#microsoft.graph.identitySet",
                "application": {
                    "@odata.type": "#microsoft.graph.identity",
                    "displayName": app_name,
                    "id": app_id,
                },
            },
        },
        "targets": [
            {
                "@odata.type": "#microsoft.graph.invitationParticipantInfo",
                "identity": {
                    "@odata.type": "#microsoft.graph.identitySet",
                    "user": {
                        "@odata.type": "#microsoft.graph.identity",
                        "displayName": user_name,
                        "id": user_id,
                    },
                },
            }
        ],
        "requestedModalities": ["audio"],
        "mediaConfig": {
            "@odata.type": "#microsoft.graph.appHostedMediaConfig",
            "blob": blob,
        },
        "tenantId": tenant_id,
    }


class CallsClient:
    """The calls of one application."""

    def __init__(self, graph: GraphClient) -> None:
        self._graph = graph

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a call and return it as the service describes it, at least with its id.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        response = await self._graph.request("POST", "/communications/calls", body)
        call = response.body
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise GraphRequestError(response.status, "", "the answer is not a call with an id")
        return call

    async def get(self, call_id: str) -> dict[str, Any] | None:
        """Return the call, or None when it is over.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        try:
            response = await self._graph.request("GET", _path(call_id))
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return None
            raise
        return response.body if isinstance(response.body, dict) else {}

    async def delete(self, call_id: str) -> bool:
        """Hang up; False when the call was over already.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        return await self._unless_gone("DELETE", _path(call_id))

    async def keep_alive(self, call_id: str) -> bool:
        """Say that the call is still wanted; False when it is over.

        Raises: GraphRequestError, GraphConnectionError, TokenError.
        """
        return await self._unless_gone("POST", f"{_path(call_id)}/keepAlive")

    async def keep_alive_until_gone(
        self, call_id: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Keep the call alive every 15 minutes; return once the service says that it is over.

        A failure is tried again after a minute: 45 minutes leave room. *sleep* is for tests.
        """
        wait_s = KEEP_ALIVE_EVERY_S
        while True:
            await sleep(wait_s)
            try:
                if not await self.keep_alive(call_id):
                    return
                wait_s = KEEP_ALIVE_EVERY_S
            except (GraphRequestError, GraphConnectionError, TokenError) as exc:
                log.warning("call %s: keepAlive: %s", call_id, exc)
                wait_s = KEEP_ALIVE_RETRY_S

    async def _unless_gone(self, method: str, path: str) -> bool:
        try:
            await self._graph.request(method, path)
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return False
            raise
        return True


def _path(call_id: str) -> str:
    return f"/communications/calls/{quote(call_id, safe='')}"
