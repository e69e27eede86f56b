"""A process with both roles and what its /metrics say, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.control.operation.operation import Operation
from mixminus.control.operation.settings import OperationSettings
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from mixminus.control.tls import client_context
from mixminus.media.platform import MediaPlatform

Samples: TypeAlias = Mapping[str, float]
"""By the line up to its value, labels in the order of their names."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """What was scraped: text, kinds by the name of the family, and values."""

    text: str
    kinds: Mapping[str, str]
    samples: Samples

    @classmethod
    def of(cls, text: str) -> Exposition:
        kinds, samples = {}, {}
        for family in text_string_to_metric_families(text):
            assert family.name not in kinds, f"{family.name} is there twice"
            kinds[family.name] = family.type
            for sample in family.samples:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                line = f"{sample.name}{{{labels}}}" if labels else sample.name
                assert line not in samples, f"{line} is there twice"
                samples[line] = sample.value
        return cls(text, kinds, samples)

    def families_with_samples(self) -> set[str]:
        """Return the names of families that have a line."""
        ends = ("_total", "_bucket", "_count", "_sum", "_created")
        found = set()
        for line in self.samples:
            name = line.partition("{")[0]
            cut = next((name.removesuffix(end) for end in ends if name.endswith(end)), name)
            found.add(cut if cut in self.kinds else name)
        return found

    def totals(self) -> Samples:
        """Return what must never go down: counters, and how much histograms have."""
        growing = {name for name, kind in self.kinds.items() if kind == "counter"}
        return {
            line: value
            for line, value in self.samples.items()
            if line.partition("{")[0].removesuffix("_total") in growing
            or line.partition("{")[0].endswith(("_bucket", "_count"))
        }


class World:
    """A call service and a bot host that share their process."""

    def __init__(self, service: CallService, host: BotHost, http: httpx2.AsyncClient) -> None:
        self.service, self.host, self.http = service, host, http

    async def scrape(self, role: str = "service") -> Exposition:
        """Read the metrics where *role* shows them."""
        base = self.service.urls.base if role == "service" else self.host.url
        reply = await self.http.get(f"{base}/metrics")
        assert reply.status_code == 200, reply.text
        return Exposition.of(reply.text)


def echo_bot() -> Bot:
    bot = Bot("echo")

    @bot.on_call
    async def echo(call: HostedCall) -> None:
        async for frame in call.audio:
            await call.audio.send(frame)

    return bot


@asynccontextmanager
async def both_roles(state_dir: Path, bot: Bot, **host_settings: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(MediaPlatform())
        operation = await stack.enter_async_context(Operation(OperationSettings(), platform))
        settings = ServiceSettings(state_dir=state_dir)
        service = await stack.enter_async_context(
            CallService(settings, platform=platform, operation=operation)
        )
        for_host = HostSettings.from_dev_file(
            service.dev_file, state_dir=state_dir, **host_settings
        )
        host = await stack.enter_async_context(
            BotHost(bot, for_host, platform=platform, operation=operation)
        )
        http = await stack.enter_async_context(
            httpx2.AsyncClient(verify=client_context(service.dev_file.ca_file), timeout=10)
        )
        yield World(service, host, http)
