"""The simulated service's HTTP: signatures, repeated requests, errors as its JSON has them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ..signing import SignatureRefusedError, check_signature
from .calls import BadRequestError

MAX_BODY_BYTES: Final = 64 * 1024
REMEMBERED_REPEATS: Final = 1024

Do = Callable[[str, str, Mapping[str, Any]], Awaitable[tuple[int, Any]]]


def make_app(access_key: bytes, do: Do) -> FastAPI:
    """Make the API: each request is checked and given to *do* with its path below ``/calling/``."""
    app = FastAPI(title="offline call automation", docs_url=None, redoc_url=None)
    done: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    @app.api_route("/calling/{path:path}", methods=["GET", "POST", "DELETE"])
    async def calling(request: Request, path: str) -> Response:
        """Do one request."""
        body = await request.body()
        if len(body) > MAX_BODY_BYTES:
            return _refused(413, "TooLarge", f"expected at most {MAX_BODY_BYTES} bytes")
        # As it was sent: a decoded path has another signature.
        target = request.scope["raw_path"].decode("ascii")
        if request.url.query:
            target += "?" + request.url.query
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            check_signature(access_key, request.method, target, headers, body, datetime.now(UTC))
        except SignatureRefusedError as exc:
            return _refused(401, "Denied", str(exc))
        repeat = headers.get("repeatability-request-id", "")
        if repeat in done:  # Answered as the first time, and done once.
            return _answer(*done[repeat])
        try:
            status, shown = await do(request.method, path, _members(body))
        except BadRequestError as exc:
            return _refused(400, "BadRequest", str(exc))
        except LookupError as exc:
            return _refused(404, "8522", str(exc.args[0]))
        if repeat:
            done[repeat] = (status, shown)
            if len(done) > REMEMBERED_REPEATS:
                done.popitem(last=False)
        return _answer(status, shown)

    return app


def split_path(rest: str) -> tuple[str, str, str]:
    """Cut ``ID``, ``ID:action`` and ``ID/participants...`` into id, separator, action."""
    for at, letter in enumerate(rest):
        if letter in ":/":
            return rest[:at], letter, rest[at + 1 :]
    return rest, "", ""


def _answer(status: int, shown: Any) -> Response:
    return Response(status_code=204) if status == 204 else JSONResponse(shown, status)


def _members(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError("expected JSON") from None
    if not isinstance(members, dict):
        raise BadRequestError(f"expected a JSON object, got {type(members).__name__}")
    return members


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
