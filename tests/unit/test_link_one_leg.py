"""One leg: epochs in the hello, a link that is cut or left, and a fence before all that goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from mixminus.media.fence import Fence
from mixminus.media.session import MediaSession
from mixminus.media.transports import link_control
from mixminus.media.transports.link import (
    HostLink,
    LinkError,
    LinkGrant,
    LinkRefusedError,
    ServiceLink,
    accept_link,
)
from mixminus.media.transports.link_frames import KIND_AUDIO, KIND_BYE, KIND_DTMF, Record, pack
from mixminus.media.transports.link_hello import parse_challenge, write_hello
from mixminus.media.transports.message_socket import MessageSocket, SocketClosedError
from tests.linkfar import SECRET, SESSION, FakeSocket, audio, grant, open_link, two_legs
from tests.manual import ManualPlatform
from tests.support import eventually

MP_URI = "wss://localhost:1/media"


@dataclass
class Pulse:
    """A clock that stands where the test leaves it."""

    now_ns: int = 1

    def __call__(self) -> int:
        return self.now_ns

    def freeze(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class Fenced:
    """A host's end of a link on ticks that the test makes, behind a fence."""

    platform: ManualPlatform = field(default_factory=ManualPlatform)
    clock: Pulse = field(default_factory=Pulse)
    fence: Fence = field(init=False)
    socket: FakeSocket = field(init=False)
    link: HostLink = field(init=False)

    async def connect(self) -> None:
        self.fence = Fence(clock_ns=self.clock)
        _, self.leg, _ = two_legs(self.platform, relay=True)
        self.socket, self.link = await open_link(self.platform, self.leg, fence=self.fence)

    async def tick(self, count: int) -> None:
        for _ in range(count):
            self.platform.tick()
            for _ in range(3):  # as many steps as the sending task needs
                await asyncio.sleep(0)

    def of(self, kind: int) -> list[Record]:
        return [record for record in self.socket.records() if record.kind == kind]


@pytest.fixture
async def host() -> Fenced:
    made = Fenced()
    await made.connect()
    return made


# ---- the fence -----------------------------------------------------------------------------------


async def test_who_stood_still_sends_nothing_and_still_hears(host: Fenced) -> None:
    await host.tick(5)
    assert len(host.of(KIND_AUDIO)) == 5
    host.clock.freeze(6.1)
    host.link.send_tone("5", 100)
    await host.tick(50)
    assert len(host.of(KIND_AUDIO)) == 5
    assert host.of(KIND_DTMF) == []
    host.socket.inbox.put_nowait(packed(audio(0)))
    await eventually(lambda: host.link.counters()["frames_in"] == 1)
    await host.link.close()
    assert host.of(KIND_BYE) == [], "a goodbye would be a word, too"
    assert host.socket.closed_with is not None


async def test_what_is_fresh_goes_when_the_fence_opens(host: Fenced) -> None:
    await host.tick(1)
    first = host.of(KIND_AUDIO)[0].sequence
    host.clock.freeze(60)
    host.link.send_tone("5", 100)
    await host.tick(20)
    assert host.fence.open(host.fence.standstills)
    await host.tick(1)
    sent = [record.sequence - first for record in host.of(KIND_AUDIO)]
    assert sent == [0, 19, 20, 21], "the newest 60 ms, at their places in time"
    assert len(host.of(KIND_DTMF)) == 1, "control waited"
    await host.link.close()
    assert len(host.of(KIND_BYE)) == 1


async def test_a_standstill_in_the_midst_of_sending_stops_the_rest(host: Fenced) -> None:
    host.socket.open.clear()
    await host.tick(1)
    await eventually(lambda: host.socket.waiting)
    host.clock.freeze(6.1)
    host.socket.open.set()
    await host.tick(5)
    assert len(host.of(KIND_AUDIO)) == 1, "only what the socket had already"
    await host.link.close()


async def test_no_link_is_admitted_before_the_fence_opens() -> None:
    platform, fence = ManualPlatform(), Fence()
    fence.shut("by hand")
    _, leg, _ = two_legs(platform)
    granted, socket = grant(leg), FakeSocket()
    with pytest.raises(LinkError, match="put off") as caught:
        await accept_link(platform, socket, lambda _: granted, fence=fence)
    assert not isinstance(caught.value, LinkRefusedError)
    assert (socket.sent, socket.closed_with) == ([], (1013, "try again later"))
    assert fence.open(fence.standstills)
    _, link = await open_link(platform, leg, granted, fence=fence)
    await link.close()


async def test_a_standstill_during_the_hello_ends_it_unanswered() -> None:
    platform, clock = ManualPlatform(), Pulse()
    fence = Fence(clock_ns=clock)
    _, leg, _ = two_legs(platform)
    granted, socket = grant(leg), FakeSocket()
    accepting = asyncio.create_task(accept_link(platform, socket, lambda _: granted, fence=fence))
    await eventually(lambda: socket.sent)
    nonce = parse_challenge(socket.sent[0])
    clock.freeze(7)
    socket.inbox.put_nowait(write_hello(SECRET, nonce, SESSION, 1))
    with pytest.raises(LinkError, match="put off"):
        await accepting
    assert len(socket.sent) == 1, "a challenge, and no welcome"
    assert socket.closed_with == (1013, "try again later")
    assert fence.open(fence.standstills)
    _, link = await open_link(platform, leg, granted, attempt=2, fence=fence)
    await link.close()


# ---- epochs --------------------------------------------------------------------------------------


def session_grant(platform: ManualPlatform, *, epoch: int) -> tuple[MediaSession, LinkGrant]:
    session = MediaSession(platform, mp_uri=MP_URI, lineage="a call", epoch=epoch)
    granted = session.grant()
    assert granted is not None
    return session, granted


async def hello(platform: ManualPlatform, granted: LinkGrant, session: str, epoch: int) -> HostLink:
    socket = FakeSocket()
    accepting = asyncio.create_task(accept_link(platform, socket, lambda _: granted))
    await eventually(lambda: socket.sent)
    nonce = parse_challenge(socket.sent[0])
    socket.inbox.put_nowait(write_hello(granted.secret, nonce, session, epoch))
    return (await accepting).link


async def test_a_session_takes_its_own_epoch_and_none_before_it() -> None:
    platform = ManualPlatform()
    session, granted = session_grant(platform, epoch=3)
    assert (session.lineage, session.epoch) == ("a call", 3)
    for epoch in (1, 2):
        with pytest.raises(LinkRefusedError):
            await hello(platform, granted, session.session_id, epoch)
    session.attach(await hello(platform, granted, session.session_id, 3))
    await session.close()


async def test_a_session_that_is_abandoned_says_no_word() -> None:
    platform = ManualPlatform()
    session, granted = session_grant(platform, epoch=1)
    socket = FakeSocket()
    accepting = asyncio.create_task(accept_link(platform, socket, lambda _: granted))
    await eventually(lambda: socket.sent)
    nonce = parse_challenge(socket.sent[0])
    socket.inbox.put_nowait(write_hello(granted.secret, nonce, session.session_id, 1))
    session.attach((await accepting).link)
    await session.abandon()
    assert socket.closed_with == (1001, "left")
    assert [r for r in socket.records() if r.kind == KIND_BYE] == []
    assert session.transport_lost.cancelled(), "its own doing is no loss"


# ---- the service's end ---------------------------------------------------------------------------


async def no_more(attempt: int) -> MessageSocket:
    raise LinkRefusedError("the bot host refused the link's hello")


async def test_a_link_that_is_cut_carries_nothing_from_then_on() -> None:
    platform = ManualPlatform()
    _, leg, caller = two_legs(platform)
    socket, tasks = FakeSocket(), asyncio.all_tasks()
    link = ServiceLink(platform, leg, socket, epoch=4, dial=no_more)
    link.cut("superseded")
    assert link.closed.done(), "at once, not a step of the loop later"
    platform.tick(3)
    await link.close()
    (last,) = socket.records()
    assert (last.kind, last.epoch, last.payload) == (KIND_BYE, 4, b"superseded")
    assert socket.closed_with == (1000, "")
    assert asyncio.all_tasks() <= tasks
    assert not link.has_said_bye, "the far end did not"
    caller.close()


async def test_it_knows_a_far_end_that_said_bye_from_one_that_is_lost() -> None:
    platform = ManualPlatform()
    for message, said in ((packed(link_control.bye("moved")), True), (None, False)):
        _, leg, _ = two_legs(platform)
        socket = FakeSocket()
        link = ServiceLink(platform, leg, socket, epoch=1, dial=no_more)
        socket.inbox.put_nowait(message or SocketClosedError("gone"))
        await asyncio.wait_for(asyncio.shield(link.closed), 5)
        assert link.has_said_bye is said
        await link.close()


def packed(record: Record) -> bytes:
    return pack(record._replace(epoch=1))
