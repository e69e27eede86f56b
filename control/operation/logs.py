"""Logging of a process that serves: set up by its command, never by an import.

A program that embeds a host or a service logs as it likes; to log as the commands do, it enters
:class:`Logs` itself.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from types import TracebackType
from typing import Final, Literal, Self, TextIO, TypeAlias

from .log_format import JsonFormatter, TextFormatter
from .redaction import LogRedactor
from .settings import OperationSettings

log = logging.getLogger("mixminus.control.operation")

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["auto", "text", "json"]

LIBRARIES: Final = (
    "aioice",
    "aiortc",
    "asyncio",
    "av",
    "fastapi",
    "h11",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "libav",
    "matplotlib",
    "msal",
    "numba",
    "opentelemetry",
    "requests",
    "urllib3",
    "uvicorn",
    "websockets",
)
"""They log a line for each request, packet or frame, headers and session descriptions among them:
never below warning, whatever the level. What they do say is redacted as all is."""


NOISY: Final = ("psycopg",)
"""It warns of what the store sees, tries again and tells itself, in words of its own."""


class Logs:
    """One handler on the root logger, which takes secrets out of every line. Enter it once.

    :meth:`follow` says how, when the settings are known; until then it is text on a terminal, else
    JSON, from info on. Leaving it restores what was. Thread: the main one; lines come from any.
    """

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        redactor: LogRedactor | None = None,
        instance: str | None = None,
        level: Level | None = None,
        form: Format = "auto",
    ) -> None:
        self.redactor = redactor or LogRedactor()
        """What takes secrets out: let it learn those that are known by value."""
        self._stream = sys.stderr if stream is None else stream
        self._instance = socket.gethostname() if instance is None else instance
        self._level_said = level
        self._handler = logging.StreamHandler(self._stream)
        self._levels: dict[str, int] = {}
        self._others: list[logging.Handler] = []
        self._hook = threading.excepthook
        self._is_entered = False
        self._format(form)
        self._level: Level = level or "info"

    def __enter__(self) -> Self:
        """Log from now on."""
        if self._is_entered:
            raise RuntimeError("the logs are entered already")
        self._is_entered = True
        root = logging.getLogger()
        # Another handler there would write the same lines, with all that is in them.
        self._others = root.handlers[:]
        for other in self._others:
            root.removeHandler(other)
        root.addHandler(self._handler)
        self._set_levels()
        logging.captureWarnings(True)
        self._hook, threading.excepthook = threading.excepthook, _log_thread_failure
        return self

    def __exit__(self, *error: object) -> None:
        """Log no more; what was before is restored."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        for other in self._others:
            root.addHandler(other)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels.clear()
        logging.captureWarnings(False)
        threading.excepthook = self._hook
        self._is_entered = False

    @property
    def is_json(self) -> bool:
        """Whether lines are JSON."""
        return isinstance(self._handler.formatter, JsonFormatter)

    def follow(self, settings: OperationSettings) -> OperationSettings:
        """Log as *settings* say, and return them; a level that was given at first stays."""
        self._instance = settings.instance or self._instance
        self._format(settings.log_format)
        self._level = self._level_said or settings.log_level
        if self._is_entered:
            self._set_levels()
        return settings

    def _format(self, wanted: Format) -> None:
        is_text = self._stream.isatty() if wanted == "auto" else wanted == "text"
        form = TextFormatter if is_text else JsonFormatter
        self._handler.setFormatter(form(self.redactor, self._instance))

    def _set_levels(self) -> None:
        level = logging.getLevelNamesMapping()[self._level.upper()]
        for name in ("", "mixminus"):
            self._set_level(name, level)
        for name in LIBRARIES:
            self._set_level(name, max(level, logging.WARNING))
        for name in NOISY:
            self._set_level(name, logging.ERROR)

    def _set_level(self, name: str, level: int) -> None:
        logger = logging.getLogger(name)
        self._levels.setdefault(name, logger.level)
        logger.setLevel(level)


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Log what ended a thread, in place of printing it: it may have secrets in it."""
    if failure.exc_value is None or issubclass(failure.exc_type, SystemExit):
        return
    traceback: TracebackType | None = failure.exc_traceback
    name = "a thread" if failure.thread is None else failure.thread.name
    log.error("%s failed", name, exc_info=(failure.exc_type, failure.exc_value, traceback))
