"""``mixminus doctor`` as it is run: on a machine where nothing runs, and beside a call service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.devfile import DevFile, DevFileError
from tests.config_kit import SECRET

pytestmark = pytest.mark.slow

MIXMINUS = (sys.executable, "-m", "mixminus.control")
START_S = 60.0


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MIXMINUS_")}


def doctor(directory: Path, *arguments: str) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """Run it; return its findings by what was looked at, and all that it said."""
    done = subprocess.run(
        [*MIXMINUS, "doctor", "--json", *arguments],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["check"], []).append(one)
    assert done.returncode == bool(errors(found) or found["timer jitter"][0]["level"] == "error")
    return found, done.stdout


def errors(found: dict[str, list[dict[str, Any]]]) -> set[str]:
    """Return where there are errors; how late ticks were on a machine full of tests is none."""
    wrong = {check for check, some in found.items() for one in some if one["level"] == "error"}
    return wrong - {"timer jitter"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a call service; return its state directory."""
    state = tmp_path_factory.mktemp("doctor") / "state"
    process = subprocess.Popen(
        [*MIXMINUS, "service", "--state", str(state), "--quiet"], env=environment()
    )
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                DevFile.load(state)
                break
            except DevFileError:
                assert process.poll() is None, "the service ended"
                assert time.monotonic() < deadline, "the service does not start"
                time.sleep(0.05)
        yield state
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_machine_where_nothing_runs_is_no_fault(tmp_path: Path) -> None:
    found, _ = doctor(tmp_path)
    assert errors(found) == set()
    (jitter,) = found["timer jitter"]
    assert sum(one["ticks"] for one in jitter["details"]["histogram"]) > 50
    for check in ("processor", "monotonic clock", "libopus", "libsrtp", "call service", "settings"):
        assert [one["level"] for one in found[check]] == ["ok"], found[check]
    for check in ("real-time permission", "file descriptors", "environment", "Graph", "wall clock"):
        assert all(one["level"] != "error" for one in found[check]), found[check]
    assert {"ports", "certificates", "storage", "bot host"} <= found.keys()
    # It makes nothing.
    assert list(tmp_path.iterdir()) == []


def test_what_runs_is_seen_with_a_token_of_its_authority(service: Path) -> None:
    found, said = doctor(service.parent, "--state", str(service))
    assert errors(found) == set()
    assert found["call service"][0]["found"].startswith("runs at https://localhost:")
    assert "Calls.AccessMedia.All" in found["access token"][0]["details"]["roles"]
    assert DevFile.load(service).client_secret not in said


@pytest.mark.parametrize("secret", ["right", "wrong"])
def test_credentials_of_the_settings_are_tried_at_their_graph(
    service: Path, tmp_path: Path, secret: str
) -> None:
    dev = DevFile.load(service)
    port = dev.graph_base_url.rpartition(":")[2]
    (tmp_path / "secret").write_text(dev.client_secret if secret == "right" else SECRET)
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "mixminus.toml").write_text(
        f"""
        [host]
        tenant_id = "{dev.tenant_id}"
        app_id = "{dev.app_id}"
        client_secret_file = "secret"
        authority = "{dev.authority}"
        graph_base_url = "{dev.graph_base_url}"
        open_id_config_url = "{dev.open_id_config_url}"
        ca_file = "{dev.ca_file}"
        state_dir = "{service}"

        [service]
        state_dir = "{service}"
        port = {port}
        """
    )
    found, said = doctor(tmp_path)
    assert SECRET not in said
    assert dev.client_secret not in said
    # The port of the settings is in use, by what belongs there.
    (ours,) = (one for one in found["ports"] if one["details"]["setting"] == "service.port")
    assert (ours["level"], ours["details"]["port"]) == ("ok", int(port))
    assert found["wall clock"][0]["level"] == "ok"
    assert found["wall clock"][0]["details"]["server"] == f"localhost:{port}"
    assert found["notification keys"][0]["level"] == "ok"
    tokens = [one["level"] for one in found["access token"]]
    if secret == "right":
        assert (errors(found), tokens) == (set(), ["ok", "ok"])
        assert "takes our token for calls" in found["Graph"][0]["found"]
    else:
        assert (errors(found), sorted(tokens)) == ({"access token"}, ["error", "ok"])
