"""``mixminus serve`` and ``mixminus call`` as processes: two commands, no set-up."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import ROOT, eventually


class Command:
    """A running ``mixminus``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, *arguments: str) -> Command:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mixminus.control",
                *arguments,
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def result(self) -> tuple[int, str, str]:
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


async def run(*arguments: str) -> tuple[int, str, str]:
    return await (await Command.start(*arguments)).result()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Command]:
    command = await Command.start("serve", "--state", str(tmp_path))
    try:
        await eventually(
            lambda: (tmp_path / "host.json").exists() or command.process.returncode is not None,
            30.0,
        )
        yield command
    finally:
        if command.process.returncode is None:
            command.process.kill()
            await command.process.wait()


@pytest.mark.slow
async def test_a_call_is_made_shown_and_ended_from_the_command_line(
    serve: Command, tmp_path: Path
) -> None:
    state = ("--state", str(tmp_path))
    code, out, err = await run("call", "create", "--user", "John", "--json", *state)
    assert code == 0, err
    created = json.loads(out)
    assert created["user"]["displayName"] == "John"
    code, out, _ = await run("call", "get", created["callId"], *state)
    assert code == 0
    assert f"{created['callId']}  establishing  John" in out
    code, out, _ = await run("call", "hangup", created["callId"], *state)
    assert code == 0
    assert "200/7000" in out
    code, out, err = await run("call", "create", "--user", "Nobody", *state)
    assert (code, out) == (3, "")
    assert err.startswith("mixminus: no user 'Nobody'")
    secret = json.loads((tmp_path / "dev.json").read_text())["clientSecret"]
    serve.process.send_signal(signal.SIGTERM)
    code, out, err = await serve.result()
    assert code == 0, err
    assert "call service at https://localhost:" in out
    assert re.search(r"^phone page at https://localhost:\d+/phone$", out, re.MULTILINE)
    assert f"call {created['callId']}: terminated" in err
    assert secret not in out + err
    assert not (tmp_path / "host.json").exists()
    code, out, err = await run("call", "get", created["callId"], *state)
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
async def test_a_second_host_in_the_same_directory_is_one_line(
    serve: Command, tmp_path: Path
) -> None:
    code, out, err = await run("serve", "--state", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("mixminus: another call service works in")
    assert (tmp_path / "host.json").exists()


@pytest.mark.slow
async def test_a_call_whose_bot_raised_says_so(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        "from mixminus.control.host import Bot, HostedCall\n"
        "bot = Bot()\n\n\n"
        "@bot.on_call\n"
        "async def fail(call: HostedCall) -> None:\n"
        "    raise ValueError('a bug')\n"
    )
    state = ("--state", str(tmp_path))
    host = await Command.start("serve", "--bot", str(bot), *state)
    phone = None
    try:
        await eventually((tmp_path / "host.json").exists, 30.0)
        _, out, err = await run("call", "create", "--user", "John", "--json", *state)
        assert err == ""
        call_id = json.loads(out)["callId"]
        phone = await Command.start("join", "--user", "John", *state)
        # Its exit code is chance: the bot may fail before the phone's audio flows, or after.
        _, _, err = await phone.result()
        assert err == ""
        code, out, err = await run("call", "get", call_id, *state)
        assert (code, err) == (0, "")
        assert "  the bot failed: ValueError: a bug\n" in out
        host.process.send_signal(signal.SIGINT)
        code, _, err = await host.result()
        assert code == 0
        assert "aioice" not in err
    finally:
        for command in filter(None, (phone, host)):
            if command.process.returncode is None:
                command.process.kill()
                await command.process.wait()
