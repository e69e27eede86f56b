"""Traces: sent as the settings say, nothing without them, and no word of an exception in one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import ValidationError

from mixminus.control.operation.call_context import (
    Concern,
    concerning,
    step,
    watch_frames,
)
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.operation.traces import Traces, TracesUnavailableError
from tests.support import eventually


class Collector(HTTPServer):
    """Takes what is exported."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings_of(**values: object) -> OperationSettings:
    return OperationSettings.of_values({"otel_sample_ratio": 1.0, **values})


async def test_without_an_endpoint_nothing_is_traced() -> None:
    traces = Traces(settings_of())
    assert not traces.is_on
    assert traces.call("a call") is None
    headers: dict[str, str] = {}
    with concerning("call-1"), step("a step", "client", headers) as span:
        assert span is None
        watch_frames(lambda: pytest.fail("nobody asks"))
    with traces.request("GET", {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}) as span:
        assert span is None
    assert headers == {}
    await traces.close()


async def test_spans_go_to_the_endpoint_as_otlp(collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    traces = Traces(settings_of(otel_endpoint=endpoint, otel_service_name="svc", instance="i-1"))
    trace = traces.call("a call", role="host")
    assert trace is not None
    headers: dict[str, str] = {}
    counts = {"frames_in": 0, "frames_out": 1}
    with concerning(Concern("call-1", trace=trace)):
        with step("a request", "client", headers):
            pass
        watch_frames(lambda: counts)
    assert not trace.is_over
    counts["frames_in"] = 1
    await eventually(lambda: trace.is_over)
    trace.end("too late")
    with traces.request("POST", headers) as span:
        assert span is not None
        assert f"{span.get_span_context().trace_id:032x}" == headers["traceparent"].split("-")[1]
    await traces.close()
    ((path, body),) = collector.bodies
    assert path == "/v1/traces"
    for part in (b"a call", b"a request", b"svc", b"i-1", b"media flow", b"first frame sent"):
        assert part in body
    assert b"too late" not in body


async def test_a_call_that_is_not_sampled_says_so_to_others_and_is_not_watched(
    collector: Collector,
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    traces = Traces(settings_of(otel_endpoint=endpoint, otel_sample_ratio=0.0))
    trace = traces.call("a call")
    assert trace is not None
    headers: dict[str, str] = {}
    with trace.step("a request", "client", headers):
        pass
    assert not int(headers["traceparent"].rpartition("-")[2], 16) & 1
    trace.watch_frames(lambda: pytest.fail("nobody asks"), {"frames_in": "came"})
    assert trace.is_over
    with traces.request("POST", {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}) as span:
        assert span is not None
        assert span.is_recording(), "a trace that came is followed, as it says"
    await traces.close()
    assert len(collector.bodies) == 1


async def test_what_a_step_failed_with_is_named_by_its_type_alone(collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    traces = Traces(settings_of(otel_endpoint=endpoint))
    trace = traces.call("a call")
    assert trace is not None
    with pytest.raises(ValueError, match="canary"), trace.step("a step"):
        raise ValueError("passcode=canary-0001")
    trace.end("ValueError", has_failed=True)
    await traces.close()
    ((_, body),) = collector.bodies
    assert b"ValueError" in body
    assert b"canary" not in body


def test_an_endpoint_without_the_extra_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracesUnavailableError, match=r'pip install "mixminus\[otel\]"'):
        Traces(settings_of(otel_endpoint="http://localhost:4318/v1/traces"))


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(ValidationError, match="expected an http or https URL, got 'localhost"):
        settings_of(otel_endpoint="localhost:4317")
