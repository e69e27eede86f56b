"""How a process that serves starts: nothing that does not run, and no walks over what stays."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixminus.control.cli.collector import held, release

HOST_ALONE = """
import asyncio, sys
from contextlib import AsyncExitStack
from pathlib import Path

from mixminus.control.cli.together import Plan, start
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.host import Bot
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.settings import HostSettings
from mixminus.control.config.sources import SettingsSources

async def main():
    plan = Plan(SettingsSources.read(None), OperationSettings(), ConsoleSettings(enabled=False))
    plan.bot = Bot()
    plan.host = HostSettings(
        tenant_id="t", app_id="a", client_secret="s", state_dir=Path(sys.argv[1]), port=0
    )
    async with AsyncExitStack() as stack:
        running = await start(stack, plan)
        print(list(running.operation.phases.described()))
    for name in ("aiortc", "mixminus.control.service.service", "mixminus.control.console.console"):
        print(name in sys.modules)

asyncio.run(main())
"""


def test_a_host_alone_imports_no_service_and_says_where_its_start_s_time_went(
    tmp_path: Path,
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", HOST_ALONE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.splitlines() == [
        "['process', 'store', 'server', 'calls']",
        *("False" for _ in range(3)),
    ], told.stderr


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_the_collector_rests_until_the_start_is_over_and_leaves_alone_what_it_made() -> None:
    frozen = gc.get_freeze_count()
    with held():
        assert not gc.isenabled()
        release()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    assert gc.isenabled()


@pytest.mark.usefixtures("collector")
def test_the_collector_works_again_after_a_start_that_failed() -> None:
    with pytest.raises(OSError, match="in use"), held():
        raise OSError("the port is in use")
    assert gc.isenabled()


@pytest.mark.usefixtures("collector")
def test_without_a_start_before_it_nothing_is_frozen() -> None:
    frozen = gc.get_freeze_count()
    release()
    assert gc.get_freeze_count() == frozen
