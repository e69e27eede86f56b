"""One plugin's child process: started, watched, killed and started again. Time is an argument."""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Final

from ..errors import PluginError
from .check import error_of, how_it_ended
from .launch import kill, launch
from .memory import PLACES, SharedPlaces
from .relay import relay

if TYPE_CHECKING:
    from ..config import PluginSpec
    from .slot import ProcessSlot

log = logging.getLogger("mixminus.media.plugins")

HANG_S: Final = 0.5
"""A child that answers nothing for so long hangs. A collection of 200 ms is no hang."""
LOAD_S: Final = 60.0
BACK_OFF_S: Final = 0.25
MAX_BACK_OFF_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""A child that lived so long starts anew at once the next time."""
MESSAGE_LIMIT: Final = 65_536
MESSAGES_A_LOOK: Final = 256
"""A child that never stops talking must not keep the others from being looked after."""
PAGE_BYTES: Final = resource.getpagesize()


class ChildProcess:
    """The child that serves all streams of one plugin.

    Thread: :meth:`join`, :meth:`leave` and :meth:`adjust` any; all else the supervisor's.
    """

    def __init__(self, spec: PluginSpec) -> None:
        self.reference, self.memory_mb = spec.reference, spec.memory_mb
        self._memory = SharedPlaces.create()
        self.places = SharedPlaces(self._memory)
        self.work = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.restarts = 0
        self.idle_since_s: float | None = None
        self._streams: dict[int, ProcessSlot] = {}
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._pidfd = -1
        self._is_loaded = False
        self._failure: PluginError | None = None
        self._started_s = 0.0
        self._start_at_s: float | None = 0.0
        self._back_off_s = BACK_OFF_S
        self._base_bytes = 0
        self._doom = ""

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    @property
    def has_failed(self) -> bool:
        """Whether the plugin could not be loaded at all."""
        return self._failure is not None

    @property
    def is_idle(self) -> bool:
        """Whether it serves nobody."""
        return not self._streams

    def join(self, slot: ProcessSlot) -> int:
        """Take in a stream; return its place. Raises: PluginError when there is no place left."""
        with self._lock:
            if len(self._streams) == PLACES:
                raise PluginError(f"plugin {slot.name}: one child serves at most {PLACES} streams")
            index = next(index for index in range(PLACES) if index not in self._streams)
            self._streams[index] = slot
            self.idle_since_s = None
            return index

    def begin(self, index: int) -> None:
        """Open a stream that joined, once the plugin is loaded."""
        with self._lock:
            slot = self._streams[index]
            if self._failure is not None:
                slot.open_failed(self._failure)
            elif self._is_loaded:
                self._say(slot.opening(index))

    def leave(self, index: int) -> None:
        """Let a stream go."""
        with self._lock:
            if self._is_loaded:
                self._say({"do": "close", "place": index})
            else:
                self._forget(index)

    def adjust(self, index: int, parameters: dict[str, Any]) -> None:
        """Change parameters of a stream's plugin."""
        with self._lock:
            if self._is_loaded:
                self._say({"do": "set", "place": index, "parameters": parameters})

    # The supervisor's.

    def descriptors(self) -> list[int]:
        """Return what becomes readable when there is something to do."""
        found = [] if self._control is None else [self._control.fileno()]
        return found if self._pidfd < 0 else [*found, self._pidfd]

    def look_after(self, ready: set[int], now_s: float) -> None:
        """Do what is due."""
        if self._control is not None and self._control.fileno() in ready:
            self._hear()
        if self._pidfd >= 0 and self._pidfd in ready:
            self._ended(now_s)
        if self._process is not None and not self._doom:
            self._watch(now_s)
        if self._start_at_s is not None and now_s >= self._start_at_s and self._streams:
            self._start(now_s)

    def stop(self) -> None:
        """Let the child close its plugins and end; see :meth:`reap`."""
        self._start_at_s = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def reap(self, timeout_s: float) -> None:
        """End the child and let go of all."""
        process, self._process = self._process, None
        if process is not None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(timeout_s * 1000)
            kill(process)
            process.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        for index in tuple(self._streams):
            self._forget(index)

    def __del__(self) -> None:
        """Let go of the memory: the thread that runs chains may have held on to it."""
        for descriptor in (self._memory, self.work, self.done):
            os.close(descriptor)

    def _start(self, now_s: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = launch(
                    {
                        "plugin": self.reference,
                        "memory_mb": self.memory_mb,
                        "log_level": logging.getLogger().getEffectiveLevel(),
                    },
                    control=theirs.fileno(),
                    memory=self._memory,
                    work=self.work,
                    done=self.done,
                )
            except OSError as error:
                # No process left to give: later, perhaps.
                ours.close()
                log.warning("plugin %s: no child process: %s", self.reference, error)
                self._start_at_s = now_s + self._next_back_off()
                return
        ours.setblocking(False)
        with self._lock:
            self._process, self._control = process, ours
            self._pidfd = os.pidfd_open(process.pid)
            self._is_loaded, self._doom = False, ""
            self._started_s, self._start_at_s = now_s, None

    def _hear(self) -> None:
        assert self._control is not None
        for _ in range(MESSAGES_A_LOOK):
            try:
                data = self._control.recv(MESSAGE_LIMIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                return  # Its end is told by the process itself.
            try:
                message = json.loads(data)
                if "log" in message:
                    relay(message, self._streams.get(message["stream"]))
                    continue
                with self._lock:
                    self._take(message)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                # The boundary to another process: a plugin may have got hold of its socket.
                self._kill(f"it said what nobody understands: {error}")
                return

    def _take(self, message: dict[str, Any]) -> None:
        error = message.get("error")
        if "loaded" in message:
            if error is not None:
                self._fail(error_of(self.reference, error))
                return
            self._is_loaded = True
            self._base_bytes = self._resident_bytes()
            for place, joined in self._streams.items():
                self._say(joined.opening(place))
            return
        named = (
            message[kind] for kind in ("opened", "emit", "failed", "closed") if kind in message
        )
        index = next(named, -1)
        slot: ProcessSlot | None = self._streams.get(index)
        if slot is None:
            return
        if "closed" in message:
            self._forget(index)
        elif "emit" in message:
            slot.emitted(message["name"], message["value"])
        elif error is None:
            slot.came_up(int(message["latency"]))
        elif "failed" in message:
            slot.failed(str(error_of(slot.name, error)))
        else:
            slot.open_failed(error_of(slot.name, error))

    def _watch(self, now_s: float) -> None:
        if not self._is_loaded:
            if now_s - self._started_s > LOAD_S:
                self._kill(f"not imported within {LOAD_S:.0f} s")
            return
        longest_s = max((slot.unanswered_s(now_s) for slot in self._streams.values()), default=0.0)
        if longest_s > HANG_S:
            self._kill(f"no answer for {longest_s:.1f} s: it hangs")
            return
        taken_mb = (self._resident_bytes() - self._base_bytes) >> 20
        if taken_mb > self.memory_mb:
            self._kill(f"it took {taken_mb} MB, {self.memory_mb} MB were allowed")

    def _kill(self, why: str) -> None:
        assert self._process is not None
        self._doom = why
        kill(self._process)

    def _ended(self, now_s: float) -> None:
        """Hear that the child is gone: tell its streams, and start another one in a while."""
        assert self._process is not None
        kill(self._process)  # What it had started, if that is still there.
        why = self._doom or how_it_ended(self._process)
        self._process.wait()
        with self._lock:
            self._process = None
            os.close(self._pidfd)
            self._pidfd = -1
            if self._control is not None:
                self._control.close()
                self._control = None
            was_loaded, self._is_loaded = self._is_loaded, False
            streams = dict(self._streams)
            oldest = max(streams.values(), key=lambda slot: slot.unanswered_s(now_s), default=None)
            self.places.leave(self.places.waiting())
            for index, slot in streams.items():
                if slot.is_closed:
                    self._forget(index)
                else:
                    slot.went_down(why, is_culprit=slot is oldest)
            if not was_loaded and self.restarts == 0:
                # What never came up will not by itself: whoever chose it is told.
                self._fail(PluginError(f"plugin {self.reference}: {why}"))
                return
            self.restarts += 1
            if now_s - self._started_s > HEALTHY_S:
                self._back_off_s = BACK_OFF_S
            self._start_at_s = now_s + self._next_back_off()
            log.warning(
                "plugin %s: %s; again in %.2f s", self.reference, why, self._start_at_s - now_s
            )

    def _next_back_off(self) -> float:
        wait_s = self._back_off_s
        self._back_off_s = min(MAX_BACK_OFF_S, 2 * wait_s)
        return wait_s

    def _fail(self, error: PluginError) -> None:
        self._failure, self._start_at_s = error, None
        for slot in self._streams.values():
            slot.open_failed(error)

    def _forget(self, index: int) -> None:
        slot = self._streams.pop(index, None)
        if slot is not None and not slot.closed.done():
            slot.closed.set_result(None)

    def _say(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return
        try:
            self._control.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # Its end is told by the process itself.
        except BlockingIOError:
            self._kill("it reads no messages")

    def _resident_bytes(self) -> int:
        assert self._process is not None
        try:
            with open(f"/proc/{self._process.pid}/statm") as statm:
                return int(statm.read().split()[1]) * PAGE_BYTES
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return 0  # It has just ended.
