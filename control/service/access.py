"""Who sends a request, and whether it may: tokens, throttling, permissions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import Request

from ..graph import errors
from ..graph.enums import Role
from ..graph.requests import CallRequest
from ..store.base import AppRow, Store
from .settings import ServiceSettings
from .throttle import Throttle
from .tokens import AccessTokens, Principal

_JOIN: Final = frozenset({Role.JOIN_GROUP_CALL, Role.JOIN_GROUP_CALL_AS_GUEST})
_ANY_CALL: Final = _JOIN | {Role.INITIATE, Role.INITIATE_GROUP_CALL}

METHOD_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "addLargeGalleryView": _JOIN | {Role.INITIATE_GROUP_CALL},
    "admitFromLobby": frozenset({Role.JOIN_GROUP_CALL}),
    "audioRoutingGroups": frozenset({Role.JOIN_GROUP_CALL, Role.INITIATE_GROUP_CALL}),
    "changeScreenSharingRole": frozenset({Role.ACCESS_MEDIA}),
    "contentSharingSessions": _ANY_CALL,
    "getParticipant": _JOIN,
    "invite": frozenset({Role.INITIATE_GROUP_CALL}),
    "logTeleconferenceDeviceQuality": frozenset({Role.ACCESS_MEDIA}),
    "muteAll": _JOIN,
    "muteParticipant": _JOIN,
    "recordResponse": frozenset({Role.ACCESS_MEDIA}),
    "redirect": frozenset({Role.INITIATE}),
    "removeParticipant": _JOIN,
    "sendDtmfTones": frozenset({Role.ACCESS_MEDIA}),
    "startHoldMusic": _JOIN,
    "stopHoldMusic": _JOIN,
    "subscribeToTone": frozenset({Role.ACCESS_MEDIA}),
    "transfer": frozenset({Role.INITIATE}),
    "updateRecordingStatus": frozenset({Role.ACCESS_MEDIA, Role.JOIN_GROUP_CALL}),
}
"""What a method asks for beyond the call itself; any one of them will do.

What is not here is not checked again once there is a call: get, delete, keepAlive, mute, unmute,
playPrompt, cancelMediaProcessing, list participants are documented so, reject needs none, and for
operations nothing is documented. Source: Microsoft Graph, permissions reference.
"""


class Access:
    """The gate of every route of the Graph API."""

    def __init__(self, tokens: AccessTokens, store: Store, settings: ServiceSettings) -> None:
        self._tokens, self._store = tokens, store
        self._grants = settings.chat_grants
        self._throttle = Throttle(settings.throttle_requests, settings.throttle_window_s)

    def principal(self, request: Request) -> Principal:
        """Return who sent *request*.

        Raises: GraphError 401; 429.
        """
        principal = self._tokens.check(request.headers.get("authorization"))
        self._throttle.count(principal.app_id, principal.tenant_id)
        return principal

    async def app(self, principal: Principal) -> AppRow:
        """Return the registration of an application.

        Raises: GraphError 403.
        """
        app = await self._store.app(principal.app_id)
        if app is None:
            raise errors.not_registered()
        if app.tenant_id != principal.tenant_id:
            raise errors.tenant_mismatch()
        return app

    def require_method(self, principal: Principal, method: str) -> None:
        """Refuse a method that the token's permissions do not cover.

        Raises: GraphError 403.
        """
        needed = METHOD_ROLES.get(method)
        if needed is not None and not principal.has_any(needed):
            raise errors.insufficient_permissions()

    def require_create(self, principal: Principal, request: CallRequest) -> None:
        """Refuse a call of a kind that the token's permissions do not cover, or of another tenant.

        Raises: GraphError 403.
        """
        if request.tenant_id not in (None, principal.tenant_id):
            raise errors.tenant_mismatch()
        needed = request.roles
        if request.meeting is not None and self._is_granted(principal, request.meeting.thread_id):
            needed -= {Role.JOIN_GROUP_CALL}
        principal.require(needed)

    def require_answer(self, principal: Principal, *, is_group: bool, is_app_hosted: bool) -> None:
        """Refuse to answer a call that the token's permissions do not cover.

        Raises: GraphError 403.
        """
        if is_group and not principal.has_any(_JOIN):
            raise errors.insufficient_permissions()
        if is_app_hosted:
            principal.require(frozenset({Role.ACCESS_MEDIA}))

    def _is_granted(self, principal: Principal, thread_id: str | None) -> bool:
        """Say whether the owner of a thread let this application in: resource-specific consent."""
        return thread_id is not None and principal.app_id in self._grants.get(thread_id, ())
