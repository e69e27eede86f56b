"""What the routes of a bot host share: refusals in Graph's shape, bodies of bounded size."""

from __future__ import annotations

import math
from typing import Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse

MAX_BODY_BYTES: Final = 256 * 1024


class RequestRefusedError(Exception):
    """A request that is answered with an error body, as Graph shapes them."""

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Make the answer."""
        headers: dict[str, str] = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(self.retry_after_s))
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, headers)


async def read_body(request: Request) -> bytes:
    """Read a body.

    Raises: RequestRefusedError 413.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RequestRefusedError(
                413, "invalidRequest", f"expected at most {MAX_BODY_BYTES} bytes"
            )
    return bytes(body)
