"""The routes of subscriptions to changes of call records."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ..graph.enums import Role
from ..graph.odata import VERSIONS
from .access import Access
from .bodies import read_json
from .openapi import described
from .subscriptions import Subscriptions
from .tokens import Principal
from .urls import ServiceUrls

_NEEDED = frozenset({Role.CALL_RECORDS_READ})


class SubscriptionRoutes:
    """Subscriptions over HTTP, under both versions of the API."""

    def __init__(self, subscriptions: Subscriptions, access: Access, urls: ServiceUrls) -> None:
        self._subscriptions, self._access, self._urls = subscriptions, access, urls

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        for version in VERSIONS:
            router.include_router(self._versioned(version), prefix=f"/{version}")
        return router

    def _versioned(self, version: str) -> APIRouter:
        router = APIRouter(prefix="/subscriptions", tags=[f"Graph {version}"])
        suffix = version.replace(".", "_")
        context = f"{self._urls.graph}/{version}/$metadata#subscriptions"

        @router.post(
            "",
            **described(suffix, "createSubscription", 201, "subscriptionRequest", "subscription"),
        )
        async def create(request: Request) -> Response:
            """Subscribe to changes of call records."""
            principal = self._principal(request)
            await self._access.app(principal)
            made = await self._subscriptions.create(await read_json(request), principal)
            location = f"{self._urls.graph}/{version}/subscriptions/{made['id']}"
            body = {"@odata.context": f"{context}/$entity"} | made
            return JSONResponse(body, 201, headers={"Location": location})

        @router.get("", **described(suffix, "listSubscriptions", 200, reply="subscriptions"))
        async def list_all(request: Request) -> Response:
            """List the application's subscriptions."""
            found = await self._subscriptions.all(self._principal(request))
            return JSONResponse({"@odata.context": context, "value": found})

        @router.get(
            "/{subscription_id}", **described(suffix, "getSubscription", 200, reply="subscription")
        )
        async def get(subscription_id: str, request: Request) -> Response:
            """Get a subscription."""
            found = await self._subscriptions.get(subscription_id, self._principal(request))
            return JSONResponse({"@odata.context": f"{context}/$entity"} | found)

        @router.patch(
            "/{subscription_id}",
            **described(suffix, "updateSubscription", 200, "subscriptionChange", "subscription"),
        )
        async def update(subscription_id: str, request: Request) -> Response:
            """Renew a subscription."""
            principal = self._principal(request)
            body = await read_json(request)
            changed = await self._subscriptions.update(subscription_id, body, principal)
            return JSONResponse({"@odata.context": f"{context}/$entity"} | changed)

        @router.delete("/{subscription_id}", **described(suffix, "deleteSubscription", 204))
        async def delete(subscription_id: str, request: Request) -> Response:
            """End a subscription."""
            await self._subscriptions.delete(subscription_id, self._principal(request))
            return Response(status_code=204)

        return router

    def _principal(self, request: Request) -> Principal:
        principal = self._access.principal(request)
        principal.require(_NEEDED)
        return principal
