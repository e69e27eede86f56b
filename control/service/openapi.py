"""The OpenAPI description of this service: what FastAPI cannot know of routes that read themselves.

The routes of the Graph API parse bodies and build replies by hand, so that refusals are Graph's;
here their shapes are written down once, and ``/openapi.json`` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from ..graph.fields import ID_PATTERN
from ..graph.operations import MEMBERS
from .openapi_records import RECORD_REQUESTS, RECORD_RESOURCES
from .openapi_requests import REQUESTS as CALL_REQUESTS
from .openapi_resources import RESOURCES as CALL_RESOURCES
from .openapi_schema import Schema, ref

SELECT: Schema = {
    "name": "$select",
    "in": "query",
    "required": False,
    "description": "The properties to return, separated by commas.",
    "schema": {"type": "string"},
}
EXPAND: Schema = {
    "name": "$expand",
    "in": "query",
    "required": False,
    "description": "The relationships to return with it, separated by commas.",
    "schema": {"type": "string"},
}
REQUESTS = {**CALL_REQUESTS, **RECORD_REQUESTS}
RESOURCES = {**CALL_RESOURCES, **RECORD_RESOURCES}
BEARER: list[Schema] = [{"bearer": []}]
_GATED = ("/v1.0/", "/beta/", "/mixminus/")
"""Where errors come in Graph's envelope."""


def described(
    suffix: str,
    operation: str,
    status: int,
    body: str | None = None,
    reply: str | None = None,
    *,
    query: Sequence[Schema] = (),
    text: bool = False,
) -> dict[str, Any]:
    """Return how a route is described, as keywords of FastAPI's route methods.

    ``body`` and ``reply`` name schemas; *text* is a plain one.
    """
    response: Schema = {"description": "Done."}
    if reply is not None:
        response["content"] = {"application/json": {"schema": ref(reply)}}
    elif text:
        response["content"] = {"text/plain": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    if reply == "createdCall" or reply in MEMBERS:
        # Only what makes something answers with its own type of operation.
        response["headers"] = {
            "Location": {"required": True, "schema": {"type": "string", "format": "uri"}}
        }
    extra: Schema = {"security": BEARER, "parameters": list(query)}
    if body is not None:
        extra["requestBody"] = {
            # An empty body is an empty object: it does where nothing must be said.
            "required": "required" in REQUESTS[body],
            "content": {"application/json": {"schema": ref(body)}},
        }
    return {
        "operation_id": f"{operation}_{suffix}" if suffix else operation,
        "status_code": status,
        "response_class": Response,
        "responses": {status: response, "default": _ERROR},
        "openapi_extra": extra,
    }


class DescribedApp(FastAPI):
    """An application whose description holds the schemas of the Graph API."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; it is built once."""
        if self.openapi_schema is None:
            self.openapi_schema = _complete(
                get_openapi(title=self.title, version=self.version, routes=self.routes)
            )
        return self.openapi_schema


_ERROR: Schema = {
    "description": "Refused.",
    "content": {"application/json": {"schema": ref("error")}},
}
_IDS = ("call_id", "item_id", "app_id")


def _complete(description: dict[str, Any]) -> dict[str, Any]:
    """Add what the routes refer to."""
    components = description.setdefault("components", {})
    components.setdefault("schemas", {}).update({**RESOURCES, **REQUESTS})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for path, operations in description["paths"].items():
        for operation in operations.values():
            _complete_operation(path, operation)
    return description


def _complete_operation(path: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in _IDS:
            parameter["schema"] = {"type": "string", "pattern": ID_PATTERN}
    if path.startswith(_GATED):
        # FastAPI's own validation errors come in the envelope as well.
        operation["responses"].pop("422", None)
        operation["responses"].setdefault("default", _ERROR)
