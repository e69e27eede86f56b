"""Errors of the Graph API: what a request is refused with, and the envelope that says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class GraphError(Exception):
    """A refused request: HTTP status, Graph error code, message.

    Source: Microsoft Graph, error responses; the numeric codes are the calling platform's.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def invalid_argument(message: str) -> GraphError:
    """Refuse a body that does not say what it must."""
    return GraphError(400, "8523", message)


def unauthenticated(message: str) -> GraphError:
    """Refuse a request without a token that holds."""
    return GraphError(
        401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": 'Bearer realm=""'}
    )


def not_registered() -> GraphError:
    """Refuse an application that this service does not know."""
    return GraphError(403, "7503", "Application is not registered in our store.")


def insufficient_permissions() -> GraphError:
    """Refuse a token without the roles that a request needs."""
    return GraphError(
        403, "7504", "Insufficient enterprise tenant permissions, cannot access this API."
    )


def tenant_mismatch() -> GraphError:
    """Refuse a request about another tenant than its token's."""
    return GraphError(403, "7505", "Request authorization tenant mismatch.")


def source_identity_invalid() -> GraphError:
    """Refuse a call in another application's name."""
    return GraphError(403, "7507", "Call source identity invalid")


def call_not_found() -> GraphError:
    """Say that there is no such call, or none that this application may see."""
    return GraphError(404, "8522", "Call not found.")


def user_not_found(user_id: str) -> GraphError:
    """Say that the directory has no such user."""
    return GraphError(404, "itemNotFound", f"User '{user_id}' was not found in the directory.")


def not_implemented(what: str) -> GraphError:
    """Say that a documented request is not carried by this service."""
    return GraphError(405, "8520", f"Not implemented: {what}.")


def payload_too_large(limit_bytes: int) -> GraphError:
    """Refuse a body over the limit, and the rest of it with its connection."""
    message = f"The request body is larger than {limit_bytes} bytes."
    return GraphError(413, "invalidRequest", message, {"Connection": "close"})


def error_body(
    error: GraphError, *, request_id: str, client_request_id: str, now: datetime
) -> dict[str, Any]:
    """Build the envelope in which *error* is sent."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "innerError": {
                "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
                "request-id": request_id,
                "client-request-id": client_request_id,
            },
        }
    }
