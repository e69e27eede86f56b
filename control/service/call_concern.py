"""Which call of the service work is about, for logs and traces."""

from __future__ import annotations

from ..operation.call_context import Concern, request_span
from ..operation.traces import Traces
from ..store.base import CallRow


def call_concern(row: CallRow, traces: Traces | None) -> Concern:
    """Return what the work of a new call is about; its trace goes on from the request at hand."""
    trace = None if traces is None else traces.call("call service call", request_span())
    if trace is not None:
        trace.name_call(row.call_id)
    return Concern(row.call_id, app=row.app_id, trace=trace)
