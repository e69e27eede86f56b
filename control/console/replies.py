"""What the console's routes share: refusals as JSON, bodies of bounded size, parsed strictly."""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .sign_in import TooManyTriesError
from .source import ConsoleRefusedError
from .wishes import Wish

MAX_BODY_BYTES: Final = 64 * 1024
Asked = TypeVar("Asked", bound=Wish)


def refusal(error: ConsoleRefusedError) -> Response:
    """Make the answer that says no."""
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyTriesError):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    body = {"error": {"code": error.code, "message": error.message}}
    return JSONResponse(body, error.status, headers)


def shown(value: BaseModel, status: int = 200) -> Response:
    """Answer with a model."""
    return Response(value.model_dump_json(by_alias=True), status, media_type="application/json")


def listed(name: str, values: Any) -> dict[str, Any]:
    """Return models as a list under *name*."""
    return {name: [value.model_dump(mode="json", by_alias=True) for value in values]}


async def read_wish(request: Request, kind: type[Asked]) -> Asked:
    """Read a body.

    Raises: ConsoleRefusedError 413; 400 naming the member that is wrong, and never what it held.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ConsoleRefusedError(413, "tooLarge", f"expected at most {MAX_BODY_BYTES} bytes")
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise ConsoleRefusedError.invalid(f"{where}: {what}" if where else what) from None


def number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Read a whole number from the query.

    Raises: ConsoleRefusedError 400.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and least <= int(text) <= most):
        raise ConsoleRefusedError.invalid(f"{name}: expected a number from {least} to {most}")
    return int(text)
