"""The OpenAPI description against the service: what it says holds, whatever is sent."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.service_kit import JOHN, GraphHttp, Receiver, call_body, running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}
CALL_PATH = "/beta/communications/calls/{call_id}"
UNTESTED = "/{tenant}/", "/common/", "/v1/"
"""Entra's own pages: described by FastAPI, in the words and envelopes of OAuth."""


def meeting(tenant_id: str, thread: str = "19:meeting_Win6@thread.v2") -> dict[str, Any]:
    organizer = {"user": {"id": JOHN, "tenantId": tenant_id}}
    return {
        "targets": None,
        "chatInfo": {"threadId": thread, "messageId": "0"},
        "meetingInfo": {"organizer": organizer},
    }


def tried(
    description: dict[str, Any], graph: GraphHttp, examples: int, **more: Any
) -> tuple[list[str], int]:
    """Send what schemathesis makes of *description*; return what breaks it, and the requests."""
    try:
        return _tried(description, graph, examples, **more)
    finally:
        # The engine leaves its connections to the collector: let it be here, not in another test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def _tried(
    description: dict[str, Any], graph: GraphHttp, examples: int, **more: Any
) -> tuple[list[str], int]:
    config = SchemathesisConfig.from_dict(
        {
            "base-url": graph.dev.graph_base_url,
            "tls-verify": str(graph.dev.ca_file),
            "headers": {"Authorization": graph.http.headers["Authorization"]},
            "workers": 1,
            "continue-on-failure": True,
            "phases": {
                "examples": {"enabled": False},
                "stateful": {"enabled": False},
                "coverage": {"unexpected-methods": ["OPTIONS", "PUT"]},
            },
            "generation": {
                "max-examples": examples,
                "deterministic": True,
                "database": "none",
                "no-shrink": True,
            },
            "checks": {
                # What a schema allows can still be refused: a call's state, an unknown user.
                "positive_data_acceptance": {"enabled": False},
            },
            **more,
        }
    )
    broken, sent = [], 0
    for event in from_schema(schemathesis.openapi.from_dict(description, config=config)).execute():
        if isinstance(event, events.ScenarioFinished):
            sent += len(event.recorder.interactions)
            broken += [
                f"{event.recorder.label}: {check.name}: {check.failure_info.failure}"
                f" {check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
        elif isinstance(event, events.NonFatalError):
            broken.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            broken.append(str(event.exception))
    return broken, sent


def only(description: dict[str, Any], wanted: Callable[[str], bool]) -> dict[str, Any]:
    paths = {path: item for path, item in description["paths"].items() if wanted(path)}
    return description | {"paths": paths}


@pytest.mark.slow
async def test_whatever_is_sent_to_a_call_the_description_holds(tmp_path: Path) -> None:
    async with (
        running_service(tmp_path) as service,
        GraphHttp(service.dev_file) as graph,
        Receiver(tmp_path) as receiver,
    ):
        body = call_body(receiver.url, mediaConfig=HOSTED, **meeting(graph.dev.tenant_id))
        call_id = await graph.created({k: v for k, v in body.items() if v is not None})
        description = (await graph.http.get("/openapi.json")).json()
        broken, sent = await asyncio.to_thread(
            tried,
            only(description, lambda path: path.startswith(CALL_PATH)),
            graph,
            examples=1,
            parameters={"path.call_id": call_id},
            # It would end the call under test.
            operations=[{"include-path": CALL_PATH, "include-method": "DELETE", "enabled": False}],
        )
        assert broken == []
        assert sent > 1000
        assert (await graph.http.get(CALL_PATH.format(call_id=call_id))).status_code == 200


@pytest.mark.slow
async def test_whatever_is_sent_elsewhere_the_description_holds(shared_graph: GraphHttp) -> None:
    description = (await shared_graph.http.get("/openapi.json")).json()
    broken, sent = await asyncio.to_thread(
        tried,
        only(
            description,
            lambda path: not path.startswith((CALL_PATH, "/v1.0/", "/beta/app/", *UNTESTED)),
        ),
        shared_graph,
        examples=1,
    )
    assert broken == []
    assert sent > 300


async def test_both_versions_and_the_older_root_are_described_alike(
    shared_graph: GraphHttp,
) -> None:
    description = (await shared_graph.http.get("/openapi.json")).json()

    def below(prefix: str) -> dict[str, Any]:
        found = {}
        for path, item in description["paths"].items():
            if path.startswith(prefix):
                operations = {
                    method: {k: v for k, v in operation.items() if k not in ("operationId", "tags")}
                    for method, operation in item.items()
                }
                found[path.removeprefix(prefix)] = operations
        return found

    beta = below("/beta/communications/calls")
    assert below("/v1.0/communications/calls") == beta
    # keepAlive and hold music have no /app form.
    older = {
        path: item
        for path, item in beta.items()
        if not path.endswith(("/keepAlive", "/startHoldMusic", "/stopHoldMusic"))
    }
    assert below("/beta/app/calls") == older
    assert len(older) == len(beta) - 3


async def test_new_calls_are_as_described(shared_graph: GraphHttp) -> None:
    description = (await shared_graph.http.get("/openapi.json")).json()
    created = jsonschema_rs.validator_for(
        {"$ref": "#/components/schemas/createdCall", "components": description["components"]}
    )
    url = "https://localhost:1/callback"
    tenant = shared_graph.dev.tenant_id
    options = {"isDeltaRosterEnabled": True}
    guest = {"identity": {"guest": {"id": "guest-1", "displayName": "Guest"}}}
    for body in (
        call_body(url, callOptions=options),
        call_body(url, mediaConfig=HOSTED, subject="Lunch"),
        call_body(url, mediaConfig=HOSTED, **meeting(tenant)),
        call_body(url, mediaConfig=HOSTED, source=guest, **meeting(tenant)),
    ):
        reply = await shared_graph.create(body, "beta")
        assert reply.status_code == 201, reply.text
        created.validate(reply.json())
