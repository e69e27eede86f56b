"""Which call work is about: known in tasks, threads and callbacks that came of it, for the logs."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from .traces import CallTrace, Kind

Result = TypeVar("Result")

FIRST_FRAMES: Final = {
    "frames_in": "first frame received",
    "frames_out": "first frame sent",
}
"""Events of a trace, by the counters of a media link."""


@dataclass(slots=True)
class Concern:
    """The call that work is about; a call that is being made gets its ``call_id`` later.

    ``app`` is the application or bot, ``participant_id`` the one participant that it is about.
    """

    call_id: str | None = None
    participant_id: str | None = None
    app: str | None = None
    trace: CallTrace | None = field(default=None, repr=False, compare=False)
    """How it is set up, while that is traced."""
    request: Span | None = field(default=None, repr=False, compare=False)
    """The traced request that the work came of."""

    def enter_state(self, state: str) -> None:
        """Say that the call is in *state* from now on; a trace has a span for each."""
        if self.trace is not None:
            self.trace.enter_state(state)

    def set_up_over(self, outcome: str, *, has_failed: bool = False) -> None:
        """Say how the set-up ended: what comes later is not traced. Again is no error."""
        if self.trace is not None:
            self.trace.end(outcome, has_failed=has_failed)
            self.trace = None


_CONCERN: contextvars.ContextVar[Concern | None] = contextvars.ContextVar(
    "mixminus_call", default=None
)


def current_concern() -> Concern | None:
    """Return what the work at hand is about, if it is about a call. Thread: any."""
    return _CONCERN.get()


def enter_concern(concern: Concern | str) -> None:
    """Say what the rest of this task, and all that comes of it, is about."""
    _CONCERN.set(_concern(concern))


def concern_of(call_id: str) -> Concern:
    """Return what the work at hand is about if it is that call, else that call alone."""
    concern = _CONCERN.get()
    return concern if concern is not None and concern.call_id == call_id else Concern(call_id)


def request_span() -> Span | None:
    """Return the traced request that the work at hand came of."""
    concern = _CONCERN.get()
    return None if concern is None else concern.request


def watch_frames(counters: Callable[[], Mapping[str, int]]) -> None:
    """Note in the call's trace when the first frame went each way, by a transport's *counters*."""
    concern = _CONCERN.get()
    if concern is not None and concern.trace is not None:
        concern.trace.watch_frames(counters, FIRST_FRAMES)


def step(
    name: str, kind: Kind = "internal", headers: MutableMapping[str, str] | None = None
) -> AbstractContextManager[Span | None]:
    """Trace the block as a step of the call's set-up; *headers* then tell the trace to others."""
    concern = _CONCERN.get()
    trace = None if concern is None else concern.trace
    return nullcontext() if trace is None else trace.step(name, kind, headers)


@contextmanager
def concerning(concern: Concern | str) -> Iterator[None]:
    """Say what the work in the block is about: tasks and timers that it starts are so as well."""
    token = _CONCERN.set(_concern(concern))
    try:
        yield
    finally:
        _CONCERN.reset(token)


def call_task(
    concern: Concern | str, work: Coroutine[Any, Any, Result], name: str
) -> asyncio.Task[Result]:
    """Run *work* as a task that is about that call, wherever it is started from."""
    context = contextvars.copy_context()
    context.run(_CONCERN.set, _concern(concern))
    return asyncio.create_task(work, name=name, context=context)


def _concern(concern: Concern | str) -> Concern:
    return Concern(concern) if isinstance(concern, str) else concern
