"""How requests reach the console: beside the role's own API, and through the plain listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ..serving import AsgiApp, Receive, Scope, Send
from .addresses import PREFIX, is_for_console
from .guard import HEADERS, READS, Guard
from .origins import Origins
from .session import ORIGINS
from .sign_in import SignIns

SIGNALLING: Final = "/rtc"
PHONE: Final = "/phone"


class ConsoleDoor:
    """The console under /console, and *app*, the role's own API, everywhere else."""

    def __init__(
        self, app: AsgiApp, console: AsgiApp, origins: Callable[[], Origins], sign_ins: SignIns
    ) -> None:
        self._app, self._console = app, console
        self._origins, self._sign_ins = origins, sign_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket's opening."""
        if scope["type"] in ("http", "websocket") and is_for_console(scope["path"]):
            await serve_console(
                self._console, self._origins(), self._sign_ins, scope, receive, send
            )
            return
        await self._app(scope, receive, send)


class LeadingDoor:
    """Leads to the console of this process, which is at another port."""

    def __init__(self, app: AsgiApp, url: Callable[[], str]) -> None:
        self._app, self._url = app, url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket's opening."""
        is_read = scope["type"] == "http" and scope["method"] in READS
        if is_read and scope["path"] in (PREFIX, f"{PREFIX}/"):
            await RedirectResponse(self._url(), 307, HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class PlainDoor:
    """What the plain listener lets through: console, phone page, signalling; of this machine only.

    The Graph API and a host's own are not reached through it. ``role`` gives the application of
    the call service, or None where there is none.
    """

    def __init__(
        self,
        console: AsgiApp,
        origins: Callable[[], Origins],
        sign_ins: SignIns,
        role: Callable[[], AsgiApp | None],
    ) -> None:
        self._console, self._origins = console, origins
        self._sign_ins, self._role = sign_ins, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket's opening."""
        if scope["type"] not in ("http", "websocket"):
            return
        path = scope["path"]
        if is_for_console(path):
            await serve_console(
                self._console, self._origins(), self._sign_ins, scope, receive, send
            )
            return
        refused = self._refusal(scope, path)
        role = self._role()
        if refused is None and role is not None:
            await role(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})  # Before the handshake: 403.
        else:
            answer = refused or _text(404, "no call service runs in this process")
            await answer(scope, receive, send)

    def _refusal(self, scope: Scope, path: str) -> Response | None:
        headers, origins = Headers(scope=scope), self._origins()
        host, origin = headers.get("host"), headers.get("origin")
        if host is None or not origins.knows_host(host):
            return _text(403, "expected localhost or 127.0.0.1, with this port, as Host")
        if origin is not None and not origins.is_own(origin, host):
            return _text(403, "expected a request from a page of this server")
        if scope["type"] == "websocket":
            return None if path == SIGNALLING else _text(404, "no such WebSocket here")
        if path == "/" and scope["method"] in READS:
            return RedirectResponse(PREFIX, 307, HEADERS)
        if scope["method"] in READS and (path == PHONE or path.startswith(f"{PHONE}/")):
            return None
        return _text(404, "only the console and the phone page are here: the API is at https")


async def serve_console(
    console: AsgiApp,
    origins: Origins,
    sign_ins: SignIns,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Let the console answer what comes to a listener of those names, if the guard lets it in."""
    state: dict[str, Any] = scope.setdefault("state", {})
    state[ORIGINS] = origins
    await Guard(console, origins, sign_ins)(scope, receive, send)


def _text(status: int, message: str) -> Response:
    return PlainTextResponse(message, status, HEADERS)
