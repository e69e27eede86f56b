"""A call's set-up as one trace, from the Graph request to the first media frame each way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.operation.traces import Traces
from mixminus.control.service.phones import PhoneScript
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.media.platform import MediaPlatform
from tests.service_kit import phone_of
from tests.support import eventually

PHONE = "+14255550123"
PHONES = (PhoneScript(number=PHONE, display_name="Pat", answer_after_s=0.0),)
TOLD = "POST /api/calls/{instance}/{lineage}"
WAIT_S = 20.0


@dataclass
class Scene:
    """Both roles in one process, and the spans that have ended."""

    service: CallService
    host: BotHost
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def find(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name and span.kind is kind]

    def one(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> ReadableSpan:
        (span,) = self.find(name, kind)
        return span


@asynccontextmanager
async def running(tmp_path: Path, bot: Bot) -> AsyncIterator[Scene]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = OperationSettings.of_values({})
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        operation = await stack.enter_async_context(
            Operation(settings, platform, traces=Traces(settings, provider))
        )
        shared: dict[str, Any] = {"platform": platform, "operation": operation}
        service = await stack.enter_async_context(
            CallService(ServiceSettings(state_dir=tmp_path, drain_s=1.0, phones=PHONES), **shared)
        )
        own = HostSettings.from_dev_file(service.dev_file, state_dir=tmp_path)
        host = await stack.enter_async_context(BotHost(bot, own, **shared))
        yield Scene(service, host, exporter)


def parent_of(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> ReadableSpan | None:
    if span.parent is None:
        return None
    (parent,) = [one for one in spans if one.context.span_id == span.parent.span_id]
    return parent


async def _talk(call: HostedCall) -> None:
    async for frame in call.audio:
        await call.audio.send(frame)


async def test_a_call_that_a_bot_makes_is_one_trace_to_its_first_frames(tmp_path: Path) -> None:
    bot = Bot("traced")
    bot.on_call(_talk)
    async with running(tmp_path, bot) as scene:
        call = await scene.host.calls.create(phone=PHONE)
        both = ("bot host call", "call service call")
        await eventually(lambda: all(scene.find(name) for name in both), WAIT_S, "both sets-up")
        await eventually(lambda: scene.find(TOLD, SpanKind.SERVER), WAIT_S)
        before = len(scene.spans)
        await call.hang_up()
        await call.wait_closed()
    spans = scene.spans
    # Of the end nothing but what was under way: the set-up is what is traced.
    assert {span.name for span in spans[before:]} <= {"notification", TOLD}

    assert len({span.context.trace_id for span in spans}) == 1
    route = "POST /v1.0/communications/calls"
    ours, theirs = (scene.one(name) for name in both)
    asked, served = scene.one(route, SpanKind.CLIENT), scene.one(route, SpanKind.SERVER)
    assert ours.parent is None
    chain = [theirs, served, asked, ours]
    for span, above in itertools.pairwise(chain):
        assert parent_of(span, spans) is above
    for role in (ours, theirs):
        assert role.attributes is not None
        assert role.attributes["mixminus.call_id"] == call.id
        assert role.attributes["mixminus.outcome"] == "media flow"
        assert {event.name for event in role.events} == {
            "first frame received",
            "first frame sent",
        }
        states = [span for span in spans if span.name.startswith("state ")]
        own = [span.name for span in states if parent_of(span, spans) is role]
        assert own[:1] == ["state establishing"]
        assert set(own) <= {"state establishing", "state established"}
    dialled = scene.one("media link", SpanKind.CLIENT)
    taken = scene.one("media link", SpanKind.SERVER)
    assert parent_of(dialled, spans) is theirs
    assert parent_of(taken, spans) is ours
    told = scene.find("notification", SpanKind.CLIENT)
    heard = scene.find(TOLD, SpanKind.SERVER)
    assert {parent_of(span, spans) for span in told} == {theirs}
    assert {parent_of(span, spans) for span in heard} <= {*told}
    assert told
    for span in spans:
        assert span.end_time is not None
        assert "+1425" not in span.to_json(), "whom one calls is nothing for a trace"


async def test_a_call_that_comes_in_is_one_trace_from_the_service_on(tmp_path: Path) -> None:
    bot = Bot("traced")
    answered = asyncio.Event()

    @bot.on_incoming_call
    async def take(call: HostedCall) -> None:
        await call.answer(media="service")
        answered.set()

    async with running(tmp_path, bot) as scene:
        dev = scene.service.dev_file
        async with phone_of(dev) as phone:
            await phone.send(type="call", appId=dev.app_id, sdp="v=0")
            await phone.expect("calling")
            async with asyncio.timeout(WAIT_S):
                await answered.wait()
            await eventually(lambda: scene.find("call service call"), WAIT_S)
            await eventually(lambda: scene.service.book.living == 0, WAIT_S)
        await eventually(lambda: scene.find("bot host call"), WAIT_S)
    spans = scene.spans
    assert len({span.context.trace_id for span in spans}) == 1
    theirs, ours = scene.one("call service call"), scene.one("bot host call")
    assert theirs.parent is None
    heard = parent_of(ours, spans)
    assert heard is not None
    assert (heard.name, heard.kind) == ("POST /api/calls", SpanKind.SERVER)
    told = parent_of(heard, spans)
    assert told is not None
    assert (told.name, parent_of(told, spans)) == ("notification", theirs)
    route = "POST /v1.0/communications/calls/{id}/answer"
    assert parent_of(scene.one(route, SpanKind.CLIENT), spans) is ours


async def test_a_refused_call_is_a_failed_trace_without_its_words(tmp_path: Path) -> None:
    async with running(tmp_path, Bot("traced")) as scene:
        with pytest.raises(Exception, match="Graph answered"):
            await scene.host.calls.create(user="99999999-0000-4000-8000-000000000000")
    ours = scene.one("bot host call")
    assert not ours.status.is_ok
    assert ours.status.description == "GraphRequestError"
    assert not ours.events
    (served,) = [span for span in scene.spans if span.kind is SpanKind.SERVER]
    assert served.attributes is not None
    assert served.attributes["http.response.status_code"] == 404
