"""Plugins in a child process: it may hang, leak and crash, and calls go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from mixminus.media.plugins.attached import AttachedChain
from mixminus.media.plugins.chain import Chain, open_chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.errors import PluginConfigError, PluginError
from mixminus.media.plugins.worker import PluginWorker
from tests.plugin_engine_kit import (
    CRASHES,
    HANGS,
    LEAKS,
    RAISES,
    TELLS,
    WORKS_LONG,
    Double,
    FakeLeg,
    FakePlatform,
    Heard,
    give,
    plugin_file,
    result_of,
    tone_frame,
    until,
)

pytestmark = pytest.mark.alone


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[str]:
    with plugin_file(tmp_path) as path:
        yield f"{path}:Faulty"


class Bench:
    """Two streams with one isolated plugin, one of this process on each."""

    def __init__(self, reference: str, *, memory_mb: int = 64) -> None:
        self.platform = FakePlatform()
        self.worker = PluginWorker(self.platform)
        self.legs = [FakeLeg(), FakeLeg()]
        self.heard = [Heard(), Heard()]
        self.attached: list[AttachedChain] = []
        self._index = 0
        for leg, heard in zip(self.legs, self.heard, strict=True):
            chain = Chain(
                [
                    PluginSpec(reference, isolation="process", name="far", memory_mb=memory_mb),
                    PluginSpec(Double),
                ],
                on_event=heard,
                runtime=self.worker.runtime(),
            )
            self.attached.append(self.worker.attach(leg, "inbound", chain))
        for attached in self.attached:
            for name in ("far", "Double"):
                assert attached.chain.slot(name).opened.exception(timeout=20) is None

    def exchange(self, level: int, *, other: int = 1000) -> None:
        """Give each stream one frame and hear both come back, doubled by the second plugin."""
        self._index += 1
        frames = [tone_frame(0, level), tone_frame(0, other)]
        for leg, frame in zip(self.legs, frames, strict=True):
            frame.timestamp = self._index
            give(leg.port, frame)
        self.platform.tell_edge()
        for leg, frame in zip(self.legs, frames, strict=True):
            back = result_of(leg.port, "the frame came back")
            assert back.timestamp == self._index
            np.testing.assert_array_equal(back, frame * 2)

    def exchange_until(self, kind: str, level: int = 1000) -> None:
        def is_told() -> bool:
            self.exchange(level)
            return kind in self.heard[0].kinds("far")

        until(is_told, f"{kind} is told")

    @property
    def pids(self) -> list[int]:
        return [report.pid for report in self.worker.children.reports() if report.pid is not None]

    async def close(self) -> None:
        for attached in self.attached:
            attached.close()
        pids = self.pids
        await self.worker.close()
        self.platform.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not [t for t in threading.enumerate() if t.name.startswith("mixminus-plugin")]


@pytest_asyncio.fixture
async def bench(faulty: str) -> AsyncIterator[Bench]:
    bench = Bench(faulty)
    yield bench
    await bench.close()


async def test_one_child_serves_all_streams(bench: Bench) -> None:
    for _ in range(20):
        bench.exchange(TELLS, other=TELLS)
    until(lambda: all(len(heard.of("value")) > 5 for heard in bench.heard), "values are told")
    pids = {event.value for heard in bench.heard for event in heard.of("value")}
    assert pids == set(bench.pids)
    assert len(pids) == 1
    assert os.getpid() not in pids


async def test_what_hangs_is_passed_by_killed_and_started_again(bench: Bench) -> None:
    before = bench.pids
    bench.exchange(HANGS)
    # The very next frame already goes past it, and it is named.
    bench.exchange(1000)
    assert "late" in bench.heard[0].kinds("far")
    bench.exchange_until("restarted")
    assert bench.pids != before
    assert "hangs" in bench.heard[0].of("error")[0].detail
    assert "disabled" not in bench.heard[0].kinds("far")
    metrics = bench.attached[0].chain.metrics()
    assert metrics["far"].errors == 1
    assert metrics["far"].restarts == 1
    assert metrics["Double"].bypassed == 0
    assert bench.heard[1].of("error") == []


async def test_what_crashes_is_passed_by_and_started_again(bench: Bench) -> None:
    bench.exchange(CRASHES)
    bench.exchange_until("restarted")
    assert f"signal {signal.SIGSEGV.value}" in bench.heard[0].of("error")[0].detail
    frames = bench.attached[0].chain.metrics()["far"].frames
    for _ in range(20):
        bench.exchange(1000)
    assert bench.attached[0].chain.metrics()["far"].frames > frames + 5


async def test_what_leaks_is_killed_at_its_limit(bench: Bench) -> None:
    bench.exchange_until("restarted", level=LEAKS)
    assert "64 MB were allowed" in bench.heard[0].of("error")[0].detail


async def test_what_takes_too_long_is_disabled_for_its_stream_alone(bench: Bench) -> None:
    bench.exchange_until("disabled", level=WORKS_LONG)
    assert "overrun" in bench.heard[0].kinds("far")
    assert bench.attached[1].chain.metrics()["far"].is_active
    assert bench.attached[1].chain.metrics()["far"].overruns == 0


async def test_what_raises_is_disabled_and_named(bench: Bench) -> None:
    bench.exchange_until("disabled", level=RAISES)
    assert "KeyError: 'no such word'" in bench.heard[0].of("error")[0].detail
    assert bench.attached[1].chain.metrics()["far"].is_active


def test_it_makes_of_frames_what_it_would_make_here(faulty: str) -> None:
    spec = PluginSpec(faulty, config={"floor": 1050}, isolation="process")
    chain = open_chain([spec])
    for index in range(100):
        frame = tone_frame(index)
        np.testing.assert_array_equal(chain.process(frame), np.maximum(frame, 1050))
    chain.set("Faulty", floor=2000)
    until(lambda: int(chain.process(tone_frame())[0]) == 2000, "the parameter is set")
    chain.close()


def test_configuration_is_checked_in_a_child(faulty: str) -> None:
    PluginSpec(faulty, isolation="process").validate()
    with pytest.raises(PluginConfigError) as caught:
        PluginSpec(faulty, config={"floor": "high"}, isolation="process").validate()
    assert caught.value.field == "config.floor"
    with pytest.raises(PluginError, match="No module named 'no_such'"):
        PluginSpec("no_such:Plugin", isolation="process").validate()
    with pytest.raises(PluginConfigError, match="only listens") as refused:
        PluginSpec("transcript", isolation="process").validate()
    assert refused.value.field == "isolation"
    path = faulty.partition(":")[0]
    assert path not in [getattr(module, "__file__", "") for module in sys.modules.values()]


def test_what_cannot_be_opened_there_is_said_here(faulty: str, tmp_path: Path) -> None:
    spec = PluginSpec(faulty, config={"tag": "unopenable"}, isolation="process")
    with pytest.raises(PluginError, match="OSError: no such model"):
        open_chain([spec])
    dies = tmp_path / "dies.py"
    dies.write_text("import os\nos._exit(3)\n")
    with pytest.raises(PluginError, match="its process ended with 3"):
        open_chain([PluginSpec(str(dies), isolation="process")])


@pytest.mark.slow
def test_a_child_does_not_outlive_its_host(faulty: str) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from mixminus.media.plugins.chain import open_chain
        from mixminus.media.plugins.config import PluginSpec
        chain = open_chain([PluginSpec({faulty!r}, isolation="process")])
        print(chain._own_children.reports()[0].pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    host = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert host.returncode == -signal.SIGKILL, host.stderr.decode()
    child = int(host.stdout)
    until(lambda: not psutil.pid_exists(child), "the child is gone")


def test_a_child_that_talks_nonsense_is_killed_and_started_again(tmp_path: Path) -> None:
    path = tmp_path / "talks.py"
    path.write_text(
        "import json, os, sys\n"
        "class Talks:\n"
        "    def process(self, frame):\n"
        "        if frame[0] == 1:\n"
        "            control = json.loads(sys.argv[1])['control']\n"
        "            os.write(control, b'[1]')\n"
    )
    heard = Heard()
    chain = open_chain([PluginSpec(str(path), isolation="process")], on_event=heard)
    chain.process(tone_frame(level=1))

    def is_back() -> bool:
        chain.process(tone_frame())
        return "restarted" in heard.kinds("talks")

    until(is_back, "another child is there")
    assert "nobody understands" in heard.of("error")[0].detail
    chain.close()
