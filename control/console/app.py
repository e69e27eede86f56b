"""The console's application: its page, its files, its API."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ..serving import AsgiApp
from ..web_page import file_response, no_such_file, read_files
from ..webphone import modules
from .addresses import FILES, LIVE, PREFIX
from .doing import doing_router
from .guard import HEADERS
from .parts import Parts
from .reading import reading_router
from .replies import refusal
from .session import session_router
from .source import ConsoleRefusedError

PAGE: Final = "index.html"


def make_app(parts: Parts) -> AsgiApp:
    """Make the application; the files of the page are read once, here.

    It believes what the guard before it put into the scope.
    """
    app = FastAPI(
        title="mixminus console",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _add_errors(app)
    _add_page(app)
    app.include_router(session_router(parts))
    app.include_router(reading_router(parts))
    app.include_router(doing_router(parts))
    app.add_api_websocket_route(LIVE, parts.live.serve)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ConsoleRefusedError)
    async def refused(_: Request, error: ConsoleRefusedError) -> Response:
        return refusal(error)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def no_such_thing(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        code = "notFound" if status == 404 else "methodNotAllowed"
        return refusal(ConsoleRefusedError(status, code, f"no {request.method} here"))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        # Starlette raises it again after this answer, so that the log has it.
        message = "something went wrong in the server: its log says what"
        return refusal(ConsoleRefusedError(500, "internal", message))


def _add_page(app: FastAPI) -> None:
    contents = _contents()

    async def page() -> Response:
        """Return the page."""
        return file_response(PAGE, contents[PAGE], HEADERS)

    async def part(name: str) -> Response:
        """Return a file of the page."""
        if name not in contents:
            return no_such_file(HEADERS)
        return file_response(name, contents[name], HEADERS)

    app.add_api_route(PREFIX, page, methods=["GET", "HEAD"])
    app.add_api_route(f"{PREFIX}/", page, methods=["GET", "HEAD"])
    app.add_api_route(FILES + "{name:path}", part, methods=["GET", "HEAD"])


def _contents() -> dict[str, bytes]:
    shared = {f"webphone/{name}": content for name, content in modules().items()}
    return shared | read_files(files(__package__).joinpath("static"))
