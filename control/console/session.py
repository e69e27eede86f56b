"""The console's routes of signing in and out."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .addresses import API, OIDC_BACK, OIDC_START, PREFIX
from .guard import WHO, cookie
from .oidc import OidcError
from .sign_in import SESSION_COOKIE, SignedIn
from .source import ConsoleRefusedError

if TYPE_CHECKING:
    from .origins import Origins
    from .parts import Parts

log = logging.getLogger("mixminus.control.console")

FLOW_COOKIE: Final = "__Host-mixminus-oidc"
FLOW_COOKIE_S: Final = 600
ORIGINS: Final = "console_origins"
"""Where the scope's state has the names of the listener that a request came to."""


def session_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=API.rstrip("/"))

    @router.get("/session")
    async def session(request: Request) -> dict[str, Any]:
        """Say who is signed in, or how one signs in."""
        return _describe(parts, request.scope["state"][WHO])

    @router.post("/session/end")
    async def end(request: Request) -> Response:
        """Sign out. A token is only forgotten by whoever has it."""
        who: SignedIn = request.scope["state"][WHO]
        parts.sign_ins.close_session(who.session_id)
        response = Response(status_code=204)
        _set_cookie(response, SESSION_COOKIE, "", "strict", 0)
        return response

    oidc = parts.oidc
    if oidc is None:
        return router

    @router.get(OIDC_START.removeprefix(API.rstrip("/")))
    async def start(request: Request) -> Response:
        """Lead the browser to the issuer."""
        try:
            address, flow_id = await oidc.start(_origin(request) + OIDC_BACK)
        except OidcError as error:
            return _back(f"#error={quote(str(error))}")
        response = RedirectResponse(address, 303)
        # Lax: the way back begins at another site, and must bring it along.
        _set_cookie(response, FLOW_COOKIE, flow_id, "lax", FLOW_COOKIE_S)
        return response

    @router.get(OIDC_BACK.removeprefix(API.rstrip("/")))
    async def back(request: Request) -> Response:
        """Take the issuer's answer; who it vouches for gets a session."""
        flow_id = cookie(request.headers, FLOW_COOKIE)
        try:
            name = await oidc.finish(flow_id, request.query_params)
        except OidcError as error:
            response = _back(f"#error={quote(str(error))}")
        else:
            opened = parts.sign_ins.open_session(name)
            log.info("somebody signed in to the console by OpenID Connect")
            response = _back("")
            seconds = int((opened.expires_at_s or 0.0) - parts.sign_ins.now())
            _set_cookie(response, SESSION_COOKIE, opened.session_id or "", "strict", seconds)
        _set_cookie(response, FLOW_COOKIE, "", "lax", 0)
        return response

    return router


def _describe(parts: Parts, who: SignedIn | None) -> dict[str, Any]:
    methods = ["token"] if parts.oidc is None else ["token", "oidc"]
    expires_at = None
    if who is not None and who.expires_at_s is not None:
        left = timedelta(seconds=who.expires_at_s - parts.sign_ins.now())
        expires_at = (datetime.now(UTC) + left).isoformat(timespec="seconds")
    return {
        "signedIn": who is not None,
        "method": None if who is None else who.method,
        "name": None if who is None else who.name,
        "expiresAt": None if expires_at is None else expires_at.replace("+00:00", "Z"),
        "methods": methods,
        "oidcUrl": None if parts.oidc is None else OIDC_START,
        # Who is not signed in learns nothing of what runs here.
        "sides": None if who is None else parts.sources.sides,
        "version": None if who is None else _version(),
        "epoch": None if who is None else parts.live.epoch,
    }


@cache
def _version() -> str | None:
    try:
        return version("mixminus")
    except PackageNotFoundError:
        return None  # Run from a source tree that is not installed.


def _origin(request: Request) -> str:
    origins: Origins = request.scope["state"][ORIGINS]
    host = request.headers.get("host")
    if host is None:
        raise ConsoleRefusedError.invalid("expected a Host header")
    return origins.of_request(host)


def _back(fragment: str) -> Response:
    return RedirectResponse(PREFIX + fragment, 303)


def _set_cookie(response: Response, name: str, value: str, same_site: Any, seconds: int) -> None:
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite=same_site
    )
