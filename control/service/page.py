"""The test page: a telephone in the browser, for users of the directory. docs/phone.md."""

from __future__ import annotations

import html
from importlib.resources import files
from string import Template
from typing import Final

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

PATH: Final = "/phone"
PAGE: Final = "phone.html"
TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
HEADERS: Final = {
    # Nothing but our own files; no inline script or style, no form that leaves the page.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page_router(app_id: str) -> APIRouter:
    """Serve the page, which calls *app_id* unless the user chooses another application.

    The files are read once, here. The page holds no secret: who uses it signs in.
    """
    contents = _contents(app_id)
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def root() -> Response:
        """Lead whoever opens the service's address in a browser to the page."""
        return RedirectResponse(PATH, 307, HEADERS)

    @router.get(PATH)
    async def page() -> Response:
        """Return the page."""
        return _file(PAGE, contents[PAGE])

    @router.get(PATH + "/{name}")
    async def part(name: str) -> Response:
        """Return a file of the page."""
        if name not in contents:
            return Response("expected a file of the page", 404, HEADERS, "text/plain")
        return _file(name, contents[name])

    return router


def _contents(app_id: str) -> dict[str, bytes]:
    contents = {
        entry.name: entry.read_bytes()
        for entry in files(__package__).joinpath("static").iterdir()
        if entry.name.rpartition(".")[2] in TYPES
    }
    template = Template(contents[PAGE].decode())
    contents[PAGE] = template.substitute(app_id=html.escape(app_id)).encode()
    return contents


def _file(name: str, content: bytes) -> Response:
    return Response(content, 200, HEADERS, TYPES[name.rpartition(".")[2]])
