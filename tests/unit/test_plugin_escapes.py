"""Plugins that end themselves, start things, or never stop talking: the others go on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from mixminus.media.pcm import AudioFrame
from mixminus.media.plugins.chain import Chain, open_chain
from mixminus.media.plugins.config import MAX_CHILD_CONFIG_BYTES, PluginSpec
from mixminus.media.plugins.errors import PluginConfigError, PluginError
from mixminus.media.plugins.isolated.slot import MAX_VALUES, VALUES_A_FRAME
from mixminus.media.plugins.worker import PluginWorker
from tests.plugin_engine_kit import (
    Double,
    FakeLeg,
    FakePlatform,
    Heard,
    give,
    result_of,
    tone_frame,
    until,
)
from tests.support import eventually

pytestmark = pytest.mark.alone


class Exits:
    def process(self, frame: AudioFrame) -> None:
        sys.exit(3)


class IsCancelled:
    def process(self, frame: AudioFrame) -> None:
        raise asyncio.CancelledError


class ExitsAtOnce:
    def __init__(self) -> None:
        sys.exit(3)

    def process(self, frame: AudioFrame) -> None: ...


class ExitsWhenOpened(Double):
    def open(self, context: Any) -> None:
        sys.exit(3)


class TapExits:
    listens = True

    def process(self, frame: AudioFrame) -> None:
        sys.exit(3)


class TapIsCancelled:
    async def process(self, frame: AudioFrame) -> None:
        raise asyncio.CancelledError


class Bench:
    """A worker of two streams, one with a plugin that goes too far."""

    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.worker = PluginWorker(self.platform)
        self.heard = Heard()

    def attach(self, *plugins: type) -> tuple[FakeLeg, Chain]:
        leg = FakeLeg()
        chain = Chain(
            [PluginSpec(plugin) for plugin in plugins],
            runtime=self.worker.runtime(),
            on_event=self.heard,
        )
        self.worker.attach(leg, "inbound", chain)
        return leg, chain


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.worker.close()
    bench.platform.close()


@pytest.mark.parametrize("bad", [Exits, IsCancelled])
async def test_a_plugin_that_wants_out_takes_nobody_along(bench: Bench, bad: type) -> None:
    legs = [bench.attach(bad, Double), bench.attach(Double)]
    for _, chain in legs:
        for name in chain.names:
            chain.slot(name).opened.result(5)
    for number in range(4):
        for leg, _ in legs:
            give(leg.port, tone_frame(number))
        bench.platform.tell_edge()
        for leg, _ in legs:
            back = result_of(leg.port, "the frame came back")
            np.testing.assert_array_equal(back, tone_frame(number) * 2)
    assert "disabled" in bench.heard.kinds(bad.__name__)


async def test_one_that_wants_out_when_it_is_opened_is_not_used(bench: Bench) -> None:
    _, chain = bench.attach(ExitsWhenOpened)
    assert isinstance(chain.slot("ExitsWhenOpened").opened.exception(5), SystemExit)


def test_one_that_wants_out_when_it_is_made_is_an_error() -> None:
    with pytest.raises(PluginError, match="ExitsAtOnce"):
        PluginSpec(ExitsAtOnce).validate()


@pytest.mark.parametrize("bad", [TapExits, TapIsCancelled])
async def test_a_tap_that_wants_out_is_told(bench: Bench, bad: type) -> None:
    leg, chain = bench.attach(bad)
    slot = chain.slot(bad.__name__)
    slot.opened.result(5)
    for number in range(4):
        leg.taps[-1].ring.write(tone_frame(number), number)
    for callback in bench.platform.callbacks:
        callback()
    await eventually(lambda: "disabled" in bench.heard.kinds(bad.__name__))
    chain.close()
    await asyncio.wait_for(asyncio.wrap_future(slot.closed), 5)


# ---- in a child ----------------------------------------------------------------------------------

CHILD = """
import os, subprocess, sys, threading
class Far:
    def __init__(self, text: str = ""):
        pass
    def open(self, context):
        self.context = context
    def process(self, frame):
        if frame[0] == 1:
            for number in range(5000):
                self.context.emit("number", number)
        if frame[0] == 2:
            self.context.emit("pid", subprocess.Popen(["sleep", "300"]).pid)
            threading.Event().wait()
        if frame[0] == 3:
            self.context.emit("pid", subprocess.Popen(["sleep", "300"]).pid)
        if frame[0] == 4:
            sys.exit(3)
        if frame[0] == 5:
            os._exit(3)
"""


@pytest.fixture
def far(tmp_path: Path) -> str:
    path = tmp_path / "far.py"
    path.write_text(CHILD)
    return f"{path}:Far"


def test_a_child_that_tells_too_much_is_cut_short(far: str) -> None:
    heard = Heard()
    chain = open_chain([PluginSpec(far, isolation="process")], on_event=heard)
    chain.process(tone_frame(level=1))
    until(lambda: bool(heard.of("error")), "it is told")
    assert "values a frame" in heard.of("error")[0].detail
    assert [event.value for event in heard.of("value")] == list(range(MAX_VALUES))
    # With frames comes room: it is not silenced for good, nor disabled.
    for number in range(10):
        chain.process(tone_frame(number))
    chain.process(tone_frame(level=1))
    until(lambda: len(heard.of("value")) >= MAX_VALUES + 10 * VALUES_A_FRAME, "more is heard")
    assert not heard.of("disabled")
    chain.close()


def test_what_one_stream_said_is_never_heard_in_the_next(tmp_path: Path) -> None:
    """A child's place is used again: its memory holds the last answer to whoever had it before."""
    path = tmp_path / "doubles.py"
    path.write_text("import numpy as np\ndef double(frame):\n    return frame * np.int16(2)\n")
    first = open_chain([PluginSpec(str(path), isolation="process")])
    assert first.process(tone_frame(level=5000))[0] == 10_000
    (slot,) = first.begin_close()
    slot.result(5)
    for _ in range(3):
        following = in_the_place_of(first, str(path))
        assert following.process(tone_frame(level=7))[0] == 14
        (closed,) = following.begin_close()
        closed.result(5)
    first.close()


def test_a_crash_is_no_answer(tmp_path: Path) -> None:
    """The frame before, or another stream's, still stands where the answer would."""
    path = tmp_path / "crashes.py"
    path.write_text(
        "import os\nimport numpy as np\n"
        "def double(frame):\n"
        "    return frame * np.int16(2) if frame[0] != 1 else os._exit(3)\n"
    )
    chain = open_chain([PluginSpec(str(path), isolation="process")])
    assert chain.process(tone_frame(level=5000))[0] == 10_000
    np.testing.assert_array_equal(chain.process(tone_frame(level=1)), tone_frame(level=1))
    chain.close()


def test_of_two_streams_the_one_that_crashed_their_child_is_to_blame(far: str) -> None:
    heard = Heard(), Heard()
    first = open_chain([PluginSpec(far, isolation="process")], on_event=heard[0])
    second = in_the_place_of(first, far, on_event=heard[1])
    assert first.process(tone_frame()) is not None
    second.process(tone_frame(level=5))
    until(lambda: bool(heard[1].of("error")), "its own stream is told")
    assert not heard[0].of("error")
    second.close()
    first.close()


def in_the_place_of(before: Chain, reference: str, **options: Any) -> Chain:
    """Return a chain in the child of *before*: in its place, if that has been left."""
    chain = Chain(**options)
    chain._get_children = before._get_children  # type: ignore[method-assign]
    chain.add(PluginSpec(reference, isolation="process")).opened.result(10)
    return chain


@pytest.mark.parametrize("level", [2, 3])
def test_what_a_plugin_started_ends_with_its_child(far: str, level: int) -> None:
    """Whether the child hangs and is killed, or is let go of."""
    heard = Heard()
    chain = open_chain([PluginSpec(far, isolation="process")], on_event=heard)
    chain.process(tone_frame(level=level))
    until(lambda: bool(heard.of("value")), "it is told")
    pid = heard.of("value")[0].value
    assert psutil.pid_exists(pid)
    if level == 2:
        until(lambda: bool(heard.of("error")), "the child is killed")
    else:
        chain.close()

    def is_gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(is_gone, "it is gone, but for who reaps it")
    chain.close()


def test_a_child_whose_plugin_wants_out_stays(far: str) -> None:
    heard = Heard()
    chain = open_chain([PluginSpec(far, isolation="process")], on_event=heard)
    chain.process(tone_frame(level=4))
    assert heard.of("error")[0].detail == "SystemExit: 3"
    chain.process(tone_frame(level=1000))
    assert chain.metrics()[chain.names[0]].restarts == 0
    chain.close()


def test_an_eventfd_that_is_full_is_no_error(far: str) -> None:
    chain = open_chain([PluginSpec(far, isolation="process")])
    slot: Any = chain.slot(chain.names[0])
    os.eventfd_write(slot._child.work, 2**64 - 2)
    assert slot.offer(tone_frame()), "the child has something to read"
    chain.close()


def test_settings_that_no_child_could_be_given_are_refused(far: str) -> None:
    with pytest.raises(PluginConfigError, match=f"at most {MAX_CHILD_CONFIG_BYTES} bytes"):
        PluginSpec(far, config={"text": "x" * 100_000}, isolation="process")
