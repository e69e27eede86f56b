"""The door of the console: what comes from elsewhere, or from nobody known, goes no further."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser

from ..serving import AsgiApp, Message, Receive, Scope, Send
from ..web_page import page_headers
from .addresses import API, OIDC_BACK, OIDC_START, SESSION
from .origins import OWN_SITES, Origins
from .replies import refusal
from .sign_in import SESSION_COOKIE, NotSignedInError, SignedIn, SignIns
from .source import ConsoleRefusedError

READS: Final = ("GET", "HEAD")
HEADERS: Final = page_headers({"img-src": "'self' data:", "media-src": "'self' blob:"})
WHO: Final = "console_who"
"""Where the scope's state has who is signed in: a SignedIn, or None on the few open paths."""


class Guard:
    """Lets through what a page of ours, or a program with the token, may ask; adds the headers.

    The page itself and its files are for everyone, as there is nothing in them; all of the API
    wants a sign-in, but for the few paths by which one signs in.
    """

    def __init__(self, app: AsgiApp, origins: Origins, sign_ins: SignIns) -> None:
        self._app, self._origins, self._sign_ins = app, origins, sign_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or a WebSocket's opening."""
        if scope["type"] == "websocket":
            await self._take_websocket(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            self._check(scope)
        except ConsoleRefusedError as error:
            await refusal(error)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    async def _take_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host"), headers.get("origin")
        is_ours = self._origins.knows_host(host) and (
            origin is None or self._origins.is_own(origin, host or "")
        )
        # A browser always says where a WebSocket comes from; without it, a cookie proves nothing.
        if not is_ours or (origin is None and "cookie" in headers):
            await receive()
            await send({"type": "websocket.close", "code": 4403})  # Before the handshake: HTTP 403.
            return
        scope.setdefault("state", {})[WHO] = None
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Return if the request may go on, with who sends it in the scope.

        Raises: ConsoleRefusedError.
        """
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host")
        if host is None or not self._origins.knows_host(host):
            raise ConsoleRefusedError(
                403,
                "wrongHost",
                "this server is not known by that name: see console.public_url in the settings",
            )
        state: dict[str, Any] = scope.setdefault("state", {})
        state[WHO] = None
        if not path.startswith(API):
            if method not in READS:
                raise ConsoleRefusedError(405, "methodNotAllowed", "expected GET")
            return
        # The way back from the issuer does come from another site; its own cookie guards it.
        if path != OIDC_BACK:
            self._expect_own_page(headers, method, host)
        if method not in READS:
            kind = headers.get("content-type", "").partition(";")[0].strip().casefold()
            if kind != "application/json":
                raise ConsoleRefusedError(415, "notJson", "expected Content-Type: application/json")
        state[WHO] = self._who(scope, headers, path, method)

    def _expect_own_page(self, headers: Headers, method: str, host: str) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        is_foreign = (origin is not None and not self._origins.is_own(origin, host)) or (
            site is not None and site.casefold() not in OWN_SITES
        )
        # Who has the token proves it anew each time; a cookie comes along by itself.
        is_blind = origin is None and method not in READS and "authorization" not in headers
        if is_foreign or is_blind:
            raise ConsoleRefusedError(
                403, "crossSite", "expected a request from the console's own page"
            )

    def _who(self, scope: Scope, headers: Headers, path: str, method: str) -> SignedIn | None:
        """Return who is signed in; None only where nobody needs to be.

        Raises: NotSignedInError, TooManyTriesError.
        """
        given = headers.get("authorization")
        if given is not None:
            kind, _, token = given.partition(" ")
            if kind.casefold() != "bearer" or not token.strip():
                raise NotSignedInError("expected Authorization: Bearer and the console's token")
            return self._sign_ins.by_token(token.strip(), client_address(scope))
        session_id = cookie(headers, SESSION_COOKIE)
        is_open = path in (SESSION, OIDC_START, OIDC_BACK) and method in READS
        if session_id is not None:
            try:
                return self._sign_ins.by_session(session_id)
            except NotSignedInError:
                if is_open:
                    return None
                raise
        if is_open:
            return None
        if path.endswith("/audio") and method in READS:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            if "ticket" in query:
                self._sign_ins.expect_ticket(path, query["ticket"][0])
                return None
        raise NotSignedInError("expected a sign-in: the token that was printed at the start")


def client_address(scope: Scope) -> str:
    """Return where a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def cookie(headers: Headers, name: str) -> str | None:
    """Return a cookie's value, if there is one.

    As browsers see it: another server of this machine shares our cookies, whatever the port, and
    the standard library's reader stops at the first that is not quite right.
    """
    return cookie_parser(headers.get("cookie", "")).get(name)
