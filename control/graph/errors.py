"""Errors of the Graph API: what a request is refused with, and the envelope that says so."""

from __future__ import annotations

import math
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


def bad_request(message: str) -> GraphError:
    """Refuse what the gateway in front of the calling platform refuses: paths, query options."""
    return GraphError(400, "BadRequest", message)


def invalid_media_mode(message: str) -> GraphError:
    """Refuse an action that the media of this call, service- or app-hosted, does not have."""
    return GraphError(400, "8500", message)


def call_not_established() -> GraphError:
    """Refuse an action that needs an established call."""
    return GraphError(400, "8501", "Call is not established.")


def audio_inactive() -> GraphError:
    """Refuse an action on media that does not flow yet."""
    return GraphError(400, "8503", "Media state of audio is inactive.")


def call_terminated() -> GraphError:
    """Refuse an action on a call that ends."""
    return GraphError(400, "8528", "Call is terminated.")


def not_a_group_call() -> GraphError:
    """Refuse an action that only group calls have."""
    return GraphError(400, "8548", "Call is not a group call.")


def wrong_state(action: str, expected: str, state: str) -> GraphError:
    """Refuse an action that the call's state does not allow."""
    message = f"{action} is not valid in state {state}: expected {expected}."
    return GraphError(400, "8585", message)


def invalid_join_token() -> GraphError:
    """Refuse a token that names no meeting."""
    return GraphError(400, "8526", "Invalid join token.")


def invalid_join_url(message: str) -> GraphError:
    """Refuse a thread or join URL that names no meeting."""
    return GraphError(400, "8527", f"Invalid join URL: {message}")


def invalid_join_meeting_id() -> GraphError:
    """Refuse a joinMeetingId that is unknown, or a passcode that is not its own."""
    return GraphError(404, "8561", "Invalid join meeting id or passcode.")


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


def not_found(what: str) -> GraphError:
    """Say that a call has no such participant, operation, group or session."""
    return GraphError(404, "8522", f"{what} not found.")


def segment_not_found(segment: str) -> GraphError:
    """Say that the API has nothing of that name."""
    return GraphError(404, "itemNotFound", f"Resource not found for the segment '{segment[:64]}'.")


def user_not_found(user_id: str) -> GraphError:
    """Say that the directory has no such user."""
    return GraphError(404, "itemNotFound", f"User '{user_id}' was not found in the directory.")


def not_implemented(what: str) -> GraphError:
    """Say that a documented request is not carried by this service."""
    return GraphError(405, "8520", f"Not implemented: {what}.")


def not_allowed(method: str, allowed: str) -> GraphError:
    """Say that a resource knows other methods."""
    return GraphError(405, "notAllowed", f"{method} is not allowed here.", {"Allow": allowed})


def conflict(message: str) -> GraphError:
    """Refuse what contradicts what is there."""
    return GraphError(409, "8519", message)


def stale_epoch(lineage: str, epoch: int, highest: int) -> GraphError:
    """Refuse media of a call whose application has gone on with it in a later session."""
    return GraphError(
        409,
        "staleEpoch",
        f"mediaConfig.blob: the call {lineage[:64]} is in epoch {highest} already: expected a"
        f" higher one, got {epoch}. Another instance of the application has it.",
    )


def transfer_conflict() -> GraphError:
    """Refuse a second transfer while one is under way."""
    return GraphError(409, "8607", "Another transfer of this call is under way.")


def throttled(retry_after_s: int) -> GraphError:
    """Refuse one request too many; it may come again after so many seconds."""
    message = "Application is over its quota: too many requests. Please try again later."
    return GraphError(429, "activityLimitReached", message, {"Retry-After": str(retry_after_s)})


def no_more_calls(message: str, retry_after_s: float) -> GraphError:
    """Refuse a call that may be tried again, here or elsewhere, after so many seconds."""
    headers = {"Retry-After": str(math.ceil(retry_after_s))}
    return GraphError(503, "serviceNotAvailable", message, headers)


def unsupported_media_type() -> GraphError:
    """Refuse a body that is not sent as JSON."""
    return GraphError(415, "invalidRequest", "The content type must be application/json.")


def unreadable_body() -> GraphError:
    """Refuse a body that is not JSON, in the words of Graph's gateway."""
    return bad_request(
        "Unable to read JSON request payload. Please ensure Content-Type header is set and"
        " payload is of valid JSON format."
    )


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
