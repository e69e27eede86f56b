"""What a log line looks like: one JSON object for programs, one line of text for people."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from ..replay.redact import Redactor
from .call_context import Concern, current_concern

STANDARD: Final = frozenset(
    {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "taskName"}
)
"""What every record has; the rest came by ``extra``."""
PLAIN: Final = (str, int, float, list, tuple, dict)
"""What is shown of ``extra``: libraries put whole connections there."""
NAMES_ITS_CALL: Final = "call %s"
"""A message that begins so names its call itself, whatever task it is said in."""
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


class MixminusFormatter(logging.Formatter):
    """What both forms share: the call that a record is about, and taking secrets out.

    Thread: any.
    """

    def __init__(self, redactor: Redactor, instance: str = "") -> None:
        super().__init__()
        self._redactor, self._instance = redactor, instance

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return the traceback, without what is secret in it."""
        return self._redactor.text(super().formatException(ei))


class JsonFormatter(MixminusFormatter):
    """One JSON object a record, in one line, ASCII alone."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        concern = concern_of(record)
        fields: dict[str, Any] = {
            "ts": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redactor.text(record.getMessage()),
        }
        fields |= {
            name: value
            for name, value in (
                ("callId", concern.call_id),
                ("participantId", concern.participant_id),
                ("app", concern.app),
                ("host", self._instance),
            )
            if value
        }
        for name, value in vars(record).items():
            if name not in STANDARD and name not in fields and isinstance(value, PLAIN):
                fields |= self._redactor.clean({name: value})
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, _ = record.exc_info
            fields["exception"] = {
                "type": f"{kind.__module__}.{kind.__qualname__}",
                "message": self._redactor.text(str(error)),
                "stack": self.formatException(record.exc_info),
            }
        if record.stack_info:
            fields["stack"] = self._redactor.text(record.stack_info)
        return json.dumps(fields, default=self._plain)

    def _plain(self, value: object) -> str:
        return self._redactor.text(str(value))


class TextFormatter(MixminusFormatter):
    """``2026-05-01 12:00:00.123 INFO mixminus.control.host: call 12: established``.

    A call that the message does not name follows in brackets; a message is one line, whatever is
    in it. Times are those of this machine's time zone.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        local = datetime.fromtimestamp(record.created).astimezone()
        message = self._redactor.text(record.getMessage())
        message = CONTROL.sub(lambda found: repr(found[0])[1:-1], message)
        at = local.isoformat(" ", "milliseconds").partition("+")[0]
        line = f"{at} {record.levelname} {record.name}: {message}"
        call_id = concern_of(record).call_id
        if call_id and call_id not in message:
            line += f" [call {call_id}]"
        return "\n".join((line, *self._below(record)))

    def _below(self, record: logging.LogRecord) -> Iterator[str]:
        if record.exc_info and record.exc_info[0] is not None:
            yield self.formatException(record.exc_info)
        if record.stack_info:
            yield self._redactor.text(record.stack_info)


def concern_of(record: logging.LogRecord) -> Concern:
    """Return which call *record* is about: what it names itself, else what its work is about."""
    concern = current_concern() or Concern()
    named = getattr(record, "callId", None)
    if (
        named is None
        and isinstance(record.msg, str)
        and record.msg.startswith(NAMES_ITS_CALL)
        and isinstance(record.args, tuple)
        and record.args
    ):
        named = str(record.args[0])
    if named is None or named == concern.call_id:
        return concern
    return Concern(str(named))


def timestamp(record: logging.LogRecord) -> str:
    """Return when it was, in ISO 8601, UTC, with milliseconds."""
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
