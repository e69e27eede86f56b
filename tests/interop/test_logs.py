"""Canaries: what is secret in real calls of both roles, and in none of what a process says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mixminus.control.console.console import Console
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.operation.logs import LIBRARIES, Logs
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.phones import PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.tls import client_context
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from tests.offers import CHROMIUM
from tests.service_kit import phone_of, unregistered_phone
from tests.support import eventually

log = logging.getLogger("a bot of somebody's")

PHONE = "+14255550123"
PHONES = (PhoneScript(number=PHONE, display_name="Canary Pat", answer_after_s=0.0),)
WAIT_S = 20.0

CONSOLE = "canary-console-token-0001"
METRICS = "canary-metrics-token-0002"
TWILIO = "canary-twilio-token-0003"
STREAM = "canary-stream-path-token-0004"
ACS_EVENTS = "canary-acs-events-token-0005"
ACS_KEY = "Y2FuYXJ5LWFjcy1rZXktMDAwNg=="
WRONG_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJ3cm9uZyJ9.Y2FuYXJ5LXNpZ25hdHVyZQ"
GUESS = "canary-guess-0007"
PWD, UFRAG, SESSION = "canaryIcePwd0008canaryIce", "canaryUfrag9", "canary-sdp-session-0010"
OFFER = (
    CHROMIUM.replace("c0bLsO6b1PxSZ9oYj0cC3tqV", PWD)
    .replace("Zx3Q", UFRAG)
    .replace("s=-", f"s={SESSION}")
)
ACS_ID = "11111111-2222-4333-8444-555555555555"


class BotStoppedError(Exception):
    """What the bot fails with."""


@dataclass
class Scene:
    """Both roles and a console in one process, and all that it says."""

    service: CallService
    host: BotHost
    console: Console
    http: httpx2.AsyncClient
    stream: io.StringIO
    secrets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines()]

    def learn(self, descriptor: MediaSessionDescriptor | None) -> None:
        """Look for the secrets of a call as well."""
        assert descriptor is not None
        secret = descriptor.link_secret
        assert secret is not None
        call = f"of link {secret.hex()[:8]}"
        self.secrets[f"blob {call}"] = descriptor.to_blob()
        self.secrets[f"link secret {call}"] = base64.urlsafe_b64encode(secret).decode().rstrip("=")
        self.secrets[f"link secret in hex {call}"] = secret.hex()

    async def fetch(self, method: str, url: str, **more: Any) -> httpx2.Response:
        answer = await self.http.request(method, url, **more)
        self.seen[f"{method} {url} {answer.status_code}"] = answer.text
        return answer


def _make_bot(scene: list[Scene]) -> Bot:
    bot = Bot("canary bot")

    @bot.on_call
    async def talk(call: HostedCall) -> None:
        assert call.session is not None
        scene[0].learn(call.session.descriptor)
        log.info("a bot's own line")
        await asyncio.to_thread(log.info, "a line of a bot's thread")
        print("a bot's own print")
        told: asyncio.Queue[bool] = asyncio.Queue()

        def heard(active: bool) -> None:
            log.info("a line of a bot's callback")
            told.put_nowait(active)

        call.audio.on_send_status(heard)
        count = 0
        async for frame in call.audio:
            await call.audio.send(frame)
            count += 1
            if count == 5:
                log.info("a line while frames come")
                break
        blob, known = call.session.media_configuration(), scene[0].secrets["client secret"]
        raise BotStoppedError(f"with {blob} and {known} and {PWD and OFFER}")

    return bot


@asynccontextmanager
async def running(tmp_path: Path, form: Literal["json", "text"]) -> AsyncIterator[Scene]:
    stream = io.StringIO()
    operation = OperationSettings.of_values({"metrics_token": METRICS, "log_level": "debug"})
    console = Console(ConsoleSettings(token=SecretStr(CONSOLE), http_port=0), tmp_path)
    made: list[Scene] = []
    with Logs(stream=stream, level="debug", form=form, instance="canary-host") as logs:
        # Worse than any setting makes it: libraries log headers, messages and candidates.
        for name in LIBRARIES:
            logging.getLogger(name).setLevel(logging.DEBUG)
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(MediaPlatform())
            shared: dict[str, Any] = {"platform": platform, "console": console}
            shared["operation"] = await stack.enter_async_context(
                Operation(operation, platform, redactor=logs.redactor)
            )
            settings = ServiceSettings(state_dir=tmp_path, drain_s=0.0, phones=PHONES)
            service = await stack.enter_async_context(CallService(settings, **shared))
            dev = service.dev_file
            own = HostSettings.from_dev_file(
                dev,
                state_dir=tmp_path,
                capture=True,
                twilio_auth_token=SecretStr(TWILIO),
                stream_path_token=SecretStr(STREAM),
                acs_connection_string=SecretStr(
                    f"endpoint=https://localhost:1/;accesskey={ACS_KEY}"
                ),
                acs_events_token=SecretStr(ACS_EVENTS),
                acs_resource_id=ACS_ID,
            )
            host = await stack.enter_async_context(BotHost(_make_bot(made), own, **shared))
            await stack.enter_async_context(console)
            context = client_context(tmp_path / "ca.pem")
            http = await stack.enter_async_context(
                httpx2.AsyncClient(verify=context, trust_env=False, timeout=WAIT_S)
            )
            scene = Scene(service, host, console, http, stream)
            scene.secrets |= {
                "client secret": dev.client_secret,
                "admin token": host.admin_token,
                "console token": CONSOLE,
                "metrics token": METRICS,
                "twilio token": TWILIO,
                "stream token": STREAM,
                "acs events token": ACS_EVENTS,
                "acs key": ACS_KEY,
                "wrong token": WRONG_TOKEN,
                "signature of it": WRONG_TOKEN.rpartition(".")[2],
                "guess": GUESS,
                "ice pwd": PWD,
                "ice ufrag": UFRAG,
                "sdp session": SESSION,
            }
            scene.secrets |= {f"token of {user.display_name}": user.token for user in dev.users}
            scene.secrets |= {
                f"passcode of {meeting.subject}": meeting.passcode
                for meeting in dev.meetings
                if meeting.passcode
            }
            made.append(scene)
            yield scene


async def a_call_that_its_bot_fails(scene: Scene) -> str:
    """Call the phone; the bot talks, then raises. Returns the call's id."""
    call = await scene.host.calls.create(phone=PHONE)
    async with asyncio.timeout(WAIT_S):
        await call.wait_closed()
    assert call.bot_error is not None
    assert call.bot_error.startswith("BotStoppedError")
    await eventually(lambda: scene.service.book.living == 0, WAIT_S)
    return call.id


async def calls_of_people(scene: Scene) -> None:
    """A device that guesses, one with a bad offer, one whose offer is good."""
    dev = scene.service.dev_file
    async with unregistered_phone(dev) as phone:
        await phone.send(type="register", token=GUESS)
        await phone.expect("error")
    (meeting,) = [meeting for meeting in dev.meetings if meeting.passcode][:1]
    join = {"joinMeetingId": meeting.join_meeting_id, "passcode": meeting.passcode}
    async with phone_of(dev) as phone:
        await phone.send(type="join", sdp=f"v=0\r\ns={SESSION}\r\na=ice-pwd:{PWD}", **join)
        assert (await phone.expect("error"))["code"] == "badSdp"
        await phone.send(type="join", sdp=OFFER, **join)
        await phone.expect("joined")
        answered = await phone.expect("answered")
        answer = dict(
            line.removeprefix("a=").split(":", 1)
            for line in answered["sdp"].splitlines()
            if line.startswith("a=ice-")
            if ":" in line
        )
        scene.secrets |= {"our ice pwd": answer["ice-pwd"], "our ufrag": answer["ice-ufrag"]}
        await phone.send(type="hangup", callId=answered["callId"])
        await phone.expect("ended")


async def refusals(scene: Scene) -> None:
    """Requests with wrong or missing proofs, at every door."""
    graph, host, console = scene.service.urls.graph, scene.host.url, scene.console.url
    wrong = {"Authorization": f"Bearer {WRONG_TOKEN}"}
    body = {"callbackUri": f"https://localhost:1/?code={GUESS}", "mediaConfig": {"blob": GUESS}}
    assert (
        await scene.fetch("POST", f"{graph}/v1.0/communications/calls", headers=wrong, json=body)
    ).status_code == 401
    assert (
        await scene.fetch("POST", f"{host}/api/calls", headers=wrong, json={})
    ).status_code == 401
    form = {"client_id": scene.service.dev_file.app_id, "client_secret": GUESS}
    token_url = f"{scene.service.dev_file.authority}/oauth2/v2.0/token"
    await scene.fetch("POST", token_url, data={**form, "grant_type": "client_credentials"})
    for token in (GUESS, ACS_EVENTS):
        await scene.fetch("POST", f"{host}/acs/events/{token}", content=b"no JSON")
    await scene.fetch("POST", f"{host}/acs/callbacks", headers=wrong, json=[])
    for token in (GUESS, CONSOLE):
        bearer = {"Authorization": f"Bearer {token}"}
        for path in ("calls", "events", "engine"):
            await scene.fetch("GET", f"{console}/api/{path}", headers=bearer)
    for url in (graph, host):
        for path in ("healthz", "readyz", "metrics"):
            await scene.fetch(
                "GET", f"{url}/{path}", headers={"Authorization": f"Bearer {METRICS}"}
            )
    sockets = host.replace("https", "wss", 1)
    context = client_context(scene.host.settings.ca_file)
    for path, headers in (
        (f"/streams/twilio/{GUESS}", {"X-Twilio-Signature": GUESS}),
        (f"/streams/twilio/{STREAM}", {"X-Twilio-Signature": GUESS}),
        ("/streams/acs", wrong),
        ("/media", wrong),
    ):
        with contextlib.suppress(ConnectionClosed, InvalidStatus):
            async with connect(
                sockets + path, ssl=context, additional_headers=headers, proxy=None
            ) as socket:
                await socket.send(json.dumps({"type": "hello", "proof": GUESS}))
                await socket.recv()


@pytest.mark.parametrize("form", ["json", pytest.param("text", marks=pytest.mark.slow)])
async def test_no_canary_is_in_what_a_process_says(
    tmp_path: Path, form: Literal["json", "text"]
) -> None:
    async with running(tmp_path, form) as scene:
        await a_call_that_its_bot_fails(scene)
        await calls_of_people(scene)
        await refusals(scene)
        for journal in (scene.host.journal, scene.service.journal):
            entries, _ = journal.since(0)
            assert entries
            scene.seen[f"journal of the {journal.side}"] = "\n".join(e.json() for e in entries)
    scene.seen["logs"] = scene.said
    captures = [path for path in (tmp_path / "recordings").rglob("*") if path.is_file()]
    assert captures
    scene.seen |= {path.name: path.read_bytes().decode("latin-1") for path in captures}
    for name, secret in scene.secrets.items():
        for where, text in scene.seen.items():
            assert secret not in text, f"the {name} is in {where}"
    assert len(scene.secrets) > 20
    # What is found in none of it would be found: the lines are there, of libraries as well.
    for part in (
        "the bot failed: BotStoppedError",
        "a notification was refused",
        "stream refused",
        "websockets",
    ):
        assert part in scene.said
    assert "Canary Pat" not in scene.said


@pytest.mark.slow
async def test_the_search_would_find_a_canary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mixminus.control.operation.redaction.LogRedactor.text", lambda self, text: text
    )
    async with running(tmp_path, "text") as scene:
        await a_call_that_its_bot_fails(scene)
    found = {name for name, secret in scene.secrets.items() if secret in scene.said}
    assert {"client secret", "ice pwd", "sdp session", "blob"} <= {
        name.partition(" of")[0] for name in found
    }


async def test_every_line_of_a_call_has_its_id(tmp_path: Path) -> None:
    async with running(tmp_path, "json") as scene:
        for name in LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)
        begun = len(scene.lines())
        first = await a_call_that_its_bot_fails(scene)
        between = len(scene.lines())
        second = await a_call_that_its_bot_fails(scene)
        lines = scene.lines()
    for call_id, told in ((first, lines[begun:between]), (second, lines[between:])):
        own = [line for line in told if line.get("callId") == call_id]
        about_none = [line for line in told if "callId" not in line]
        messages = " | ".join(line["message"] for line in own)
        for part in (
            "created",
            "establishing",
            "established",
            "the media link stands",
            "a bot's own line",
            "a line of a bot's thread",
            "a line while frames come",
            "the bot failed",
            "the media link ended",
            "terminated",
            "over after",
        ):
            assert part in messages, part
        # Without one are only requests that make a call, or are about none.
        assert {line["logger"] for line in about_none} <= {"mixminus.control.http"}
        assert not [line for line in about_none if "{call_id}" in line["message"]]
        events = [line["event"] for line in own if "event" in line]
        assert events.count("call.established") == 2, "the host's and the service's"
    assert first != second
    late = {line["logger"] for line in lines[between:] if line.get("callId") == first}
    assert late <= {"mixminus.control.records", "mixminus.control.notifier"}  # After its end.
