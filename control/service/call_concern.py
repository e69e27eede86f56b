"""Which call of the service work is about, for logs and traces."""

from __future__ import annotations

import logging

from ..operation.call_context import Concern, request_span
from ..operation.traces import Traces
from ..store.base import CallRow

log = logging.getLogger("mixminus.control.calls")


def call_concern(row: CallRow, traces: Traces | None) -> Concern:
    """Return what the work of a new call is about; its trace goes on from the request at hand."""
    trace = None if traces is None else traces.call("call service call", request_span())
    if trace is not None:
        trace.name_call(row.call_id)
    return Concern(row.call_id, app=row.app_id, trace=trace)


def note_state(concern: Concern, state: str, why: str) -> None:
    """Log which state a call is in now, and begin that in its trace."""
    event = {"event": f"call.{state}"}
    log.info("call %s: %s%s", concern.call_id, state, why, extra=event)
    concern.enter_state(state)
