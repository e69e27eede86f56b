"""A service whose ticks the test makes, a call that it hosts, a caller with a voice and ears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixminus.control.service.ivr.voice import Voice
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from tests.manual import ManualPlatform
from tests.service_kit import (
    GOOD_SDP,
    FakeMedia,
    GraphHttp,
    Phone,
    Receiver,
    call_body,
    phone_of,
)
from tests.site import Site
from tests.support import eventually

Json = dict[str, Any]
SERVICE_HOSTED = {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"}


@dataclass
class Ivr:
    """The service, the application's webhook and file server, and one call with John."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    site: Site
    platform: ManualPlatform
    media: FakeMedia
    phone: Phone
    call_id: str = ""
    heard: list[Pcm] = field(default_factory=list)
    voice: Voice = field(init=False)

    async def call(self, **members: Any) -> str:
        """Call John, who answers; return once the bot knows that the audio flows."""
        body = call_body(self.receiver.url, **{"mediaConfig": SERVICE_HOSTED, **members})
        self.call_id = await self.graph.created(body)
        await self.phone.expect("ring")
        await self.phone.send(type="answer", callId=self.call_id, sdp=GOOD_SDP)
        await self.phone.expect("answered")
        await eventually(lambda: self.media.callers)
        self.voice = Voice(self.platform, self.media.callers[-1].leg)
        await self.until(lambda: self.told(lambda data: data.get("mediaState")), "audio")
        return self.call_id

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.platform.tick()
            for transport in self.media.callers:
                while (frame := transport.leg.render.read()) is not None:
                    self.heard.append(np.asarray(frame))
            await asyncio.sleep(0)

    async def until(
        self, check: Callable[[], Any], what: str = "the condition", timeout_s: float = 10.0
    ) -> Any:
        """Tick until *check*; return what it returned."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not (found := check()):
            assert loop.time() < deadline, f"waited {timeout_s} s for {what}"
            await self.tick()
        return found

    def told(self, wanted: Callable[[Json], Any]) -> list[Json]:
        """What the bot was told, item by item, as far as its resourceData is *wanted*."""
        return [
            item["resourceData"]
            for body in self.receiver.taken
            for item in body["value"]
            if isinstance(item["resourceData"], dict) and wanted(item["resourceData"])
        ]

    def ends(self) -> list[Json]:
        """The operations that the bot was told the end of, in order."""
        return self.told(lambda data: data["@odata.type"].endswith("Operation"))

    def tones(self) -> list[tuple[int, str]]:
        infos = [data["toneInfo"] for data in self.told(lambda data: data.get("toneInfo"))]
        return [(info["sequenceId"], info["tone"]) for info in infos]

    async def post(self, action: str, status: int = 200, /, **body: Any) -> Json:
        url = f"/v1.0/communications/calls/{self.call_id}/{action}"
        reply = await self.graph.http.post(url, json=body)
        assert reply.status_code == status, reply.text
        result: Json = reply.json()
        if status == 200:
            path = f"/communications/calls/{self.call_id}/operations/{result['id']}"
            assert reply.headers["location"].endswith(path)
        return result

    async def refused(self, action: str, /, **body: Any) -> tuple[int, str]:
        url = f"/v1.0/communications/calls/{self.call_id}/{action}"
        reply = await self.graph.http.post(url, json=body)
        return reply.status_code, reply.json()["error"]["code"]

    async def ended(self, operation: Json) -> Json:
        """Tick until the bot was told the end of *operation*; return it."""
        found: list[Json] = await self.until(
            lambda: [data for data in self.ends() if data["id"] == operation["id"]],
            f"the end of {operation['@odata.type']}",
        )
        assert len(found) == 1
        return found[0]

    def prompt(self, path: str, resource_id: str | None = None) -> Json:
        info = {
            "@odata.type": "#microsoft.graph.mediaInfo",
            "uri": self.site.url(path),
            "resourceId": resource_id,
        }
        return {"@odata.type": "#microsoft.graph.mediaPrompt", "mediaInfo": info}

    @property
    def heard_pcm(self) -> Pcm:
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    def said_within(self, pcm: Pcm) -> bool:
        """Whether the caller heard *pcm*, sample for sample."""
        heard, wanted = self.heard_pcm, pcm[:FRAME_SAMPLES].tobytes()
        at = heard.tobytes().find(wanted)
        start = at // 2
        return at >= 0 and np.array_equal(heard[start : start + pcm.size], pcm)


@asynccontextmanager
async def ivr(state_dir: Path, **settings: Any) -> AsyncIterator[Ivr]:
    media, platform = FakeMedia(), ManualPlatform()
    chosen = ServiceSettings(state_dir=state_dir, **{"drain_s": 0.0, **settings})
    async with (
        CallService(chosen, platform=platform, make_edges=media.edges) as service,
        Receiver(state_dir) as receiver,
        Site(state_dir) as site,
        GraphHttp(service.dev_file) as graph,
        phone_of(service.dev_file) as phone,
    ):
        yield Ivr(service, graph, receiver, site, platform, media, phone)
