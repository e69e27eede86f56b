"""The console's door and routes over real sockets: who gets in, what is shown, what is done."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mixminus.control.console.console import Console
from mixminus.control.console.consolefile import CONSOLE_FILE_NAME, ConsoleFile
from mixminus.control.console.models import BotView
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.console.sign_in import TRIES
from mixminus.control.journal import Journal
from mixminus.control.serving import PortInUseError
from tests.console_kit import BEARER, TOKEN, FakeSource, Served, recording, role, row, served

NOBODYS = "<script>alert('x')</script>"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(tmp_path_factory.mktemp("console")) as console:
        yield console


@pytest.fixture
def console(running: Served) -> Served:
    return running.afresh(FakeSource(calls=[row(title=NOBODYS)]))


def error_of(response: httpx2.Response) -> tuple[int, str]:
    body = response.json()
    assert set(body) == {"error"}
    assert TOKEN not in response.text
    return response.status_code, body["error"]["code"]


# ---- the page --------------------------------------------------------------------------------


async def test_the_page_and_its_files_are_strict_and_for_everyone(console: Served) -> None:
    page = await console.http.get("/console")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in page.headers

    for name, kind in [
        ("main.js", "text/javascript; charset=utf-8"),
        ("webphone/telephone.js", "text/javascript; charset=utf-8"),
    ]:
        file = await console.http.get(f"/console/static/{name}")
        assert (file.status_code, file.headers["content-type"]) == (200, kind)
        assert file.headers["content-security-policy"] == page.headers["content-security-policy"]


async def test_nothing_else_is_served(console: Served) -> None:
    for path in [
        "/console/static/no.js",
        "/console/static/../app.py",
        "/console/static/%2e%2e/app.py",
        "/console/static/..%2fapp.py",
        "/console/static//etc/passwd",
        "/console/app.py",
        "/consoles",
    ]:
        # As bytes: a client would tidy such paths up.
        answer = await console.http.get(httpx2.URL(console.origin, raw_path=path.encode()))
        assert answer.status_code == 404, path


# ---- who gets in -----------------------------------------------------------------------------


async def test_without_a_token_nothing_is_told(console: Served) -> None:
    for path in ("calls", "calls/call-1", "events", "engine", "users", "bots", "recordings", "no"):
        answer = await console.http.get(f"/console/api/{path}")
        assert error_of(answer) == (401, "unauthenticated")
        assert "Adele" not in answer.text
    for wrong in ("Bearer", "Basic abc", "Bearer wrong", f"Bearer {TOKEN}x", TOKEN):
        answer = await console.get("/console/api/calls", Authorization=wrong)
        assert error_of(answer) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_who_may_sign_in_is_told_how_and_no_more(console: Served) -> None:
    nobody = (await console.http.get("/console/api/session")).json()
    assert nobody == {
        "signedIn": False,
        "method": None,
        "name": None,
        "expiresAt": None,
        "methods": ["token"],
        "oidcUrl": None,
        "sides": None,
        "version": None,
        "epoch": None,
    }
    somebody = (await console.get("/console/api/session")).json()
    assert (somebody["signedIn"], somebody["method"]) == (True, "token")
    assert somebody["sides"] == ["service"]
    assert (await console.http.get("/console/api/oidc/start")).status_code == 404


async def test_guesses_are_limited(console: Served) -> None:
    for guess in range(TRIES):
        answer = await console.get("/console/api/calls", Authorization=f"Bearer guess-{guess}")
        assert error_of(answer) == (401, "unauthenticated")
    answer = await console.get("/console/api/calls", Authorization="Bearer one-more")
    assert error_of(answer) == (429, "tooManyTries")
    assert 0 < int(answer.headers["retry-after"]) <= 60


async def test_changes_from_elsewhere_are_refused(console: Served) -> None:
    for headers, refused in [
        ({"Origin": "https://evil.example"}, (403, "crossSite")),
        ({"Origin": "null"}, (403, "crossSite")),
        ({"Origin": "http://127.0.0.1:1"}, (403, "crossSite")),
        ({"Sec-Fetch-Site": "cross-site"}, (403, "crossSite")),
        ({"Sec-Fetch-Site": "same-site"}, (403, "crossSite")),
        ({"Content-Type": "text/plain"}, (415, "notJson")),
        ({"Content-Type": "application/x-www-form-urlencoded"}, (415, "notJson")),
        ({"Content-Type": ""}, (415, "notJson")),
        ({"Host": "evil.example"}, (403, "wrongHost")),
        ({"Host": "localhost:1"}, (403, "wrongHost")),
    ]:
        answer = await console.send("POST", "/console/api/calls/call-1/hangup", {}, **headers)
        assert error_of(answer) == refused, headers
        assert "access-control-allow-origin" not in answer.headers
    assert console.source.done == []


async def test_a_change_with_a_cookie_alone_must_name_its_page(console: Served) -> None:
    cookie = {"Content-Type": "application/json", "Cookie": "__Host-mixminus-console=x"}
    answer = await console.http.post("/console/api/calls/call-1/hangup", headers=cookie)
    assert error_of(answer) == (403, "crossSite")


async def test_reading_across_sites_is_refused_too(console: Served) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await console.get("/console/api/calls", **headers)
        assert error_of(answer) == (403, "crossSite")
    preflight = await console.http.options(
        "/console/api/calls", headers={"Origin": "https://evil.example"}
    )
    assert preflight.status_code == 403


# ---- the plain listener ----------------------------------------------------------------------


async def test_the_plain_listener_has_console_and_phone_page_alone(console: Served) -> None:
    for path in ("/phone", "/phone/phone.js"):
        assert (await console.http.get(path)).text == f"role {path}"
    first = await console.http.get("/")
    assert (first.status_code, first.headers["location"]) == (307, "/console")
    for method, path in [
        ("GET", "/v1.0/communications/calls"),
        ("POST", "/v1.0/communications/calls"),
        ("POST", "/phone"),
        ("GET", "/healthz"),
        ("GET", "/mixminus/v1/calls"),
        ("POST", "/t/oauth2/v2.0/token"),
        ("GET", "/phones"),
    ]:
        assert (await console.http.request(method, path)).status_code == 404
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        assert (await console.http.get("/phone", headers=headers)).status_code == 403
        assert (await console.http.get("/console", headers=headers)).status_code in (200, 403)
    assert (await console.http.get("/console", headers={"Host": "evil.example"})).status_code == 403


async def test_signalling_is_for_pages_of_this_server(console: Served) -> None:
    url = console.origin.replace("http", "ws", 1)
    async with connect(f"{url}/rtc", origin=console.origin, proxy=None) as socket:  # type: ignore[arg-type]
        assert await socket.recv() == "role /rtc"
    for path, origin in [
        ("/rtc", "https://evil.example"),
        ("/media", console.origin),
        ("/console/api/live", "https://evil.example"),
        ("/console/api/no", console.origin),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + path, origin=origin, proxy=None)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403


async def test_a_port_in_use_is_said(console: Served, tmp_path: Path) -> None:
    port = int(console.origin.rpartition(":")[2])
    with pytest.raises(PortInUseError, match=str(port)):
        async with served(tmp_path / "other", FakeSource(), http_port=port):
            pass
    assert not (tmp_path / "other" / CONSOLE_FILE_NAME).exists()


async def test_console_json_leads_to_it_and_goes_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        file = ConsoleFile.load(tmp_path)
        assert file.url == running.console.url
        assert running.console.sign_in_url == f"{file.url}#token={TOKEN}"
        assert stat.S_IMODE((tmp_path / CONSOLE_FILE_NAME).stat().st_mode) == 0o600
        assert TOKEN not in repr(file)
        answer = await running.http.get(
            f"{file.url}/api/calls", headers={"Authorization": f"Bearer {file.token}"}
        )
        assert answer.status_code == 200
    assert not (tmp_path / CONSOLE_FILE_NAME).exists()


async def test_a_token_is_made_where_none_is_set(tmp_path: Path) -> None:
    first, second = (Console(ConsoleSettings(), tmp_path).token for _ in range(2))
    assert first != second
    assert len(first) >= 43


async def test_a_console_without_a_role_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="call service or a bot host"):
        async with Console(ConsoleSettings(http_port=0), tmp_path):
            pass


async def test_the_second_role_leads_to_the_first_ones_console(console: Served) -> None:
    host = FakeSource("host", [row("h-1", call_ids=("call-1-graph",), sides=("host",), bot="echo")])
    app = console.console.join(host, Journal("host"), role, url=lambda: "https://localhost:9443")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://localhost:9443") as http:
        led = await http.get("/console")
        assert (led.status_code, led.headers["location"]) == (307, console.console.url)
        assert (
            await http.get("/console/api/calls", headers=BEARER)
        ).text == "role /console/api/calls"
        assert (await http.get("/healthz")).text == "role /healthz"

    rows = (await console.get("/console/api/calls")).json()["calls"]
    assert [(each["id"], each["sides"], each["bot"]) for each in rows] == [
        ("call-1", ["service", "host"], "echo")
    ]
    with pytest.raises(ValueError, match="host is in this console already"):
        console.console.join(host, Journal("host"), role, url=lambda: "https://localhost:9443")
    await console.console.leave("host")
    assert (await console.get("/console/api/session")).json()["sides"] == ["service"]


# ---- what is shown, what is done -------------------------------------------------------------


async def test_calls_and_one_of_them_are_shown(console: Served) -> None:
    (listed,) = (await console.get("/console/api/calls")).json()["calls"]
    assert listed["title"] == NOBODYS  # As JSON: what it means to a page is the page's matter.
    assert listed["startedAt"].endswith("Z")
    for known_as in ("call-1", "call-1-graph"):
        detail = await console.get(f"/console/api/calls/{known_as}")
        assert detail.headers["content-type"] == "application/json"
        assert detail.headers["x-content-type-options"] == "nosniff"
        assert detail.json()["row"] == listed
    assert error_of(await console.get("/console/api/calls/no")) == (404, "notFound")


async def test_the_journal_is_shown_in_parts(console: Served) -> None:
    for index in range(5):
        console.journal.record("state", "call-1-graph" if index % 2 else None, str(index))

    async def titles(path: str) -> list[str]:
        events = (await console.get(path)).json()["events"]
        return [event["title"] for event in events]

    assert await titles("/console/api/events") == ["0", "1", "2", "3", "4"]
    assert await titles("/console/api/events?limit=2") == ["3", "4"]
    assert await titles("/console/api/calls/call-1/events") == ["1", "3"]
    since = (await console.get("/console/api/events")).json()["events"][1]["seq"]
    later = (await console.get(f"/console/api/events?since={since}&limit=2")).json()
    assert [event["title"] for event in later["events"]] == ["3", "4"]
    assert later["missed"] == 1
    for wrong in ("since=-1", "since=x", "limit=0", "limit=1001", "since=\u0663", "limit="):
        answer = await console.get(f"/console/api/events?{wrong}")
        assert error_of(answer) == (400, "invalid")


async def test_what_is_asked_for_is_done(console: Served) -> None:
    wishes: list[tuple[str, str, Any, int, Any]] = [
        ("POST", "calls/call-1/hangup", None, 204, ("hang_up", "call-1")),
        ("POST", "calls/call-1-graph/hangup", {}, 204, ("hang_up", "call-1")),
        ("POST", "calls/call-1/participants/p/mute", {}, 204, ("mute", "call-1", "p")),
        ("DELETE", "calls/call-1/plugins/s:x", {}, 204, ("remove_plugin", "call-1", "s:x")),
    ]
    for method, path, body, status, done in wishes:
        answer = await console.send(method, f"/console/api/{path}", body)
        assert (answer.status_code, console.source.done.pop()) == (status, done)
    made = await console.send("POST", "/console/api/meetings", {"subject": "Standup"})
    assert (made.status_code, made.json()["subject"]) == (201, "Standup")
    session = await console.send("POST", "/console/api/users/u-1/session")
    assert session.json()["token"] == "token-of-adele"


REFUSED: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("POST", "calls/no/hangup", {}, (404, "notFound")),
    ("POST", "calls/call-1/tones", {"tones": "1"}, (409, "notPossible")),
    ("POST", "calls/call-1/participants/p/kick", {}, (404, "notFound")),
    ("POST", "calls/call-1/participants/p/admit", {}, (409, "notPossible")),
    ("PATCH", "calls/call-1/plugins/h:x", {"bypassed": True}, (404, "notFound")),
    ("PATCH", "calls/call-1/plugins/s:x", {}, (400, "invalid")),
    ("PATCH", "calls/call-1/plugins/s:x", {"bypassed": "yes"}, (400, "invalid")),
    ("POST", "calls/call-1/plugins", {"name": "a", "stream": "mix"}, (409, "notPossible")),
    ("POST", "calls/call-1/plugins", {"name": "a", "stream": "up"}, (400, "invalid")),
    ("PUT", "calls/call-1/routes", {"listener": "a", "speaker": "b"}, (400, "invalid")),
    ("POST", "calls", {"user": "Adele"}, (409, "notPossible")),
    ("POST", "calls", {}, (400, "invalid")),
    ("POST", "calls", {"user": "A", "phone": "+1"}, (400, "invalid")),
    ("POST", "calls", {"user": "A", "secret": "canary"}, (400, "invalid")),
    ("POST", "calls", {"user": "x" * 70_000}, (413, "tooLarge")),
    ("POST", "calls", [], (400, "invalid")),
    ("POST", "meetings", {"subject": ""}, (400, "invalid")),
    ("POST", "calls/call-1/bots", {"bot": "nobody"}, (404, "notFound")),
    ("POST", "users/u-2/session", {}, (404, "notFound")),
    ("PUT", "calls", {}, (405, "methodNotAllowed")),
    ("POST", "nothing", {}, (404, "notFound")),
]


async def test_what_cannot_be_done_is_refused_by_name(console: Served) -> None:
    for method, path, body, refused in REFUSED:
        answer = await console.send(method, f"/console/api/{path}", body)
        assert error_of(answer) == refused, (method, path, body)
        assert "canary" not in answer.text
    assert console.source.done == []


async def test_a_body_that_is_no_json_is_refused(console: Served) -> None:
    headers = {**BEARER, "Content-Type": "application/json"}
    answer = await console.http.post("/console/api/calls", content=b"{", headers=headers)
    assert error_of(answer) == (400, "invalid")


async def test_a_bot_that_cannot_be_rung_joins_by_itself(console: Served) -> None:
    console.source.known_bots = (BotView(name="calling", app_id="app"),)
    console.source.join = {"joinUrl": "https://localhost/join"}
    host = FakeSource("host", [], known_bots=(BotView(name="echo", app_id="app", can_join=True),))
    console.console.join(host, Journal("host"), role, url=lambda: "https://localhost:1")
    answer = await console.send("POST", "/console/api/calls/call-1/bots", {"bot": "echo"})
    assert (answer.status_code, answer.json()) == (201, {"id": "call-2"})
    (name, wish), *_ = host.done
    assert (name, wish.join_url) == ("create_call", "https://localhost/join")
    await console.console.leave("host")


async def test_a_bug_is_an_answer_that_tells_nothing_and_a_line_in_the_log(
    console: Served, caplog: pytest.LogCaptureFixture
) -> None:
    console.source.broken = RuntimeError("a secret of ours")
    answer = await console.get("/console/api/calls")
    assert error_of(answer) == (500, "internal")
    assert "secret of ours" not in answer.text
    assert "secret of ours" in caplog.text


# ---- recordings ------------------------------------------------------------------------------


async def test_a_recording_is_played_in_ranges_by_its_ticket(
    console: Served, tmp_path: Path
) -> None:
    path = tmp_path / "audio.wav"
    path.write_bytes(bytes(range(100)))
    console.source.recorded = (recording("mixed one.wav"),)
    console.source.files = {"mixed one.wav": path}
    (listed,) = (await console.get("/console/api/recordings")).json()["recordings"]
    url = listed["files"][0]["audioUrl"]

    whole = await console.http.get(url)
    assert (whole.status_code, whole.content) == (200, bytes(range(100)))
    assert whole.headers["accept-ranges"] == "bytes"
    part = await console.http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert (await console.http.get(url, headers={"Range": "bytes=200-"})).status_code == 416

    plain, _, ticket = url.partition("?")
    for wrong in (plain, f"{plain}?ticket=1.x", f"{plain}x?{ticket}", url + "0"):
        assert error_of(await console.http.get(wrong)) == (401, "unauthenticated")
    # What stands in for a header there does so nowhere else.
    peaks = plain.replace("/audio", "/peaks")
    assert (await console.http.get(f"{peaks}?{ticket}")).status_code == 401
    assert (await console.http.post(url, headers={"Origin": console.origin})).status_code == 415
    assert (await console.get(f"{peaks}?bins=3")).json() == {"bins": 3, "peaks": [[-1, 1]] * 3}
    assert error_of(await console.get(f"{peaks}?bins=0")) == (400, "invalid")


async def test_no_file_is_found_by_a_path(console: Served) -> None:
    for path in (
        "s:rec/..%2f..%2fetc%2fpasswd/audio",
        "s:rec/no.wav/audio",
        "x:rec/no.wav/audio",
    ):
        answer = await console.get(f"/console/api/recordings/{path}")
        assert answer.status_code == 404, path


async def test_a_recording_that_was_removed_meanwhile_is_said_to_be(
    console: Served, tmp_path: Path
) -> None:
    console.source.files = {"gone.wav": tmp_path / "gone.wav"}
    answer = await console.get("/console/api/recordings/s:rec/gone.wav/audio")
    assert error_of(answer) == (404, "notFound")
