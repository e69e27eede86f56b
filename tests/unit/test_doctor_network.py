"""The doctor's questions to far ends: what is said of each answer, and of none."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.doctor.acs import ask_acs, check_acs
from mixminus.control.doctor.findings import Finding, Level, worst
from mixminus.control.doctor.graph import (
    KEYS,
    Credentials,
    check_graph,
    check_keys,
    check_token,
    roles_of,
)
from mixminus.control.doctor.local import check_health, check_local
from mixminus.control.doctor.network import Answer, ask, in_own_thread, why_unreachable
from mixminus.control.doctor.outside import check_outside, check_wall_clock, questions
from mixminus.control.doctor.situation import Situation, check_settings
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from tests.acs_kit import ACCESS_KEY, RESOURCE_ID, running_acs
from tests.config_kit import SECRET, Write, clean, credentials, write

__all__ = ["clean", "credentials", "write"]

AUTHORITY = "https://login.microsoftonline.com/t"
GRAPH = "https://graph.microsoft.com"
ALL_ROLES = ["Calls.AccessMedia.All", "Calls.Initiate.All"]


def token(**claims: Any) -> str:
    """Return a token of no worth: nobody checks it here."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, claims)
    ]
    return ".".join((*parts, "signature"))


# ---- Graph ---------------------------------------------------------------------------------------


def test_a_token_with_the_permissions_of_calls_is_fine() -> None:
    found = check_token(Credentials(token(roles=ALL_ROLES)), AUTHORITY)
    assert found.level is Level.OK
    assert found.details["roles"] == ALL_ROLES
    assert "signature" not in str(found)


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ([], "Grant Calls.AccessMedia.All and one of Calls.Initiate.All"),
        (["Calls.AccessMedia.All"], "Grant one of Calls.Initiate.All"),
        (["Calls.Initiate.All"], "Grant Calls.AccessMedia.All in the Entra admin center"),
    ],
)
def test_missing_permissions_are_named(roles: list[str], says: str) -> None:
    found = check_token(Credentials(token(roles=roles)), AUTHORITY)
    assert found.level is Level.WARNING
    assert says in found.remedy


@pytest.mark.parametrize(
    ("code", "problem", "says"),
    [
        ("unreachable", "no access token: unreachable: SSLError", "port 443"),
        ("invalid_client", "AADSTS7000215: Invalid client secret provided.", "take its Value"),
        ("invalid_client", "AADSTS7000222: The provided client secret keys are expired.", "new"),
        ("unauthorized_client", "AADSTS700016: Application not found", "no such application"),
        ("invalid_tenant", "AADSTS90002: Tenant not found.", "no such tenant"),
        ("invalid_client", "no access token: invalid_client: wrong secret", "client_secret"),
    ],
)
def test_why_there_is_no_token_has_its_remedy(code: str, problem: str, says: str) -> None:
    found = check_token(Credentials(code=code, problem=problem), AUTHORITY)
    assert found.level is Level.ERROR
    assert says in found.remedy


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.bm90IGpzb24.c", "a.W10.c"])
def test_what_is_no_token_has_no_roles(text: str) -> None:
    assert roles_of(text) == []


@pytest.mark.parametrize(
    ("status", "has_token", "is_configured", "level", "says"),
    [
        (0, False, False, Level.WARNING, "cannot be reached: offline"),
        (0, True, True, Level.ERROR, "cannot be reached: offline"),
        (401, False, False, Level.OK, "no credentials are set"),
        (404, True, True, Level.OK, "takes our token for calls"),
        (403, True, True, Level.ERROR, "answered 403"),
        (401, True, True, Level.ERROR, "answered 401"),
        (503, True, True, Level.WARNING, "answered 503"),
    ],
)
def test_what_graph_answers_is_judged(
    status: int, has_token: bool, is_configured: bool, level: Level, says: str
) -> None:
    answer = Answer(GRAPH, status, "offline" if status == 0 else "")
    found = check_graph(answer, GRAPH, has_token=has_token, is_configured=is_configured)
    assert found.level is level
    assert says in found.found


def test_keys_are_counted_and_their_lack_is_an_error() -> None:
    assert check_keys(KEYS, Answer("https://k", 200), 3, "[host] x").found == "3 from https://k"
    empty = check_keys(KEYS, Answer("https://k", 200), 0, "[host] open_id_config_url")
    assert empty.level is Level.ERROR
    assert "Look at [host] open_id_config_url" in empty.remedy
    assert check_keys(KEYS, Answer("https://k", 0, "offline"), 0, "x").level is Level.ERROR


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"{}", "runs at https://localhost"),
        (503, b'{"reasons": ["draining"]}', 'answered 503: {"reasons": ["draining"]}'),
        (500, b"<html>", "answered 500: no JSON"),
    ],
)
def test_the_health_of_what_runs_is_told(status: int, body: bytes, says: str) -> None:
    found = check_health("call service", "https://localhost", Answer("", status, body=body))
    assert says in found.found
    assert (found.level is Level.OK) is (status == 200)


# ---- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved: offline"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "nothing listens there"),
        (httpx2.ConnectTimeout("slow"), "no answer in time"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
        (httpx2.RemoteProtocolError("gone"), "RemoteProtocolError: gone"),
    ],
)
def test_why_nobody_answered_is_said_in_words(error: Exception, says: str) -> None:
    assert says in why_unreachable(error)
    outer = httpx2.ConnectError("wrapped")
    outer.__cause__ = error
    if isinstance(error, socket.gaierror | ConnectionRefusedError):
        assert says in why_unreachable(outer)


def test_nothing_that_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = ask(f"https://127.0.0.1:{port}/", None)
    assert (answer.came, answer.problem) == (False, "nothing listens there")
    assert not ask("https://[", None).came


async def test_a_thread_that_hangs_holds_up_nobody() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await in_own_thread(release.wait, 0.01)
    release.set()
    with pytest.raises(ZeroDivisionError):
        await in_own_thread(lambda: 1 / 0, 5.0)
    assert await in_own_thread(lambda: 7, 5.0) == 7


# ---- ACS -----------------------------------------------------------------------------------------


def host(**values: Any) -> HostSettings:
    return HostSettings.of_values(
        {"tenant_id": "t", "app_id": "a", "client_secret": SECRET, **values}
    )


async def test_the_key_of_a_resource_is_tried(tmp_path: Path) -> None:
    async with running_acs(tmp_path) as site:
        for key, level in ((ACCESS_KEY, Level.OK), ("d3Jvbmc=", Level.ERROR)):
            settings = host(
                acs_connection_string=f"endpoint={site.endpoint}/;accesskey={key}",
                acs_resource_id=RESOURCE_ID,
                acs_ca_file=site.ca_file,
            )
            answer = await asyncio.to_thread(ask_acs, settings)
            found = check_acs(answer)
            assert found.level is level, found
            assert key not in str(found)
        # Its certificate is of an authority that the machine does not know.
        unknown = await asyncio.to_thread(ask, site.endpoint, None)
        assert "its certificate is not trusted" in unknown.problem
        compared = check_wall_clock([unknown, answer])
        assert compared.level is Level.OK
        assert compared.details["server"] == site.endpoint.removeprefix("https://")


def test_a_resource_that_is_not_there_is_said() -> None:
    assert check_acs(Answer("https://r.example/x", 0, "offline")).level is Level.ERROR
    assert check_acs(Answer("https://r.example/x", 503)).level is Level.WARNING
    with pytest.raises(ValueError, match="acs_connection_string"):
        ask_acs(host())


# ---- all together --------------------------------------------------------------------------------


def situation(tmp_path: Path, **more: Any) -> Situation:
    values: dict[str, Any] = {
        "path": None,
        "problems": [],
        "host": host(state_dir=tmp_path),
        "service": ServiceSettings.of_values({"state_dir": tmp_path}),
        "console": ConsoleSettings.of_values({}),
        "operation": OperationSettings.of_values({}),
        "missing": frozenset(),
    }
    return Situation(**{**values, **more})


def test_only_what_is_set_is_asked_for(tmp_path: Path) -> None:
    def asked(one: Situation) -> list[str]:
        return [question.check for question in questions(one, [])]

    nothing = situation(tmp_path, missing=frozenset(("app_id",)))
    assert asked(nothing) == ["Graph"]
    assert [one.when_silent for one in questions(nothing, [])] == [Level.WARNING]
    full = situation(
        tmp_path,
        host=host(
            acs_connection_string=f"endpoint=https://r/;accesskey={ACCESS_KEY}",
            acs_resource_id="r",
        ),
        console=ConsoleSettings.of_values(
            {
                "oidc_authority": "https://login.microsoftonline.com/t/v2.0",
                "oidc_client_id": "c",
                "oidc_allowed": ("john@contoso.com",),
            }
        ),
    )
    assert asked(full) == ["Graph", KEYS, "ACS", "ACS keys", "sign-in of the console"]
    assert {one.when_silent for one in questions(full, [])} == {Level.ERROR}


@contextmanager
def silent_server() -> Iterator[int]:
    """Listen, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_far_end_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with silent_server() as port:
        one = situation(
            tmp_path,
            host=host(graph_base_url=f"https://127.0.0.1:{port}"),
            missing=frozenset(("client_secret",)),
        )
        (found,) = await check_outside(one, [], seconds=0.05)
    assert found.level is Level.WARNING
    assert "no answer in 0.05 s" in found.found


async def test_nothing_that_runs_is_no_fault(tmp_path: Path) -> None:
    found = await check_local(situation(tmp_path), [])
    assert worst(found) is Level.OK
    assert [one.check for one in found] == ["call service", "bot host"]
    (tmp_path / "dev.json").write_text("{}")
    (tmp_path / "host.json").write_text(f'{{"url": "{SECRET}"}}')
    found = await check_local(situation(tmp_path), [])
    assert [one.level for one in found] == [Level.ERROR, Level.ERROR]
    assert SECRET not in str(found)


def checked(one: Situation) -> list[Finding]:
    found = list(check_settings(one))
    assert SECRET not in str(found)
    return found


@pytest.mark.usefixtures("credentials")
def test_settings_that_are_good_are_told(write: Write) -> None:
    write("[service]\nport = 1\n")
    one = Situation.read(None, Path("other"))
    assert one.is_configured
    assert (one.service.port, one.service.state_dir) == (1, Path("other"))
    (found,) = checked(one)
    assert found.found == "mixminus.toml and 3 variables MIXMINUS_... are good"


@pytest.mark.usefixtures("clean")
def test_all_that_is_wrong_with_settings_is_told_and_the_rest_goes_on(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[host]\nport = 7\nprot = 1\n[service]\nport = 'x'\n[operation]\ndrain_s = -1\n[x]\n")
    one = Situation.read(None, None)
    assert [found.level for found in checked(one)] == [Level.ERROR] * 4
    assert (one.host.port, one.service.port) == (7, 0)
    assert not one.is_configured
    monkeypatch.setenv("MIXMINUS_PROT", SECRET)
    monkeypatch.setenv("MIXMINUS_CONSOLE_TOKEN_FILE", "/none")
    found = checked(Situation.read(None, None))
    assert {one.details["where"] for one in found} >= {"MIXMINUS_PROT"}
    (found_one,) = checked(Situation.read(Path("none.toml"), None))[:1]
    assert "expected a settings file" in found_one.found


@pytest.mark.usefixtures("clean")
def test_a_secret_that_all_may_read_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(SECRET)
    Path("secret").chmod(0o644)
    monkeypatch.setenv("MIXMINUS_CLIENT_SECRET_FILE", "secret")
    found = checked(Situation.read(None, None))
    assert worst(found) is Level.WARNING
    assert "chmod 600 secret" in found[0].remedy


def test_a_secret_of_the_settings_is_in_no_finding(tmp_path: Path) -> None:
    one = situation(tmp_path, host=host(twilio_auth_token=SecretStr(SECRET)))
    assert SECRET not in repr(one)
