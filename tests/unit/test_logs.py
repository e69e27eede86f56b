"""Log lines: their form, whose call they are about, and what never stands in one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from mixminus.control.operation.call_context import (
    Concern,
    call_task,
    concerning,
    current_concern,
    enter_concern,
)
from mixminus.control.operation.logs import LIBRARIES, Logs
from mixminus.control.operation.redaction import LogRedactor, secrets_of
from mixminus.control.operation.settings import OperationSettings
from mixminus.media.session.callbacks import Callbacks
from tests.offers import CHROMIUM

log = logging.getLogger("mixminus.test")

Form = Literal["json", "text"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logs_of(
    form: Literal["auto", "text", "json"] = "json", stream: io.StringIO | None = None
) -> Iterator[io.StringIO]:
    stream = stream or io.StringIO()
    with Logs(stream=stream, level="debug", form=form, instance="host-1"):
        yield stream


def raised(error: Exception) -> Exception:
    """Return *error* with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_time_level_logger_and_call() -> None:
    with logs_of() as stream:
        log.info("begun")
        with concerning(Concern("call-1", participant_id="person-1", app="echo")):
            log.warning("a %s\nof two lines", "message", extra={"event": "call.odd", "retries": 2})
    plain, concerned = lines(stream)
    assert list(plain) == ["ts", "level", "logger", "message", "host"]
    assert plain["ts"].endswith("Z")
    assert len(plain["ts"]) == len("2026-01-01T00:00:00.000Z")
    assert concerned | {"ts": ""} == {
        "ts": "",
        "level": "warning",
        "logger": "mixminus.test",
        "message": "a message\nof two lines",
        "callId": "call-1",
        "participantId": "person-1",
        "app": "echo",
        "host": "host-1",
        "event": "call.odd",
        "retries": 2,
    }


def test_an_exception_is_fields() -> None:
    with logs_of() as stream:
        log.error("it failed", exc_info=raised(ValueError("expected 1, got passcode=hunter22")))
    (line,) = lines(stream)
    assert line["exception"]["type"] == "builtins.ValueError"
    assert line["exception"]["message"] == "expected 1, got passcode=[redacted]"
    assert line["exception"]["stack"].startswith("Traceback")
    assert "test_logs.py" in line["exception"]["stack"]
    assert "hunter22" not in stream.getvalue()


def test_text_is_one_line_that_nobody_can_forge() -> None:
    with logs_of("text") as stream:
        log.info("call %s: established", "call-1")
        with concerning("call-2"):
            log.info("named \x1b[31mred\n2026-01-01 ERROR forged")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(" INFO mixminus.test: call call-1: established")
    assert second.endswith(r"named \x1b[31mred\n2026-01-01 ERROR forged [call call-2]")


def test_a_line_that_names_its_call_is_about_that() -> None:
    with logs_of() as stream, concerning("call-1"):
        log.info("call %s: over", "call-2")
    assert lines(stream)[0]["callId"] == "call-2"


def test_it_is_text_on_a_terminal_and_json_elsewhere_unless_told() -> None:
    with logs_of("auto", Terminal()) as stream:
        log.info("x")
    assert stream.getvalue().endswith("INFO mixminus.test: x\n")
    with logs_of("auto") as stream:
        log.info("x")
    assert lines(stream)[0]["message"] == "x"
    stream = Terminal()
    with Logs(stream=stream) as logs:
        logs.follow(OperationSettings.of_values({"log_format": "json", "log_level": "error"}))
        log.warning("not this")
        log.error("this")
    assert [line["message"] for line in lines(stream)] == ["this"]
    stream = io.StringIO()
    with Logs(stream=stream, level="error") as logs:
        logs.follow(OperationSettings.of_values({"log_level": "debug"}))
        log.warning("the command line's level stays")
    assert not stream.getvalue()


def test_libraries_stay_at_warning_and_all_is_restored() -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:], [logging.getLogger(name).level for name in LIBRARIES]
    with logs_of() as stream:
        for name in LIBRARIES:
            logging.getLogger(f"{name}.part").debug("headers and session descriptions")
        logging.getLogger("a bot's own").debug("heard")
    assert [line["logger"] for line in lines(stream)] == ["a bot's own"]
    after = root.level, root.handlers[:], [logging.getLogger(name).level for name in LIBRARIES]
    assert after == before


async def test_tasks_threads_timers_and_callbacks_are_about_the_call_they_came_of() -> None:
    seen: list[str | None] = []
    told: Callbacks[[]] = Callbacks("a test")

    def see() -> None:
        concern = current_concern()
        seen.append(None if concern is None else concern.call_id)

    async def work() -> None:
        see()
        await asyncio.to_thread(see)
        await asyncio.create_task(asyncio.sleep(0))
        asyncio.get_running_loop().call_soon(see)
        told.add(see)
        await asyncio.sleep(0)

    made = Concern()
    with concerning(made):
        waiting = asyncio.create_task(work())
    made.call_id = "call-1"  # It gets its id once the service has answered.
    await waiting
    await call_task("call-2", work(), "a call's")
    see()
    told.call()
    assert seen == ["call-1"] * 3 + ["call-2"] * 3 + [None, "call-1", "call-2"]


async def test_a_request_is_about_no_call_of_who_started_the_server() -> None:
    async def request() -> Concern | None:
        enter_concern(Concern())
        return current_concern()

    with concerning("call-1"):
        assert await asyncio.create_task(request()) == Concern()
        assert current_concern() == Concern("call-1")


BLOB = base64.b64encode(
    json.dumps({"mpUri": "wss://x", "mixminus": {"secret": "A1" * 21}}).encode()
).decode()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("message", "canary"),
    [
        (f"got {JWT}", JWT),
        (f"Authorization: Bearer {JWT}", JWT),
        ("> Authorization: HMAC-SHA256 SignedHeaders=x&Signature=CANARY12345=", "CANARY12345"),
        ("headers [(b'authorization', b'Basic Q0FOQVJZ')]", "Q0FOQVJZ"),
        ("< Set-Cookie: __Host-session=CANARY12345; Secure", "CANARY12345"),
        ("POST client_secret=CANARY12345&scope=x", "CANARY12345"),
        ('{"clientSecret": "x", "passcode": "CANARY12345"}', "CANARY12345"),
        ("endpoint=https://a.example/;accesskey=CANARY12345==", "CANARY12345"),
        ("refused wss://h/streams/twilio/known-by-value-1", "known-by-value-1"),
        ("POST /acs/events/known-by%2Fvalue-2", "value-2"),
        ("GET /console?access_token=CANARY12345", "CANARY12345"),
        ("https://user:CANARY12345@example.com/x", "CANARY12345"),
        (f"mediaConfig {BLOB}", BLOB[:40]),
        (f"mediaConfig {BLOB[:60]}... and more", BLOB[:40]),
        (CHROMIUM, "c0bLsO6b1PxSZ9oYj0cC3tqV"),
        (json.dumps({"type": "answer", "sdp": CHROMIUM}), "Zx3Q"),
        (repr(CHROMIUM)[60:], "f1e35b1f-8a43"),
        ("ice_pwd c0bLsO6b1PxSZ9oYj0cC3tqV", "c0bLsO6b1PxSZ9oYj0cC3tqV"),
        ("candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host", "192.0.2.9"),
    ],
)
def test_no_secret_is_in_a_line(form: Form, message: str, canary: str) -> None:
    redactor, stream = LogRedactor(), io.StringIO()
    redactor.learn("known-by-value-1", "known-by/value-2")
    with Logs(stream=stream, redactor=redactor, form=form):
        log.error("said %s", message, extra={"detail": {"text": message}})
        log.error("failed", exc_info=raised(RuntimeError(message)))
    assert canary in message
    assert canary not in stream.getvalue()
    assert "said" in stream.getvalue()
    assert "failed" in stream.getvalue()


def test_ordinary_lines_are_left_as_they_are() -> None:
    redactor = LogRedactor()
    for text in (
        "call 0a1b2c3d-0000-4000-8000-0123456789ab: established after 12 ms",
        "health heavilyLoaded, was normal: 72 % of capacity (tick time)",
        "recording 20260101T120000Z-0a1b2c3d ended (call ended) after 1.0 s",
        "signing keys from https://localhost:1/keys: unreachable",
        "plugin noise on speaker: error: ValueError: expected one frame, int16 of shape (960,)",
    ):
        assert redactor.text(text) == text


def test_secrets_of_settings_have_the_key_of_a_connection_string() -> None:
    settings = OperationSettings.of_values({"metrics_token": "0123456789abcdef"})
    assert secrets_of(settings) == ["0123456789abcdef"]

    class Acs(OperationSettings):
        connection: SecretStr = SecretStr("endpoint=https://x/;accesskey=abc+/=")

    assert secrets_of(Acs.of_values({})) == [
        "endpoint=https://x/;accesskey=abc+/=",
        "abc+/=",
    ]


def test_what_ends_a_thread_is_a_line_as_all_others() -> None:
    def fail() -> None:
        raise RuntimeError(f"with {JWT}")

    with logs_of() as stream:
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
    (line,) = lines(stream)
    assert line["message"] == "worker failed"
    assert line["exception"]["message"] == "with [redacted]"


@pytest.mark.slow
def test_importing_mixminus_sets_up_no_logging() -> None:
    script = (
        "import logging; root = logging.getLogger()\n"
        "import mixminus.control.host, mixminus.control.service.service, mixminus.control.cli\n"
        "import mixminus.control.operation.logs\n"
        "import sys\n"
        "assert not root.handlers and root.level == logging.WARNING, root.handlers\n"
        "assert 'opentelemetry.sdk' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
