"""The watchdog: names what runs for too long, even while it holds the GIL."""

from __future__ import annotations

import ctypes
import os
import re
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mixminus.media.watchdog import Watchdog

LONG_MS = 30_000
SAYS = re.compile(r"mixminus: plugin (\S+) has run for (\d+\.\d) s and holds up all plugins\n")


class StandardError:
    """What is written to file descriptor 2."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self) -> str:
        return os.read(self.descriptor, 4096).decode()

    def is_empty(self) -> bool:
        return not select.select([self.descriptor], [], [], 0)[0]

    def wait_holding_the_gil(self) -> None:
        """poll() by ctypes.PyDLL: no Python thread runs until something is written."""

        class PollFd(ctypes.Structure):
            _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("got", ctypes.c_short))

        waits = PollFd(self.descriptor, select.POLLIN, 0)
        assert ctypes.PyDLL(None).poll(ctypes.byref(waits), ctypes.c_ulong(1), LONG_MS) == 1


@contextmanager
def standard_error() -> Iterator[StandardError]:
    """In the test itself: pytest puts its own file there between set-up and test."""
    reads, writes = os.pipe()
    kept = os.dup(2)
    os.dup2(writes, 2)
    try:
        yield StandardError(reads)
    finally:
        os.dup2(kept, 2)
        for descriptor in (reads, writes, kept):
            os.close(descriptor)


def watch_threads() -> int:
    names = Path("/proc/self/task").glob("*/comm")
    return sum(name.read_text().strip() == "mixminus-watch" for name in names)


def test_what_holds_the_gil_is_named_once() -> None:
    with standard_error() as stderr:
        watchdog = Watchdog(0.02)
        watchdog.enter("quick")
        watchdog.leave()
        watchdog.enter("noise-suppressor")
        stderr.wait_holding_the_gil()
        said = SAYS.fullmatch(stderr.read())
        assert said is not None
        assert said[1] == "noise-suppressor"
        stuck = watchdog.stuck()
        assert stuck is not None
        assert stuck[0] == "noise-suppressor"
        assert stuck[1] > 0.02
        watchdog.enter("next")  # the thread looks several times before it is beyond its limit
        stderr.wait_holding_the_gil()
        said = SAYS.fullmatch(stderr.read())
        assert said is not None
        assert said[1] == "next", "the first stall was told of once"
        watchdog.leave()
        assert watchdog.stuck() is None
        watchdog.close()
        assert stderr.is_empty()


def test_any_name_makes_one_line() -> None:
    with standard_error() as stderr:
        watchdog = Watchdog(0.005)
        watchdog.enter("two\nlines\x1b[0m" + "ä" * 100)
        stderr.wait_holding_the_gil()
        line = os.read(stderr.descriptor, 4096)
        assert line.startswith(b"mixminus: plugin two?lines?[0m\xc3\xa4")
        assert line.count(b"\n") == 1
        assert len(line) < 130
        stuck = watchdog.stuck()
        assert stuck is not None
        assert stuck[0].startswith("two\nlines")
        watchdog.close()


def test_it_ends_with_its_thread() -> None:
    before = watch_threads()
    watchdog = Watchdog()
    watchdog.enter("x")
    assert watchdog.stuck() is None, "not for a second yet"
    watchdog.close()
    watchdog.close()
    assert watch_threads() == before
    assert watchdog.stuck() is None
    watchdog.leave()
    with pytest.raises(RuntimeError, match="the watchdog is closed"):
        watchdog.enter("x")
    forgotten = Watchdog(3600)
    forgotten.enter("x")
    del forgotten
    assert watch_threads() == before


def test_names_are_read_whole_while_they_change() -> None:
    with standard_error():
        watchdog = Watchdog(0.001)
        names = ["a" * 60, "b" * 60]
        done = threading.Event()
        seen: set[str] = set()

        def look() -> None:
            while not done.is_set():
                stuck = watchdog.stuck()
                if stuck is not None:
                    seen.add(stuck[0])

        thread = threading.Thread(target=look)
        thread.start()
        for n in range(20_000):
            watchdog.enter(names[n % 2])
        done.set()
        thread.join()
        watchdog.leave()
        watchdog.close()
        assert seen <= set(names)


@pytest.mark.parametrize("limit_s", [0, -1, float("nan"), 1e9])
def test_limits_that_make_no_sense_are_refused(limit_s: float) -> None:
    with pytest.raises(ValueError, match=r"limit_s: expected 0\.001 to 3600"):
        Watchdog(limit_s)
