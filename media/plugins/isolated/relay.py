"""What a plugin logs in its child process, told to the host, which logs it as its own."""

from __future__ import annotations

import json
import logging
import socket
import threading
from typing import Any, Final

from ..slot import Slot

MAX_CHARACTERS: Final = 8_000
"""Of one message with its traceback."""


class RelayHandler(logging.Handler):
    """Sends records over the child's socket. When the host is behind they are lost: frames go on.

    Thread: any.
    """

    def __init__(self, control: socket.socket) -> None:
        super().__init__()
        self._control = control
        self._stream = threading.local()

    def concern(self, stream: int | None) -> None:
        """Say which stream this thread works on now."""
        self._stream.index = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*, or lose it."""
        said: dict[str, Any] = {
            "log": self.format(record)[:MAX_CHARACTERS],
            "level": record.levelno,
            "logger": record.name,
            "stream": getattr(self._stream, "index", None),
        }
        try:
            self._control.send(json.dumps(said).encode(), socket.MSG_DONTWAIT)
        except OSError:
            return  # No room, or no host any more: a log must not hold up frames.


def relay(message: dict[str, Any], slot: Slot | None) -> None:
    """Log what a child said, about the call of *slot*.

    Raises: TypeError, KeyError, ValueError for what is no record.
    """
    level, text = int(message["level"]), str(message["log"])
    logger = logging.getLogger(str(message["logger"]))
    if slot is None:
        logger.log(level, "%s", text)
    else:
        slot.log(logger, level, text)
