"""``mixminus serve`` and ``service`` do what the settings file, the environment and options say."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MIXMINUS = (sys.executable, "-m", "mixminus.control")
BOT = "from mixminus.control.host import Bot\nbot = Bot('Told')\n"


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(server.getsockname()[1]) for server in servers]


def started(directory: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    """Run a command in *directory* until it has started; return what it said then."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MIXMINUS_")}
    process = subprocess.Popen(
        [*MIXMINUS, *arguments, "--json"],
        cwd=directory,
        env={**inherited, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    event: dict[str, Any] = json.loads(line)
    assert event["event"] == "started", said
    return event


def test_a_host_and_its_service_run_as_the_file_says(tmp_path: Path) -> None:
    host, service, other = free_ports(3)
    (tmp_path / "bot.py").write_text(BOT)
    (tmp_path / "mixminus.toml").write_text(
        f"""
        [host]
        port = {host}
        state_dir = "kept"
        tenant_id = "not-ours"
        [[host.plugins]]
        plugin = "gain"
        config = {{ gain_db = 6 }}
        [service]
        port = {service}
        """
    )
    event = started(tmp_path, "serve", "--bot", "bot.py")
    assert event["host"] == f"https://localhost:{host}"
    assert event["graph"] == f"https://localhost:{service}"
    # What is set for one of the two holds for both: they are one process.
    assert (event["state"], (tmp_path / "kept/dev.json").exists()) == ("kept", True)
    # The environment stands above the file, an option above both.
    event = started(
        tmp_path, "serve", "--bot", "bot.py", "--state", "other", MIXMINUS_PORT=str(other)
    )
    assert event["host"] == f"https://localhost:{other}"
    assert event["state"] == "other"


def test_a_service_runs_as_the_named_file_says(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    path = tmp_path / "there.toml"
    path.write_text(f'[service]\nport = {port}\nstate_dir = "{tmp_path}/state"\n')
    event = started(tmp_path, "service", MIXMINUS_CONFIG=str(path))
    assert event["graph"] == f"https://localhost:{port}"
    event = started(tmp_path, "service", "--config", str(path), "--port", "0")
    assert event["graph"] != f"https://localhost:{port}"
