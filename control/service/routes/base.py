"""What the routes of the Graph API share: the gate, the calls, the shape of replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from ...graph import errors
from ...graph.odata import EntityType, parse_options
from ..access import Access
from ..calls import CallBook
from ..live_call import LiveCall
from ..urls import ServiceUrls

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Surface:
    """What every route uses."""

    access: Access
    book: CallBook
    urls: ServiceUrls


@dataclass(frozen=True, slots=True)
class Place:
    """Where routes are mounted: one version of the API, under one of its roots."""

    surface: Surface
    version: str
    root: str

    @property
    def suffix(self) -> str:
        """What tells the operation ids of this place from those of others."""
        return f"{self.version}_{self.root}".replace(".", "_")

    def call(self, request: Request, call_id: str, method: str = "") -> LiveCall:
        """Return the call that *request* is about.

        Raises: GraphError 401; 403 when the method's permission is lacking; 404; 429.
        """
        access = self.surface.access
        principal = access.principal(request)
        access.require_method(principal, method)
        return self.surface.book.find(call_id, principal)

    def location(self, *parts: str) -> str:
        """Return the address of what hangs below ``/communications/calls``."""
        return "/".join((f"{self.surface.urls.graph}/{self.version}/communications/calls", *parts))

    def context(self, *parts: str) -> str:
        """Return the ``@odata.context`` of what hangs below a call."""
        root = "app" if self.version == "beta" else "communications"
        call_id, *rest = parts
        path = "/".join((f"{root}/calls('{call_id}')", *rest))
        return f"{self.surface.urls.graph}/{self.version}/$metadata#{path}"

    def operation(self, live: LiveCall, operation: Json, status: int) -> Response:
        """Answer with an operation, and where it can be found."""
        location = self.location(live.id, "operations", operation["id"])
        return JSONResponse(operation, status, headers={"Location": location})

    def collection(
        self, request: Request, live: LiveCall, name: str, items: Sequence[Json], kind: EntityType
    ) -> Response:
        """Answer with the items of one of the call's collections, as the query options ask.

        Raises: GraphError 400.
        """
        options = parse_options(request.query_params.multi_items(), kind)
        return JSONResponse(
            {
                "@odata.context": self.context(live.id, name),
                "value": [options.apply(item) for item in items],
            }
        )

    def item(
        self, request: Request, live: LiveCall, name: str, item: Mapping[str, Any], kind: EntityType
    ) -> Response:
        """Answer with one item of a collection, as the query options ask.

        Raises: GraphError 400.
        """
        known = kind.with_members_of(item)
        options = parse_options(request.query_params.multi_items(), known)
        context = self.context(live.id, name, "$entity")
        return JSONResponse({"@odata.context": context, **options.apply(item)})


METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def reserve(router: APIRouter, path: str, method: str) -> None:
    """Keep *path* for *method*: its last segment stands where an id could, and is none.

    Before the routes of the items that it stands among.
    """

    async def refuse(request: Request) -> Response:
        raise errors.not_allowed(request.method, method)

    others = [name for name in METHODS if name != method]
    router.add_api_route(path, refuse, methods=others, include_in_schema=False)


def entered(live: LiveCall, read: Callable[[LiveCall], list[Json]]) -> list[Json]:
    """Return what *read* finds; nothing hangs under a call that the application has not entered."""
    return read(live) if live.has_entered else []


def operations(live: LiveCall) -> list[Json]:
    """Return all operations of a call."""
    return live.operations.all()


def count(items: Sequence[Any]) -> Response:
    """Answer a ``$count``."""
    return PlainTextResponse(str(len(items)))
