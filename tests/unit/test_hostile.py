"""What far ends, other programs of the machine and odd settings may say: nothing else suffers."""

from __future__ import annotations

import asyncio
import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from pydantic import SecretStr, ValidationError
from requests.adapters import HTTPAdapter
from starlette.datastructures import Headers

from mixminus.control.acs.events import EventError
from mixminus.control.acs.events import _events as acs_events
from mixminus.control.client.tokens import MAX_ANSWER_BYTES, ClientCredentials, TokenError
from mixminus.control.config.errors import ConfigError
from mixminus.control.config.sources import SettingsSources
from mixminus.control.console.guard import cookie
from mixminus.control.console.merge import Sources
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.console.sign_in import SESSION_COOKIE
from mixminus.control.console.source import ConsoleRefusedError
from mixminus.control.console.wishes import MeetingWish
from mixminus.control.host.console.recordings import list_recordings
from mixminus.control.journal import Journal
from mixminus.control.operation.health import HealthPages
from mixminus.control.operation.metrics.families import Families
from mixminus.control.operation.metrics.metrics import Metrics, Source
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.redaction import LogRedactor
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.settings import HostSettings
from mixminus.control.whole_json import read_json
from mixminus.media.platform import MediaPlatform
from mixminus.media.recorder import RecordingStore
from mixminus.media.recorder.manifest import MANIFEST_NAME
from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.stream.dialect import read_object
from tests.config_kit import clean
from tests.console_kit import FakeSource

__all__ = ["clean"]

GOOD = "20260102T000000Z-00000002"
LONG_CHARS = 32_000
LIMIT_S = 2.0
"""Of a core, for what takes 0.03 s; it took 19 s when the time grew with the square."""


# ---- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        ("", "a"),
        ("", "eyJ"),
        ("", "eyJeyJ."),
        ("", "a-"),
        ("", "a."),
        ("?", "token"),
        ("ice-pwd", " "),
        ("", "://a"),
        ("", "candidate:"),
    ],
)
def test_no_text_keeps_the_redactor_for_long(begin: str, unit: str) -> None:
    redactor = LogRedactor()
    text = begin + unit * (LONG_CHARS // len(unit))
    began_s = time.process_time()
    redactor.text(text)
    assert time.process_time() - began_s < LIMIT_S


@pytest.mark.parametrize(
    ("text", "clean_text"),
    [
        ("is eyJhbGciOiJI.eyJzdWIiOiIx.sig_-, then", "is [redacted], then"),
        ("tok_eyJhbGciOiJI.abc", "tok_[redacted]"),
        ("eyJeyJhbGciOiJIUzI1.abc", "[redacted]"),
        ("no.eyJ.token", "no.eyJ.token"),
        ("https://me:pass@host/x", "https://[redacted]@host/x"),
        ("my-client_secret=abcdefg", "my-client_secret=[redacted]"),
        ("x-api-key: 'abcdefg'", "x-api-key: '[redacted]'"),
        ("ice-pwd abcdef", "ice-pwd [redacted]"),
        ("ice_ufrag = 'abcdef'", "ice_ufrag = '[redacted]"),
    ],
)
def test_secrets_are_found_wherever_they_begin(text: str, clean_text: str) -> None:
    assert LogRedactor().text(text) == clean_text


@pytest.mark.parametrize(
    "body",
    [
        b'{"level": NaN}',
        b'{"level": -1e999}',
        b"[" * 15_000 + b"]" * 15_000,
        {"level": float("inf")},
    ],
)
def test_a_body_that_is_no_json_hides_no_other_entry(body: bytes | dict[str, float]) -> None:
    journal = Journal("host")
    journal.record("notification", "call-1", "first", body)
    journal.record("notification", "call-1", "second", {"level": 1.5})

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    texts = [entry.json() for entry in journal.since(0)[0]]
    first, second = (json.loads(text, parse_constant=refuse) for text in texts)
    assert (first["title"], first["body"]) == (
        "first",
        {"leftOut": "a body that cannot be shown"},
    )
    assert second["body"] == {"level": 1.5}


def test_an_object_without_end_is_left_out() -> None:
    body: list[Any] = []
    for _ in range(100_000):
        body = [body]
    journal = Journal("host")
    journal.record("notification", None, "deep", body)
    (entry,) = journal.since(0)[0]
    assert entry.read()["body"] == {"leftOut": "a body that is nested too deeply"}


def test_half_a_surrogate_pair_is_replaced() -> None:
    r"""A name that was cut in the middle of an emoji ends in one."""
    read = read_json(rb'{"n\ud83d": ["Ann \ud83d", "\ud83d\ude00", "\u00e9", 1, null]}')
    assert read == {"n�": ["Ann �", "\U0001f600", "é", 1, None]}
    assert acs_events(rb'{"name": "Ann \ud83d"}') == [{"name": "Ann �"}]
    with pytest.raises(EventError, match="expected JSON"):
        acs_events(b"[" * 100_000)
    with pytest.raises(RemoteProtocolError, match="expected JSON"):
        read_object(r'{"name": "Ann \ud83d"}')


# ---- the browser ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", ['prefs={"a": 1}', "a[b]=1", "a,b=1", "no value", '"', "x=\xe9", ""]
)
def test_a_cookie_of_another_server_of_this_machine_hides_none_of_ours(other: str) -> None:
    headers = Headers({"cookie": f"{other}; {SESSION_COOKIE}=the-session"})
    assert cookie(headers, SESSION_COOKIE) == "the-session"
    assert cookie(Headers({"cookie": other}), SESSION_COOKIE) is None


async def test_the_side_that_could_do_it_says_why_it_did_not() -> None:
    class Strict(FakeSource):
        async def create_meeting(self, wish: MeetingWish) -> Any:
            raise ConsoleRefusedError.not_possible("the subject is too long")

    class Without(FakeSource):
        async def create_meeting(self, wish: MeetingWish) -> Any:
            raise ConsoleRefusedError.not_possible("no call service runs in this process")

    sources = Sources()
    sources.add(Strict(side="service"))
    sources.add(Without(side="host"))
    wish = MeetingWish(subject="Standup")
    with pytest.raises(ConsoleRefusedError, match="the subject is too long"):
        await sources.first_able(lambda source: source.create_meeting(wish))


# ---- what is slow or broken ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    [
        {"tracks": [5]},
        {"tracks": [{"files": 5}]},
        {"tracks": [{"files": [5]}]},
        {"tracks": [{"files": ["a\0b"]}]},
        {"tracks": [{"files": ["x" * 5000]}]},
        {"tracks": [], "duration_s": float("nan")},
        {"tracks": [{"files": ["mixed.wav"], "name": 5}]},
    ],
)
def test_a_broken_recording_hides_no_other(tmp_path: Path, manifest: dict[str, Any]) -> None:
    good = {"tracks": [{"track": "mixed", "files": ["mixed.wav"], "name": "Ann \ud83d"}]}
    for name, content in (("20260101T000000Z-00000001", manifest), (GOOD, good)):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_NAME).write_text(json.dumps(content))
        (tmp_path / name / "mixed.wav").write_bytes(b"RIFF")
    (shown,) = list_recordings(RecordingStore(tmp_path))
    assert shown.id == f"h:{GOOD}"
    assert json.loads(shown.model_dump_json())["title"] == "Ann \ufffd"


class Adapter(HTTPAdapter):
    """An authority that answers everything with *body*."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raw = urllib3.HTTPResponse(BytesIO(self._body), status=200, preload_content=False)
        return self.build_response(request, raw)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[1]", "invalid_authority"),
        (b"null", "invalid_authority"),
        (b"[" * 100_000, "invalid_authority"),
        (b'{"token_endpoint": "https://localhost/t"}', "invalid_authority"),
        (b" " * (MAX_ANSWER_BYTES + 1), "unreachable"),
    ],
)
def test_an_authority_that_is_none_is_a_token_error(body: bytes, code: str) -> None:
    source = ClientCredentials("https://localhost/tenant", "app", "secret")
    source._session.mount("https://", Adapter(body))
    with pytest.raises(TokenError) as caught:
        source.fetch()
    assert caught.value.code == code


async def test_a_store_that_hangs_is_no_reason_to_be_ended() -> None:
    """Neither to be taken for dead, which ends all calls, nor to be left without metrics."""
    stuck = asyncio.Event()

    async def describe() -> dict[str, Any]:
        await stuck.wait()
        return {}

    class Stuck:
        async def prepare(self) -> None:
            await stuck.wait()

        def collect(self, families: Families) -> None:
            families.state("mixminus_draining", 1)

        def settle(self) -> None:
            raise AssertionError("nobody asked")

    async with MediaPlatform() as platform:
        operation = Operation(OperationSettings(), platform)
        pages = HealthPages("call service", operation, describe=describe)
        (status, body), (text, _) = await asyncio.gather(
            pages.health(), scraped(operation, Stuck())
        )
    assert status == 200
    assert body["leftOut"] == "the rest was not known within 0.5 s"
    assert b"mixminus_draining 1.0" in text


async def scraped(operation: Operation, source: Source) -> tuple[bytes, str]:
    metrics = Metrics(operation.settings)
    metrics.add_source(source)
    return await metrics.render()


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, "[[1, 0xfffffffffffffffff]]"])
def test_a_number_that_nobody_can_write_is_named(clean: Path, number: str) -> None:
    (clean / "mixminus.toml").write_text(f"[service]\nport = {number}\n")
    with pytest.raises(ConfigError, match="not TOML: a number is larger than 64 bits"):
        SettingsSources.read()


@pytest.mark.parametrize(
    "secret", ["two-lines-\nof-a-secret", "nul-\0-in-a-secret", "bytes-\udcff"]
)
def test_a_secret_is_one_line_of_text(secret: str) -> None:
    with pytest.raises(ValidationError, match="expected one line of text"):
        HostSettings.of_values({"tenant_id": "t", "app_id": "a", "client_secret": secret})


@pytest.mark.parametrize("token", ["sixteen characters", "sechzehn-über-16"])
def test_a_token_is_what_a_header_can_bear(token: str) -> None:
    with pytest.raises(ValidationError, match="expected ASCII characters, without a space"):
        ConsoleSettings(token=SecretStr(token))
