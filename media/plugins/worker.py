"""The plugin worker: one thread that runs the chains of all streams beside the tick.

An edge of a bridge offers frames; the worker takes them, runs the chains, and gives the results
back before the next edge. What is not back by then has missed its tick, and the dry frame goes on:
no plugin, however slow, holds up a tick.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
import time
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Final, Protocol

from ..pcm import AudioFrame, Pcm
from ..watchdog import Watchdog
from .attached import AttachedChain, Direction, Lane, PluginLeg, Source, TapSource
from .chain import Chain, Runtime
from .errors import RAISED
from .isolated.children import Children
from .isolated.slot import ProcessSlot, drain
from .meter import OwnTimeMeter

log = logging.getLogger("mixminus.media.plugins")

WAIT_S: Final = 0.0045
"""How long a frame waits for children: the budget, less the way back into the ring."""
CATCH_UP_FRAMES: Final = 3
"""A stream that fell behind by more keeps its newest frames, as the engine's ticks do."""
SLOW_NS: Final = 2_000_000
FIFO_PRIORITY: Final = 5
"""Below the tick threads' 10. Beside two processes that burn all they get, 99.8 % of the frames
come back in time with it, 92 % with nice -10 and 44 % with neither (measured)."""
NICE: Final = -10
END_S: Final = 2.0


_of_platforms: weakref.WeakKeyDictionary[EdgePlatform, PluginWorker] = weakref.WeakKeyDictionary()


class EdgePlatform(Protocol):
    """What the worker needs of the media platform."""

    def edge_fileno(self) -> int:
        """Return the eventfd that is written after edges at which frames were offered."""

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* on the loop after each tick; return what takes it off again."""


class PluginWorker:
    """One thread for all chains of a platform, one child process for each isolated plugin.

    A platform's edges wake one reader: who may not be alone in its process shares, by :meth:`of`.

    Without a thread (*is_threaded*), in virtual time, :meth:`work` is for the owner to call.
    Thread: the loop's, but for :meth:`work`. Close it: it has a thread and perhaps children. Before
    the platform, whose edges it waits for.
    """

    def __init__(self, platform: EdgePlatform, *, is_threaded: bool = True) -> None:
        self._platform = platform
        self._users = 1
        self._is_threaded = is_threaded
        self._watchdog: Watchdog | None = None
        self.children = Children()
        self._lanes: tuple[Lane, ...] = ()
        self._command = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._listeners = 0
        self._untick: Callable[[], None] | None = None

    @classmethod
    def of(cls, platform: EdgePlatform) -> PluginWorker:
        """Return the worker that all of *platform* share; each of them closes it once."""
        worker = _of_platforms.get(platform)
        if worker is None or worker._is_closed:
            worker = _of_platforms[platform] = cls(platform)
        else:
            worker._users += 1
        return worker

    @property
    def streams(self) -> int:
        """How many chains have frames to work on."""
        return len(self._lanes)

    def runtime(self) -> Runtime:
        """Return what a :class:`Chain` needs to be attached here."""
        if self._watchdog is None and self._is_threaded:
            self._watchdog = Watchdog()
        return Runtime(asyncio.get_running_loop(), self.children, self._watchdog)

    def stuck(self) -> tuple[str, float] | None:
        """Return the plugin that holds up all others, and for how many seconds."""
        return None if self._watchdog is None else self._watchdog.stuck()

    def start(self) -> None:
        """Start the thread, if it does not run: the first chain that is attached does it."""
        if self._is_closed:
            raise RuntimeError("the plugin worker is closed")
        if self._thread is None and self._is_threaded:
            self._thread = threading.Thread(target=self._run, name="mixminus-plugins", daemon=True)
            self._thread.start()

    def attach(
        self,
        leg: PluginLeg,
        direction: Direction,
        chain: Chain,
        *,
        listen: Callable[[], Source] | None = None,
    ) -> AttachedChain:
        """Let *chain* work on what *leg* says (inbound) or hears (outbound), until it is closed.

        A chain that only listens takes no part in the tick: it gets what *listen* returns, by
        default a tap of what the leg says.
        Raises: RuntimeError when the leg has a chain in that direction, or either is closed.
        """
        if self._is_closed:
            raise RuntimeError("the plugin worker is closed")
        if listen is None and direction == "inbound":

            def listen() -> Source:
                return TapSource(leg.tap())

        return AttachedChain(self, leg, direction, chain, listen)

    async def close(self) -> None:
        """Stop the thread, end all children. The chains are their owners' to close before."""
        self._users -= 1
        if self._users > 0:
            return
        self._is_closed = True
        self._lanes = ()
        self._listen_to_ticks(False)
        if self._thread is not None:
            self._wake()
            await asyncio.to_thread(self._thread.join, END_S)
            if self._thread.is_alive():
                log.error("a plugin does not come back: the plugin worker is left behind")
                return  # With its descriptors, which it may still use.
        if self._watchdog is not None:
            self._watchdog.close()
        await asyncio.to_thread(self.children.close)
        os.close(self._command)

    def work(self) -> None:
        """Take all frames that wait, run the chains, give back the results. For virtual time."""
        lanes = self._lanes
        is_more = True
        while is_more:
            waiting: list[_Run] = []
            is_more = False
            for lane in sorted(lanes, key=_order):
                frame = lane.next_frame(CATCH_UP_FRAMES)
                if frame is None:
                    continue
                is_more = True
                if lane.chain.needs_wait:
                    run = _Run(lane, frame)
                    if not run.advance():
                        waiting.append(run)
                else:
                    lane.give_back(lane.chain.process(frame), frame)
            if waiting:
                _finish(waiting)

    # For AttachedChain.

    def add_lane(self, lane: Lane) -> None:
        """Work on *lane* from the next edge on."""
        self.start()
        self._lanes = (*self._lanes, lane)
        if lane.only_listens:
            self._listeners += 1
            self._listen_to_ticks(True)

    def remove_lane(self, lane: Lane) -> None:
        """Work on *lane* no more, after the frame at hand."""
        if lane not in self._lanes:
            return
        self._lanes = tuple(other for other in self._lanes if other is not lane)
        if lane.only_listens:
            self._listeners -= 1
            self._listen_to_ticks(self._listeners > 0)

    def _listen_to_ticks(self, on: bool) -> None:
        """Wake up at ticks as well: nothing is offered at an edge to who only listens."""
        if on and self._untick is None:
            self._untick = self._platform.on_tick(self._wake)
        elif not on and self._untick is not None:
            self._untick()
            self._untick = None

    def _wake(self) -> None:
        os.eventfd_write(self._command, 1)

    def _run(self) -> None:
        _hurry()
        meter = OwnTimeMeter.of_this_thread()
        # Edge-triggered: nothing has to be read, so that the GIL is given up once for each wake-up.
        with select.epoll() as epoll:
            for descriptor in (self._platform.edge_fileno(), self._command):
                epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)
            self._work_on(epoll, meter)

    def _work_on(self, epoll: select.epoll, meter: OwnTimeMeter) -> None:
        while not self._is_closed:
            meter.rest()
            epoll.poll()
            try:
                self.work()
            except (*RAISED, GeneratorExit):
                # A bug of ours with one frame must not end the plugins of all calls.
                log.exception("the plugin worker failed with a frame")


class _Run:
    """One frame on its way through a chain that waits for children."""

    def __init__(self, lane: Lane, frame: AudioFrame) -> None:
        self.lane, self._frame = lane, frame
        self._steps: Generator[ProcessSlot, None, Pcm] = lane.chain.steps(frame)
        self.slot: ProcessSlot | None = None

    def advance(self) -> bool:
        """Go on until a child has to be waited for; True when the frame is done."""
        try:
            self.slot = next(self._steps)
        except StopIteration as done:
            self.slot = None
            self.lane.give_back(done.value, self._frame)
            return True
        return False


def _finish(waiting: list[_Run]) -> None:
    """Wait for children, at most as long as there is time, and take the frames on."""
    deadline_s = time.monotonic() + WAIT_S
    poll = select.poll()
    known: set[int] = set()
    while waiting:
        left_s = deadline_s - time.monotonic()
        still: list[_Run] = []
        for run in waiting:
            slot = run.slot
            if slot is not None and not slot.is_answered and left_s > 0:
                if slot.done_fileno not in known:
                    known.add(slot.done_fileno)
                    poll.register(slot.done_fileno, select.POLLIN)
                still.append(run)
            elif not run.advance():
                still.append(run)
        moved = len(still) != len(waiting) or any(
            run.slot and run.slot.is_answered for run in still
        )
        waiting = still
        if waiting and not moved and left_s > 0:
            # Rounded up: a wait of 0 ms would spin.
            for descriptor, _ in poll.poll(max(1, round(left_s * 1000))):
                drain(descriptor)


def _hurry() -> None:
    """Let this thread run before others, as far as the machine allows it.

    Not real time on a single core: a plugin that never comes back would take it from the loop.
    """
    if len(os.sched_getaffinity(0)) > 1:
        # What a plugin starts, threads or processes, does not inherit it.
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        try:
            os.sched_setscheduler(0, policy, os.sched_param(FIFO_PRIORITY))
        except PermissionError:
            log.debug("the plugin worker does not run in real time")
        else:
            return
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except PermissionError:
        log.debug("the plugin worker runs without priority")


def _order(lane: Lane) -> tuple[bool, bool]:
    """Say when a stream has its turn: last, if it took long with the frame before.

    Of the others first those whose children can work while this thread is busy with the rest.
    """
    return lane.chain.spent_ns > SLOW_NS, not lane.chain.needs_wait


async def wait_closed(futures: list[Future[None]], limit_s: float) -> None:
    """Wait until plugins have let go, or as long as that is worth."""
    if futures:
        await asyncio.wait([asyncio.wrap_future(future) for future in futures], timeout=limit_s)
