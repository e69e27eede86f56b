"""The test page: a telephone in the browser, for users of the directory. docs/phone.md."""

from __future__ import annotations

import html
from importlib.resources import files
from string import Template
from typing import Final

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from ..web_page import file_response, no_such_file, page_headers, read_files
from ..webphone import modules

PATH: Final = "/phone"
PAGE: Final = "phone.html"
HEADERS: Final = page_headers()


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
        return file_response(PAGE, contents[PAGE], HEADERS)

    @router.get(PATH + "/{name}")
    async def part(name: str) -> Response:
        """Return a file of the page."""
        if name not in contents:
            return no_such_file(HEADERS)
        return file_response(name, contents[name], HEADERS)

    return router


def _contents(app_id: str) -> dict[str, bytes]:
    contents = modules() | read_files(files(__package__).joinpath("static"))
    template = Template(contents[PAGE].decode())
    contents[PAGE] = template.substitute(app_id=html.escape(app_id)).encode()
    return contents
