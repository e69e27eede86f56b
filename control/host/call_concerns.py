"""Which call of a host work is about, for logs and traces: from before it has an id to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..operation.call_context import Concern, concerning, current_concern
from ..operation.traces import Traces


class CallConcerns:
    """What each call's work is about, and each media session's. Thread: the loop's."""

    def __init__(self, app: str, traces: Traces | None) -> None:
        self._app, self._traces = app, traces
        self._of_sessions: dict[str, Concern] = {}

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make a call in the block: one of its own, also when a bot makes it for another."""
        trace = None if self._traces is None else self._traces.call("bot host call")
        concern = Concern(app=self._app, trace=trace)
        try:
            with concerning(concern):
                yield
        except BaseException as error:
            concern.set_up_over(type(error).__name__, has_failed=True)
            raise

    @contextmanager
    def begun(self, call_id: str, *, is_incoming: bool) -> Iterator[Concern]:
        """Begin a call in the block: the one that is being made, else one that others made."""
        concern = current_concern()
        if concern is None or concern.call_id is not None:
            request = None if concern is None else concern.request
            concern = Concern(call_id, app=self._app)
            if is_incoming and self._traces is not None:
                concern.trace = self._traces.call("bot host call", request)
        concern.call_id = call_id
        if concern.trace is not None:
            concern.trace.name_call(call_id)
        with concerning(concern):
            yield concern

    def add_session(self, session_id: str) -> None:
        """Take a session for the call that the work at hand is about."""
        self._of_sessions[session_id] = current_concern() or Concern()

    def of_session(self, session_id: str) -> Concern | None:
        """Return which call that session is of; its id may not be known yet."""
        return self._of_sessions.get(session_id)

    def forget_session(self, session_id: str) -> None:
        """Forget a session. One that is not known is no error."""
        self._of_sessions.pop(session_id, None)
