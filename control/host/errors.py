"""What may go wrong with a call in a bot host, beside what Graph says."""

from __future__ import annotations

from ..call_state import ResultInfo
from ..client.models import Operation
from ..client.requests import GraphConnectionError
from ..operation.admission import Refusal


class UnknownUserError(LookupError):
    """No user of that name is known, and it is no id either."""


class UnknownMeetingError(LookupError):
    """No meeting of that name is known."""


class HostBusyError(GraphConnectionError):
    """This host takes no new call now: it is overloaded, or stopping. Calls that stand go on."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.reason: str = refusal.reason
        self.retry_after_s = refusal.retry_after_s


class StoreBusyError(HostBusyError):
    """This host takes no new call now: its store is away. Calls that stand go on."""

    def __init__(self, message: str, retry_after_s: float = 5.0) -> None:
        GraphConnectionError.__init__(self, message)
        self.reason = "store"
        self.retry_after_s = retry_after_s


class OperationFailedError(Exception):
    """An operation ended as failed; ``operation.result`` says why."""

    def __init__(self, operation: Operation) -> None:
        result = operation.result
        why = "without a result" if result is None else f"{result.code}/{result.subcode}"
        message = "" if result is None else f" {result.message}"
        reason = f" ({operation.completion_reason})" if operation.completion_reason else ""
        super().__init__(f"{operation.type} failed: {why}{message}{reason}")
        self.operation = operation


class CallEndedError(ConnectionError):
    """The call is over: nothing can be done with it, and what was under way has no end."""

    def __init__(self, what: str, result: ResultInfo | None) -> None:
        why = "" if result is None else f" ({result.code}/{result.subcode} {result.message})"
        super().__init__(f"{what}: the call is over{why}")
        self.result = result


class NoAudioError(RuntimeError):
    """The call's media are not in this process."""
