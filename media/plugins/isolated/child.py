"""The child process: ``python -m mixminus.media.plugins.isolated.child JSON``.

It serves all streams of one plugin: frames through shared memory, all else through a socket of
JSON messages. It ends when its host does.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..config import Made
from ..contract import PluginContext
from ..errors import RAISED, PluginConfigError, PluginError, UnknownPluginError
from ..meter import OwnTimeMeter
from ..registry import resolve
from ..slot import checked_result
from .memory import CHANGED, FAILED, UNCHANGED, Place, SharedPlaces
from .relay import RelayHandler

log = logging.getLogger("mixminus.media.plugins")

PR_SET_PDEATHSIG: Final = 1
MESSAGE_LIMIT: Final = 65_536
NICE: Final = -10
"""Not real time: a plugin that burns a core would have it until it is killed."""
SPARE: Final = 2
"""The address space is limited to this times what the host watches: a first stop to a leap."""

ONLY_LISTENS: Final = "it only listens: that runs in a thread of its own, and nobody waits for it"


@dataclass(slots=True)
class Served:
    """One stream of the plugin in this child."""

    made: Made
    place: Place
    lock: threading.Lock
    is_open: bool = False
    is_closed: bool = False


class Child:
    """Serves the plugin *reference* until the socket ends."""

    def __init__(
        self,
        control: socket.socket,
        places: SharedPlaces,
        work: int,
        done: int,
        relayed: RelayHandler,
    ) -> None:
        self._relayed = relayed
        self._control, self._places = control, places
        self._work, self._done = work, done
        self._served: dict[int, Served] = {}
        self._factory: Any = None
        self._meter = OwnTimeMeter.of_this_thread()

    def load(self, reference: str) -> bool:
        """Import the plugin, and say how that went."""
        try:
            self._factory = resolve(reference)
        except PluginError as error:
            self._say(loaded=False, error=describe_error(error))
            return False
        self._say(loaded=True)
        return True

    def serve(self) -> None:
        """Take in frames and messages until the host is gone."""
        poll = select.poll()
        poll.register(self._work, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._work in ready:
                os.eventfd_read(self._work)
                self._process_all()
            if self._control.fileno() in ready:
                message = self._control.recv(MESSAGE_LIMIT)
                if not message:
                    break
                self._take(json.loads(message))
        for index in tuple(self._served):
            self._close(index)

    def _process_all(self) -> None:
        for index in self._places.waiting():
            served = self._served.get(int(index))
            if served is None or not served.is_open or served.is_closed:
                # Of a stream that has gone, or of the child before this one.
                self._places.leave(np.array([index]))
                continue
            self._relayed.concern(int(index))
            self._process(served)
            os.eventfd_write(self._done, 1)

    def _process(self, served: Served) -> None:
        frame = served.place.given()
        own_ns = 0
        try:
            self._meter.begin()
            try:
                with served.lock:
                    result = served.made.process(frame.copy())
            finally:
                own_ns, _ = self._meter.end()
            pcm = checked_result(result, frame)
        except RAISED as exc:
            # The boundary to someone else's code: the host tells it.
            served.place.reply(FAILED, own_ns, why=f"{type(exc).__name__}: {exc}")
            return
        if pcm is frame:
            served.place.reply(UNCHANGED, own_ns)
        else:
            served.place.reply(CHANGED, own_ns, pcm=pcm)

    def _take(self, message: dict[str, Any]) -> None:
        index = int(message["place"])
        self._relayed.concern(index)
        match message["do"]:
            case "open":
                # What takes long must not hold up other streams.
                threading.Thread(target=self._open, args=(index, message), daemon=True).start()
            case "set":
                self._set(index, message["parameters"])
            case "close":
                self._close(index)
                self._say(closed=index)

    def _open(self, index: int, message: dict[str, Any]) -> None:
        self._relayed.concern(index)

        def emit(name: str, value: Any) -> None:
            self._say(emit=index, name=name, value=value)

        try:
            made = Made(self._factory, message["config"], name=message["name"])
            served = Served(made, self._places.place(index), threading.Lock())
            made.open(
                PluginContext(
                    name=message["name"],
                    stream=message["stream"],
                    call_id=message["callId"],
                    source_id=message["sourceId"],
                    emit=emit,
                )
            )
        except RAISED as exc:
            # The boundary to someone else's code: why it is not used.
            self._say(opened=index, error=describe_error(exc))
            return
        served.is_open = True
        self._served[index] = served
        self._say(opened=index, error=None, latency=made.latency_samples)

    def _set(self, index: int, parameters: dict[str, Any]) -> None:
        served = self._served.get(index)
        if served is None:
            return
        try:
            with served.lock:
                served.made.set(served.made.check_change(parameters))
        except RAISED as exc:
            # The boundary to someone else's code: the host tells it.
            self._say(failed=index, error=describe_error(exc))

    def _close(self, index: int) -> None:
        served = self._served.pop(index, None)
        if served is None:
            return
        served.is_closed = True
        try:
            served.made.close()
        except RAISED as exc:
            # The boundary to someone else's code: the host tells it.
            self._say(failed=index, error=describe_error(exc))

    def _say(self, **message: Any) -> None:
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_LIMIT:
            raise ValueError(f"emit: expected at most {MESSAGE_LIMIT} bytes as JSON")
        try:
            self._control.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # The host is gone: so are we, at the next message.


def describe_error(error: BaseException) -> dict[str, str]:
    """Return *error* as a message can carry it."""
    if isinstance(error, PluginConfigError):
        return {"kind": "config", "field": error.field, "message": error.message}
    kind = type(error).__name__
    if isinstance(error, PluginError):
        kind = "unknown" if isinstance(error, UnknownPluginError) else "plugin"
    return {"kind": kind, "field": "", "message": str(error) or type(error).__name__}


def limit_memory(memory_mb: int) -> None:
    """Let this process map so much more than it has now: a leap beyond is a MemoryError."""
    with open("/proc/self/statm") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    limit = mapped + SPARE * memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def follow_parent(parent: int) -> None:
    """End when the host does, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # It has ended already.


def main() -> None:
    """Serve, or with ``check`` say whether the plugin can be made with that configuration."""
    options = json.loads(sys.argv[1])
    follow_parent(options["parent"])
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except PermissionError:
        log.debug("this process runs without priority")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to act on.
    sys.path[:] = options["path"]
    control = socket.socket(fileno=options["control"])
    if "check" in options:
        check(control, options)
        return
    relayed = RelayHandler(control)
    logging.getLogger().addHandler(relayed)
    logging.getLogger().setLevel(options["log_level"])
    places = SharedPlaces(options["memory"])
    child = Child(control, places, options["work"], options["done"], relayed)
    if child.load(options["plugin"]):
        limit_memory(options["memory_mb"])
        child.serve()


def check(control: socket.socket, options: dict[str, Any]) -> None:
    """Say whether the plugin can be made."""
    error: dict[str, str] | None = None
    try:
        made = Made(resolve(options["plugin"]), options["check"], name=options["name"])
        if made.is_listener:
            raise PluginConfigError(made.name, "isolation", ONLY_LISTENS)
    except PluginError as exc:
        error = describe_error(exc)
    control.send(json.dumps({"checked": True, "error": error}).encode())


if __name__ == "__main__":
    main()
