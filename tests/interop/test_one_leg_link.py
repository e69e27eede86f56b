"""One leg over real media links: the older is closed first, and a lost host is waited for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mixminus.control.service.edges import MediaEdges
from mixminus.control.service.live_call import LiveCall
from mixminus.control.service.media_edges import open_edges
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import ServiceLink
from tests import link_by_the_page as page
from tests.service_kit import GOOD_SDP, FakeMedia, GraphHttp, Receiver, call_body, phone_of
from tests.support import eventually

Json = dict[str, Any]
LINEAGE = "5c9f5a11-0000-4f1e-8f8e-6a1c1de0a001"


@dataclass
class Hosts:
    """Bot hosts by the page of the link: one session each, which they forget when they die."""

    mp_uri: str = ""
    sessions: dict[str, page.Worker] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    service: CallService | None = None
    refused: int = 0
    at_hello: list[tuple[int, list[int]]] = field(default_factory=list)
    """With each hello: its epoch, and the epochs of the links that carry audio then."""

    def expect(self, epoch: int) -> tuple[page.Worker, Json]:
        """Make a session; return who carries it and the media configuration that asks for it."""
        new = MediaSessionDescriptor.new(self.mp_uri, lineage=LINEAGE, epoch=epoch)
        worker, session = page.Worker(), new.mp_media_session_id
        assert new.link_secret is not None
        self.sessions[session], self.secrets[session] = worker, new.link_secret
        odata = "#microsoft.graph.appHostedMediaConfig"
        return worker, {"@odata.type": odata, "blob": new.to_blob()}

    def die(self) -> None:
        """Cut all sockets off, and know of no session any more: a process that came up again."""
        workers = list(self.sessions.values())
        self.sessions.clear()
        self.secrets.clear()
        for worker in workers:
            worker.socket.transport.abort()

    async def serve(self, socket: ServerConnection) -> None:
        hello = await page.hello_of_host(socket, self.secrets)
        if hello is None:
            self.refused += 1
            return
        session, epoch, _ = hello
        worker = self.sessions[session]
        self.at_hello.append((epoch, sorted(link._epoch for link in self.links())))
        worker.socket, worker.epoch = socket, epoch
        await worker.run()

    def links(self) -> list[ServiceLink]:
        """The service's ends of the links that carry audio now."""
        assert self.service is not None
        links = [link_of(live) for live in self.service.book]
        return [link for link in links if link is not None and not link.closed.done()]


def link_of(live: LiveCall) -> ServiceLink | None:
    link = None if live._media is None else live._media._link
    assert link is None or isinstance(link, ServiceLink)
    return link


@dataclass
class World:
    """A service whose bot media are real links, and whose callers' are not."""

    service: CallService
    graph: GraphHttp
    receiver: Receiver
    hosts: Hosts

    async def join(self, epoch: int) -> tuple[LiveCall, page.Worker]:
        """Join a meeting; return the call once it stands, and the bot's end of its link."""
        live, worker = await self.begin(epoch)
        await eventually(lambda: live.call.is_established, what="the call to stand")
        return live, worker

    async def begin(self, epoch: int, *, known: bool = True) -> tuple[LiveCall, page.Worker]:
        """Ask for a call in the meeting; with *known* its host is there to take its link."""
        worker, config = self.hosts.expect(epoch)
        if not known:
            self.hosts.sessions.clear()
            self.hosts.secrets.clear()
        meeting = self.graph.dev.meetings[0]
        organizer = {"user": {"id": meeting.organizer_id, "tenantId": self.graph.dev.tenant_id}}
        kind = "#microsoft.graph.organizerMeetingInfo"
        call_id = await self.graph.created(
            call_body(
                self.receiver.url,
                targets=None,
                chatInfo={"threadId": meeting.thread_id, "messageId": meeting.message_id},
                meetingInfo={"@odata.type": kind, "organizer": organizer},
                mediaConfig=config,
            )
        )
        live = self.service.book.living_call(call_id)
        assert live is not None
        return live, worker


@asynccontextmanager
async def world(state_dir: Path, **settings: Any) -> AsyncIterator[World]:
    hosts, fake = Hosts(), FakeMedia()
    certificate = LocalAuthority(state_dir).issue(*LOCAL_HOSTS)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.cert_file, certificate.key_file)

    @asynccontextmanager
    async def edges(
        platform: MediaPlatform, chosen: ServiceSettings, ca: Path
    ) -> AsyncIterator[MediaEdges]:
        async with open_edges(platform, chosen, ca) as real, fake.edges(platform, chosen, ca) as f:
            yield MediaEdges(f.make_caller, real.connect_link)

    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(
            serve(hosts.serve, "127.0.0.1", 0, ssl=tls, compression=None)
        )
        hosts.mp_uri = f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}/media"
        receiver = await exits.enter_async_context(Receiver(state_dir))
        chosen = ServiceSettings(state_dir=state_dir, **{"drain_s": 0.0, **settings})
        service = await exits.enter_async_context(CallService(chosen, make_edges=edges))
        hosts.service = service
        graph = await exits.enter_async_context(GraphHttp(service.dev_file))
        yield World(service, graph, receiver, hosts)


async def test_the_older_leg_is_closed_before_the_later_one_says_hello(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        calls = [await w.join(epoch) for epoch in (1, 2, 7)]
        for live, _ in calls[:-1]:
            await asyncio.wait_for(live.ended.wait(), 5)
        await eventually(
            lambda: [worker.reason for _, worker in calls] == ["superseded", "superseded", None]
        )
        assert w.hosts.at_hello == [(1, []), (2, []), (7, [])]
        live, worker = calls[-1]
        await eventually(lambda: worker.heard, what="audio of the present epoch")
        assert worker.left_out == 0, "every record says the epoch of the hello"
        (own,) = live.conversation.members.values()
        assert own is live.member


async def test_a_meeting_waits_for_a_host_that_is_lost_and_goes_on_with_another(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, rejoin_s=600) as w:
        live, _ = await w.join(1)
        link = link_of(live)
        assert link is not None
        w.hosts.die()
        reason = await asyncio.wait_for(asyncio.shield(link.closed), 5)
        assert "refused" in reason, "the host is back, and knows of no such session"
        again, worker = await w.join(2)
        assert live.call.result is not None
        assert live.call.result.subcode == 8519, "it was there to be taken over"
        await asyncio.wait_for(live.ended.wait(), 5)
        await eventually(lambda: worker.heard)
        assert list(w.service.book) == [again]


@pytest.mark.slow
async def test_a_host_that_nobody_replaces_is_waited_for_so_long_and_no_longer(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, rejoin_s=0.05) as w:
        live, _ = await w.join(1)
        w.hosts.die()
        await asyncio.wait_for(live.ended.wait(), 5)
        assert live.call.result is not None
        assert "refused" in live.call.result.message


@pytest.mark.slow
async def test_who_says_goodbye_is_not_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path, rejoin_s=600) as w:
        live, worker = await w.join(1)
        await worker.say(page.BYE, b"that is all")
        await asyncio.wait_for(live.ended.wait(), 5)
        assert live.call.result is not None
        assert "that is all" in live.call.result.message


@pytest.mark.slow
async def test_a_call_of_two_has_no_other_way_in_and_ends(tmp_path: Path) -> None:
    async with world(tmp_path, rejoin_s=600) as w, phone_of(w.graph.dev) as john:
        _, config = w.hosts.expect(1)
        call_id = await w.graph.created(call_body(w.receiver.url, mediaConfig=config))
        await john.expect("ring")
        await john.send(type="answer", callId=call_id, sdp=GOOD_SDP)
        await john.expect("answered")
        live = w.service.book.living_call(call_id)
        assert live is not None
        w.hosts.die()
        await asyncio.wait_for(live.ended.wait(), 5)
        assert not (await john.expect("partyMedia"))["flows"]
        await john.expect("ended")


@pytest.mark.slow
async def test_a_host_that_dies_before_its_link_stands_is_waited_for_where_a_call_goes_on(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, rejoin_s=600) as w:
        await w.join(1)
        w.hosts.die()
        dying, _ = await w.begin(2, known=False)
        await eventually(lambda: w.hosts.refused == 2, what="both links to be refused")
        assert dying.call.state.value == "establishing"
        live, worker = await w.join(3)
        await asyncio.wait_for(dying.ended.wait(), 5)
        assert dying.call.result is not None
        assert dying.call.result.subcode == 8519
        await eventually(lambda: worker.heard)
        assert list(w.service.book) == [live]


@pytest.mark.slow
async def test_a_new_call_whose_host_cannot_be_reached_fails_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, rejoin_s=600) as w:
        live, _ = await w.begin(1, known=False)
        await asyncio.wait_for(live.ended.wait(), 5)
        assert live.call.result is not None
        assert "refused the link's hello" in live.call.result.message
