"""Who did what in the console, and what came of it: told in the journal."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from .guard import WHO
from .journals import Journals
from .sign_in import SignedIn
from .source import ConsoleRefusedError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def noted_route(journals: Journals) -> type[APIRoute]:
    """Return a kind of route each use of which is written down, also one that was refused."""

    class NotedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def noted(request: Request) -> Response:
                outcome = "failed"
                try:
                    response = await handle(request)
                    outcome = "done"
                except ConsoleRefusedError as error:
                    outcome = f"refused: {error.message}"
                    raise
                finally:
                    _note(journals, self.name, request, outcome)
                return response

            return noted

    return NotedRoute


def operator_name(who: SignedIn | None) -> str:
    """Return what the journal calls who is signed in."""
    return who.name if who is not None and who.name is not None else "the operator"


def _note(journals: Journals, route_name: str, request: Request, outcome: str) -> None:
    members = dict(request.path_params)
    call_id = members.pop("call_id", None)
    action = members.pop("action", None) or route_name
    who: SignedIn | None = request.scope.get("state", {}).get(WHO)
    title = f"{operator_name(who)}: {str(action)[:40].replace('_', ' ')}: {outcome}"
    journals.record("operation", None if call_id is None else str(call_id)[:200], title, members)
