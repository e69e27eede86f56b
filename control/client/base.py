"""What all requests about one application's calls share: paths, bodies, answers as models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from .models import Operation, items, read_operation
from .requests import GraphClient, GraphRequestError, GraphResponse

CALLS: Final = "/communications/calls"
NOT_FOUND: Final = 404


class CallRequests:
    """Requests about calls, with the tokens of one tenant."""

    def __init__(self, graph: GraphClient, tenant_id: str | None = None) -> None:
        self._graph = graph
        self._tenant_id = tenant_id

    async def _ask(
        self, method: str, path: str, body: Any = None, *, is_repeatable: bool | None = None
    ) -> GraphResponse:
        return await self._graph.request(
            method, path, body, tenant_id=self._tenant_id, is_repeatable=is_repeatable
        )

    async def _act(
        self,
        call_id: str,
        action: str,
        body: Mapping[str, Any] | None = None,
        *,
        is_repeatable: bool = False,
    ) -> GraphResponse:
        return await self._ask(
            "POST", f"{path_of(call_id)}/{action}", body, is_repeatable=is_repeatable
        )

    async def _operate(
        self, call_id: str, action: str, body: Mapping[str, Any], *, is_repeatable: bool = False
    ) -> Operation:
        """Start an operation and return it as the service answered."""
        response = await self._act(call_id, action, body, is_repeatable=is_repeatable)
        return read_operation(an_object(response))

    async def _list(self, path: str) -> tuple[Mapping[str, Any], ...]:
        """Return a whole collection, page after page."""
        found: list[Mapping[str, Any]] = []
        next_path: object = path
        while isinstance(next_path, str):
            response = await self._ask("GET", next_path)
            page = an_object(response)
            if not isinstance(page.get("value"), list):
                raise GraphRequestError(response.status, "", "the answer is no collection")
            found += items(page["value"])
            next_path = page.get("@odata.nextLink")
            if isinstance(next_path, str) and not self._graph.is_here(next_path):
                raise GraphRequestError(response.status, "", "the next page is someone else's")
        return tuple(found)

    async def _unless_gone(
        self, method: str, path: str, *, is_repeatable: bool | None = None
    ) -> bool:
        """Send a request; False when what it is about is not there, or not any more."""
        try:
            await self._ask(method, path, is_repeatable=is_repeatable)
        except GraphRequestError as exc:
            if exc.status == NOT_FOUND:
                return False
            raise
        return True


def path_of(call_id: str, *further: str) -> str:
    """Return the path of a call, or of what hangs under it; ids may hold any character."""
    return "/".join((CALLS, *(quote(part, safe="") for part in (call_id, *further))))


def an_object(response: GraphResponse) -> Mapping[str, Any]:
    """Return an answer's body.

    Raises: GraphRequestError when it is no JSON object.
    """
    if not isinstance(response.body, dict):
        raise GraphRequestError(response.status, "", "the answer is no JSON object")
    return response.body
