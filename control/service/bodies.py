"""Reading request bodies ourselves, so that every refusal is in our own words."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from fastapi import Request
from starlette.requests import ClientDisconnect

from ..graph import errors

BODY_BYTES = 256 * 1024
"""The largest body of a Graph request."""

JSON_DEPTH = 32


async def read_body(request: Request, limit_bytes: int = BODY_BYTES) -> bytes:
    """Read a body of at most *limit_bytes*, whatever its headers say.

    Raises: GraphError 413.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise errors.payload_too_large(limit_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise errors.payload_too_large(limit_bytes)
    except ClientDisconnect:
        raise errors.invalid_argument("The request body is incomplete.") from None
    return bytes(body)


async def read_json(request: Request) -> Any:
    """Read a JSON body.

    Raises: GraphError 413, 415 for another content type, 400 for what is not JSON.
    """
    return _parse(await _read_typed(request))


async def read_optional_json(request: Request) -> Any:
    """Read a JSON body that may be left out: an empty one is an empty object.

    Raises: GraphError as read_json.
    """
    raw = await _read_typed(request)
    return _parse(raw) if raw else {}


async def _read_typed(request: Request) -> bytes:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if content_type and content_type != "application/json" and not content_type.endswith("+json"):
        raise errors.unsupported_media_type()
    return await read_body(request)


def _parse(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        # An escape may spell half a surrogate pair, which no answer could hold again.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise errors.unreadable_body() from None
    if _depth_exceeds(value, JSON_DEPTH):
        raise errors.invalid_argument(
            f"The request body is nested deeper than {JSON_DEPTH} levels."
        )
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond every number")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
