"""A leg, a platform and plugins to try the plugin engine with, without an engine of the media."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame, Pcm
from mixminus.media.plugins.attached import Direction
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.ring import FrameRing

LIMIT_S = 20.0
"""No test waits longer than this for what it waits for."""


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until *condition* holds; the test fails with *what* when it never does."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        select.select([], [], [], 0.002)


def tone_frame(index: int = 0, level: int = 1000) -> AudioFrame:
    """Return a frame that is none of its neighbours."""
    pcm = np.full(FRAME_SAMPLES, level + index % 100, np.int16)
    return AudioFrame.of(pcm, index * FRAME_TICKS)


class Heard:
    """Collects the events of chains."""

    def __init__(self) -> None:
        self.events: list[PluginEvent] = []

    def __call__(self, event: PluginEvent) -> None:
        self.events.append(event)

    def kinds(self, plugin: str) -> list[str]:
        return [event.kind for event in self.events if event.plugin == plugin]

    def of(self, kind: str) -> list[PluginEvent]:
        return [event for event in self.events if event.kind == kind]


@dataclass
class FakeCounters:
    missed: int = 0


class FakePort:
    """A port whose two ends the test holds."""

    def __init__(self) -> None:
        self.dry, self.wet = FrameRing(8), FrameRing(8)
        self.count = FakeCounters()
        self.is_closed = False

    def counters(self) -> FakeCounters:
        return self.count

    def close(self) -> None:
        self.is_closed = True


class FakeTap:
    def __init__(self) -> None:
        self.ring = FrameRing(16)
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeLeg:
    """A leg that has one port in each direction, and taps."""

    def __init__(self) -> None:
        self.ports: list[FakePort] = []
        self.taps: list[FakeTap] = []

    def insert(self, direction: Direction, slots: int = 8) -> FakePort:
        self.ports.append(FakePort())
        return self.ports[-1]

    def tap(self, slots: int = 16) -> FakeTap:
        self.taps.append(FakeTap())
        return self.taps[-1]

    @property
    def port(self) -> FakePort:
        return self.ports[-1]


class FakePlatform:
    """Edges and ticks by hand."""

    def __init__(self) -> None:
        self.edge = os.eventfd(0, os.EFD_NONBLOCK)
        self.callbacks: list[Callable[[], None]] = []

    def edge_fileno(self) -> int:
        return self.edge

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def tell_edge(self) -> None:
        os.eventfd_write(self.edge, 1)

    def close(self) -> None:
        os.close(self.edge)


def give(port: FakePort, frame: AudioFrame) -> None:
    """Offer *frame* as an edge does."""
    port.dry.write(frame, frame.timestamp, frame.frame_flags, frame.active_speakers)


def result_of(port: FakePort, what: str) -> AudioFrame:
    """Wait for the next result."""
    found: list[AudioFrame] = []

    def is_there() -> bool:
        frame = port.wet.read()
        if frame is not None:
            found.append(frame)
        return frame is not None

    until(is_there, what)
    return found[0]


# ---- plugins -------------------------------------------------------------------------------------


class Double:
    def process(self, frame: AudioFrame) -> Pcm:
        result: Pcm = np.clip(frame * 2.0, -32768, 32767).astype(np.int16)
        return result


class Raises:
    def process(self, frame: AudioFrame) -> Pcm:
        frame[:] = 0  # Not heard: the copy is its own.
        raise ZeroDivisionError("at the third bar")


class Busy:
    """Works for 6 ms of its thread's time."""

    def process(self, frame: AudioFrame) -> None:
        end = time.thread_time() + 0.006
        while time.thread_time() < end:
            pass


class Sleeps:
    def process(self, frame: AudioFrame) -> None:
        time.sleep(0.006)


class SleepsLong:
    """Long enough to be told from a wait for the GIL, whatever else the machine does."""

    def process(self, frame: AudioFrame) -> None:
        time.sleep(0.015)


def returns(value: Any) -> type:
    """Return a plugin that gives back *value* for every frame."""

    class Returns:
        def process(self, frame: AudioFrame) -> Any:
            return value

    return Returns


FILE = '''
import ctypes, os, time
import numpy as np

def double(frame):
    return np.clip(frame * 2.0, -32768, 32767).astype(np.int16)

class Faulty:
    """Does what the first sample of a frame says."""
    kept = []
    def __init__(self, tag: str = "", floor: int = 0):
        self.tag, self.floor = tag, floor
    def open(self, context):
        self.context = context
        if self.tag == "unopenable":
            raise OSError("no such model")
    def process(self, frame):
        if frame[0] == 1:
            while True:
                time.sleep(1)
        if frame[0] == 2:
            ctypes.string_at(0)
        if frame[0] == 3:
            self.kept.append(np.ones(1 << 20, np.uint8))
        if frame[0] == 4:
            end = time.thread_time() + 0.006
            while time.thread_time() < end:
                pass
        if frame[0] == 5:
            raise KeyError("no such word")
        if frame[0] == 6:
            self.context.emit("pid", os.getpid())
        return np.maximum(frame, self.floor).astype(np.int16)
'''
HANGS, CRASHES, LEAKS, WORKS_LONG, RAISES, TELLS = range(1, 7)
"""The levels of a frame that make the plugin of that file do it."""


@contextmanager
def plugin_file(folder: Path) -> Iterator[str]:
    """Write the file of plugins that children are tried with."""
    path = folder / "plugins_of_the_test.py"
    path.write_text(FILE)
    yield str(path)
