"""Traces of how calls are set up, from the Graph request to the first media frame: OpenTelemetry.

Without an endpoint nothing is traced, nothing of OpenTelemetry is imported, and what is asked of a
:class:`Traces` costs a comparison. There is never a span for a frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .settings import OperationSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger("mixminus.control.operation")

Kind: TypeAlias = Literal["internal", "server", "client"]
Attributes: TypeAlias = Mapping[str, str | int | float | bool]

MAX_SET_UP_S: Final = 120.0
"""A call that has no audio by then is traced no more."""
LOOK_S: Final = 0.02
"""How often a traced call is looked at for its first frames, while there are none."""
INSTALL: Final = 'expected OpenTelemetry for operation.otel_endpoint: pip install "mixminus[otel]"'


class TracesUnavailableError(ImportError):
    """The settings ask for traces, and the extra that makes them is not installed."""


class CallTrace:
    """How one call is set up, as one role sees it: a span with others below it.

    Thread: the loop's.
    """

    def __init__(self, traces: Traces, span: Span) -> None:
        self._traces, self._span = traces, span
        self._state: Span | None = None
        self._ending = asyncio.get_running_loop().call_later(MAX_SET_UP_S, self.end, "no audio")
        self._watching: asyncio.TimerHandle | None = None
        self._missing: dict[str, str] = {}
        self.is_over = False

    @property
    def span(self) -> Span:
        """What is below the call has this for its parent."""
        return self._span

    def name_call(self, call_id: str) -> None:
        """Say which call it is, once that is known."""
        self._span.set_attribute("mixminus.call_id", call_id)

    @contextmanager
    def step(
        self, name: str, kind: Kind = "internal", headers: MutableMapping[str, str] | None = None
    ) -> Iterator[Span | None]:
        """Trace the block as a step; with *headers* it is told to whoever gets those."""
        if self.is_over:
            yield None
            return
        with self._traces.span(name, kind, self._span) as span:
            if headers is not None:
                self._traces.inject(span, headers)
            yield span

    def enter_state(self, state: str) -> None:
        """End the span of the state before, and begin that of *state*. Over is no error."""
        if self._state is not None:
            self._state.end()
            self._state = None
        if not self.is_over:
            self._state = self._traces.begin(f"state {state}", "internal", self._span)

    def event(self, name: str) -> None:
        """Write down that something happened now. Over is no error."""
        if not self.is_over:
            self._span.add_event(name)

    def watch_frames(
        self, counters: Callable[[], Mapping[str, int]], names: Mapping[str, str]
    ) -> None:
        """Write down when each counter of *names* is not zero any more, as the event it names.

        Looked at 50 times a second until all have come; then the set-up is over.
        """
        if not self._span.is_recording():
            self.end("not sampled")
        elif self._watching is None and not self.is_over:
            self._missing = dict(names)
            self._look(counters)

    def _look(self, counters: Callable[[], Mapping[str, int]]) -> None:
        counted = counters()
        for name in [name for name in self._missing if counted.get(name, 0) > 0]:
            self.event(self._missing.pop(name))
        if not self._missing:
            self.end("media flow")
            return
        loop = asyncio.get_running_loop()
        self._watching = loop.call_later(LOOK_S, self._look, counters)

    def end(self, outcome: str, *, has_failed: bool = False) -> None:
        """Say how the set-up ended. Again is no error."""
        if self.is_over:
            return
        self.is_over = True
        self._ending.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._state is not None:
            self._state.end()
            self._state = None
        self._span.set_attribute("mixminus.outcome", outcome)
        if has_failed:
            self._traces.mark_failed(self._span, outcome)
        self._span.end()


class Traces:
    """Makes spans, and carries them from process to process by W3C Trace Context.

    *provider* is for a program that has one already; else the settings say where spans go.
    Raises: TracesUnavailableError. Thread: the loop's.
    """

    def __init__(self, settings: OperationSettings, provider: TracerProvider | None = None) -> None:
        self._owned: TracerProvider | None = None
        self._tracer: Any = None
        if provider is None and settings.otel_endpoint is not None:
            provider = self._owned = _provider_of(settings)
        if provider is not None:
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self._tracer = provider.get_tracer("mixminus", version("mixminus"))
            self._propagator = TraceContextTextMapPropagator()

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return self._tracer is not None

    def call(self, name: str, parent: Span | None = None, **attributes: str) -> CallTrace | None:
        """Begin the set-up of a call; None when nothing is traced."""
        if not self.is_on:
            return None
        shown = {f"mixminus.{key}": value for key, value in attributes.items()}
        return CallTrace(self, self.begin(name, "internal", parent, shown))

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[Span | None]:
        """Trace a request that came with a trace; others are their own, and not traced here."""
        parent = self._parent_in(headers) if self.is_on else None
        if parent is None:
            yield None
            return
        with self.span(name, "server", parent) as span:
            yield span

    @contextmanager
    def span(self, name: str, kind: Kind, parent: Span | None) -> Iterator[Span]:
        """Trace the block; an exception that leaves it is noted by its type alone."""
        span = self.begin(name, kind, parent)
        try:
            yield span
        except BaseException as error:
            # Its message may hold anything: an address, a name, a token.
            self.mark_failed(span, type(error).__name__)
            raise
        finally:
            span.end()

    def begin(
        self, name: str, kind: Kind, parent: Span | None, attributes: Attributes | None = None
    ) -> Span:
        """Begin a span, a root when there is no *parent*; who begins it ends it."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, set_span_in_context

        # Not what is current here: that may be a span of the program around us, or of another call.
        context = Context() if parent is None else set_span_in_context(parent, Context())
        span: Span = self._tracer.start_span(
            name, context, kind=SpanKind[kind.upper()], attributes=dict(attributes or {})
        )
        return span

    def inject(self, span: Span, headers: MutableMapping[str, str]) -> None:
        """Write *span* into *headers*: traceparent, and tracestate if there is one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        self._propagator.inject(headers, set_span_in_context(span, Context()))

    def mark_failed(self, span: Span, why: str) -> None:
        """Say that what *span* is about failed."""
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, why))

    async def close(self) -> None:
        """Send what waits, and stop. Again is no error."""
        owned, self._owned = self._owned, None
        if owned is not None:
            await asyncio.to_thread(owned.shutdown)

    def _parent_in(self, headers: Mapping[str, str]) -> Span | None:
        from opentelemetry.context import Context
        from opentelemetry.trace import get_current_span

        # Not with what is current here, if they hold none.
        span = get_current_span(self._propagator.extract(headers, Context()))
        return span if span.get_span_context().is_valid else None


def _provider_of(settings: OperationSettings) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise TracesUnavailableError(INSTALL) from error
    about = {"service.name": settings.otel_service_name, "service.version": version("mixminus")}
    if settings.instance:
        about["service.instance.id"] = settings.instance
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.otel_sample_ratio)),
        resource=Resource.create(about),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otel_endpoint)))
    log.info("traces go to %s", settings.otel_endpoint)
    return provider
