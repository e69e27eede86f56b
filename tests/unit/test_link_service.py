"""The call service's end of a media link: the bot's marks and keys, speakers, lost sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mixminus.media.pcm import FLAG_SILENCE, FRAME_TICKS
from mixminus.media.transports import link_control, link_service
from mixminus.media.transports.link import LinkError, LinkRefusedError, ServiceLink, SpeakerFrame
from mixminus.media.transports.link_frames import (
    KIND_AUDIO,
    KIND_BYE,
    KIND_DTMF,
    KIND_MARK_DONE,
    MAX_MESSAGE_BYTES,
    Record,
    pack_message,
)
from mixminus.media.transports.link_marks import MAX_MARKS
from mixminus.media.transports.message_socket import MessageSocket, SocketClosedError
from tests.linkfar import FakeSocket, audio, constant, two_legs
from tests.manual import ManualPlatform
from tests.support import eventually

ALICE, BOB = 7, 9


class Feed:
    """The speakers, as the test gives them."""

    def __init__(self) -> None:
        self.frames: list[SpeakerFrame] = []
        self.ended: list[int] = []
        self.dropped_frames = 0
        self.is_closed = False

    def take(self) -> Sequence[SpeakerFrame]:
        frames, self.frames = self.frames, []
        return frames

    def take_ended(self) -> Sequence[int]:
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        self.is_closed = True


class Service:
    """A link's service end on ticks that the test makes; the bot is the test."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        self.bridge, self.leg, self.caller = two_legs(self.platform)
        self.socket = FakeSocket()
        self.dialled: list[int] = []
        self.answers: list[MessageSocket | LinkError] = []
        self.tones: list[tuple[str, int]] = []
        self.media: list[bool] = []
        self.wanted: list[bool] = []
        self.link = ServiceLink(self.platform, self.leg, self.socket, epoch=1, dial=self._dial)
        self.link.on_tone = lambda key, duration_ms: self.tones.append((key, duration_ms))
        self.link.on_media = self.media.append
        self.link.on_speakers = self.wanted.append

    async def _dial(self, attempt: int) -> MessageSocket:
        self.dialled.append(attempt)
        answer = self.answers.pop(0)
        if isinstance(answer, LinkError):
            raise answer
        return answer

    async def hear(self, *records: Record) -> None:
        self.socket.inbox.put_nowait(pack_message(r._replace(epoch=1) for r in records))
        for _ in range(5):  # as many steps as the reading task needs
            await asyncio.sleep(0)
        assert self.socket.inbox.empty()

    async def sent(self, kind: int, count: int = 1) -> list[Record]:
        await eventually(lambda: len(self.of(kind)) >= count, what=f"{count} of kind {kind}")
        return self.of(kind)

    def of(self, kind: int) -> list[Record]:
        return [record for record in self.socket.records() if record.kind == kind]

    def tick(self) -> int:
        """One tick; return what the caller hears last in it."""
        self.platform.tick()
        frame = self.caller.render.read()
        assert frame is not None
        return int(frame[-1])


@pytest.fixture
def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_service, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(link_service, "LAST_RETRY_S", 0.001)


@pytest.fixture
async def service() -> Service:
    return Service()


# ---- marks, clear, keys --------------------------------------------------------------------------


async def test_a_mark_is_answered_when_the_frame_before_it_was_played(service: Service) -> None:
    for sequence in range(20):
        await service.hear(audio(sequence, 1 + sequence))
        service.tick()
    # Four at once: three wait, and are played one a tick.
    frames = [audio(20 + n, 101 + n) for n in range(4)]
    await service.hear(*frames, link_control.mark("end"))
    heard: list[int] = []
    while not service.of(KIND_MARK_DONE):
        assert len(heard) < 10
        heard.append(service.tick())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert 104 in heard, "not before the last of them was heard"
    assert 104 in heard[-2:], "and then at once"
    assert service.of(KIND_MARK_DONE)[0].payload == b"\1end"
    await service.link.close()


async def test_a_mark_behind_nothing_is_answered_at_the_next_tick(service: Service) -> None:
    await service.hear(link_control.mark("a"), link_control.mark("a"), link_control.mark("b"))
    assert service.of(KIND_MARK_DONE) == []
    service.tick()
    answers = await service.sent(KIND_MARK_DONE, 3)
    assert [answer.payload for answer in answers] == [b"\1a", b"\1a", b"\1b"]
    await service.link.close()


async def test_clear_drops_what_waits_and_says_so_of_its_marks(service: Service) -> None:
    for sequence in range(10):
        await service.hear(audio(sequence, 1000))
        service.tick()
    # The network stands still, then lets go of all of it.
    for _ in range(8):
        service.tick()
    await service.hear(*(audio(10 + n, 2000) for n in range(8)), link_control.mark("cut"))
    await service.hear(link_control.clear())
    heard: list[int] = []
    for sequence in range(18, 28):
        await service.hear(audio(sequence)._replace(payload=b"", flags=FLAG_SILENCE))
        heard.append(service.tick())
    assert not any(heard), "what was due is faded out within its frame, and silence follows"
    answers = await service.sent(KIND_MARK_DONE)
    assert [answer.payload for answer in answers] == [b"\0cut"]
    for sequence in range(28, 34):
        await service.hear(audio(sequence, 3000))
        heard.append(service.tick())
    assert heard[-1] == 3000, "what is said after it is heard"
    assert 2000 not in heard
    await service.link.close()


async def test_more_marks_than_anyone_needs_are_answered_as_cleared(service: Service) -> None:
    await service.hear(*(link_control.mark(str(number)) for number in range(MAX_MARKS + 3)))
    early = await service.sent(KIND_MARK_DONE, 3)
    assert [answer.payload for answer in early] == [b"\x00256", b"\x00257", b"\x00258"]
    service.tick()
    await service.sent(KIND_MARK_DONE, MAX_MARKS + 3)
    await service.link.close()


async def test_a_flood_of_clears_and_changes_costs_a_few_of_them(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message has room for two thousand; each would be a command to the engine, or taps."""
    flushed: list[int] = []
    monkeypatch.setattr(type(service.leg), "flush", lambda leg: flushed.append(1))
    await service.hear(*([link_control.clear()] * 1000))
    assert len(flushed) == link_service.ACTS_A_TICK
    service.tick()
    assert len(flushed) == link_service.ACTS_A_TICK + 1, "the last is done all the same"
    service.tick()
    changes = [link_control.streams(mixed=True, speakers=n % 2 == 0) for n in range(1001)]
    await service.hear(*changes)
    assert len(service.wanted) == link_service.ACTS_A_TICK
    service.tick()
    assert service.link.wants_speakers
    assert service.wanted[-1]
    service.tick()
    assert len(flushed) == link_service.ACTS_A_TICK + 1
    await service.link.close()


async def test_keys_go_both_ways(service: Service) -> None:
    await service.hear(link_control.dtmf("5", 80), link_control.dtmf("A"))
    assert service.tones == [("5", 80), ("A", 0)]
    service.link.send_tone("#")
    assert [record.payload for record in await service.sent(KIND_DTMF)] == [b"\0\0#"]
    with pytest.raises(ValueError, match="expected one of"):
        service.link.send_tone("E")
    await service.link.close()


async def test_what_only_a_service_sends_is_left_out(service: Service) -> None:
    done = link_control.mark_done("x", played=True)
    streams = link_control.streams(mixed=True, speakers=False)
    await service.hear(audio(0, stream=ALICE), done, streams._replace(payload=b""))
    await service.hear(link_control.bye("?", ALICE))
    counters = service.link.counters()
    assert counters["other_stream"] == counters["malformed"] == 1
    assert counters["unknown_kind"] == 2
    await service.link.close()


# ---- speakers ------------------------------------------------------------------------------------


async def test_speakers_go_beside_the_mix_on_one_timeline(service: Service) -> None:
    await service.hear(link_control.streams(mixed=True, speakers=True))
    await service.hear(link_control.streams(mixed=True, speakers=True))
    assert service.wanted == [True]
    feed = Feed()
    service.link.feed(feed)
    service.caller.source.write(constant(500))
    service.platform.tick()
    mixed = (await service.sent(KIND_AUDIO))[0]
    timestamp = mixed.timestamp + FRAME_TICKS
    feed.frames = [
        SpeakerFrame(ALICE, timestamp, 0, (ALICE,), constant(300).tobytes()),
        SpeakerFrame(BOB, timestamp, FLAG_SILENCE, (), b""),
    ]
    service.caller.source.write(constant(500))
    service.platform.tick()
    records = (await service.sent(KIND_AUDIO, 4))[1:]
    assert [(r.stream, r.sequence, len(r.payload)) for r in records] == [
        (0, 1, 640),
        (ALICE, 1, 640),
        (BOB, 1, 0),
    ]
    assert records[1].speakers == (ALICE,)
    feed.ended = [ALICE]
    service.platform.tick()
    assert [(r.stream, r.payload) for r in await service.sent(KIND_BYE)] == [(ALICE, b"left")]
    assert service.link.counters()["speaker_frames_out"] == 2
    # Without the mix its record goes on, empty: the link shows that it lives.
    await service.hear(link_control.streams(mixed=False, speakers=False))
    assert service.wanted == [True, False]
    service.link.feed(None)
    assert feed.is_closed
    before = len(service.of(KIND_AUDIO))
    service.caller.source.write(constant(500))
    service.platform.tick()
    assert (await service.sent(KIND_AUDIO, before + 1))[-1].payload == b""
    await service.link.close()


async def test_a_tick_that_fits_no_message_goes_in_several(service: Service) -> None:
    feed = Feed()
    service.link.feed(feed)
    speech = constant(300).tobytes()
    feed.frames = [SpeakerFrame(1 + n, 0, 0, (1 + n,), speech) for n in range(200)]
    service.platform.tick()
    await service.sent(KIND_AUDIO, 201)
    sizes = [len(message) for message in service.socket.sent]
    assert len(sizes) == 3
    assert max(sizes) <= MAX_MESSAGE_BYTES
    await service.link.close()
    assert feed.is_closed


# ---- a socket that is lost -----------------------------------------------------------------------


@pytest.mark.usefixtures("retry_at_once")
async def test_it_dials_again_until_there_is_a_socket(service: Service) -> None:
    service.caller.source.write(constant(1))
    service.platform.tick()
    first = (await service.sent(KIND_AUDIO))[0].sequence
    other = FakeSocket()
    service.answers = [LinkError("refused"), LinkError("refused"), other]
    service.socket.inbox.put_nowait(SocketClosedError("the network went"))
    await eventually(lambda: service.media == [False, True])
    assert service.dialled == [2, 3, 4]
    service.socket = other
    service.platform.tick()
    assert [record.sequence for record in await service.sent(KIND_AUDIO)] == [first + 1]
    await service.hear(audio(0, 5), link_control.dtmf("1"))
    assert service.tones == [("1", 0)]
    counters = service.link.counters()
    assert (counters["lost"], counters["resumed"]) == (1, 1)
    await service.link.close()
    assert other.records()[-1].kind == KIND_BYE


async def test_a_refusal_is_the_end(service: Service) -> None:
    service.answers = [LinkRefusedError("the bot host refused the link's hello")]
    service.socket.inbox.put_nowait(SocketClosedError("gone"))
    reason = await asyncio.wait_for(service.link.closed, 5)
    assert reason == "the media link was lost: the bot host refused the link's hello"
    assert service.media == [False]
    await service.link.close()


@pytest.mark.usefixtures("retry_at_once")
async def test_after_ten_seconds_it_is_given_up_and_no_task_is_left() -> None:
    before = asyncio.all_tasks()
    service = Service()
    service.answers = [LinkError(f"try {number}") for number in range(100_000)]
    service.socket.inbox.put_nowait(SocketClosedError("gone"))
    await eventually(lambda: len(service.dialled) > 2)
    service.platform.tick(500)
    assert not service.link.closed.done()
    service.platform.tick()
    assert "the media link was lost: try " in await asyncio.wait_for(service.link.closed, 5)
    await service.link.close()
    assert asyncio.all_tasks() == before


async def test_closing_while_it_dials_leaves_nothing(service: Service) -> None:
    others = asyncio.all_tasks()
    dialling = asyncio.Event()

    async def never(attempt: int) -> MessageSocket:
        dialling.set()
        await asyncio.Event().wait()
        raise AssertionError("this waits for ever")

    service.link._dial = never
    service.socket.inbox.put_nowait(SocketClosedError("gone"))
    await asyncio.wait_for(dialling.wait(), 5)
    await service.link.close()
    assert asyncio.all_tasks() <= others


@pytest.mark.usefixtures("retry_at_once")
@pytest.mark.parametrize("steps", range(5))
async def test_a_socket_that_is_lost_while_it_closes_is_not_dialled_again(steps: int) -> None:
    before = asyncio.all_tasks()
    service, other = Service(), FakeSocket()
    service.answers = [other]
    service.socket.inbox.put_nowait(SocketClosedError("gone"))
    await eventually(lambda: service.media == [False, True])

    async def never(attempt: int) -> MessageSocket:
        await asyncio.Event().wait()
        raise AssertionError("this waits for ever")

    service.link._dial = never
    closing = asyncio.create_task(service.link.close())
    for _ in range(steps):
        await asyncio.sleep(0)
    other.inbox.put_nowait(SocketClosedError("gone, too"))
    await closing
    left = asyncio.all_tasks() - before
    for task in left:
        task.cancel()
    assert not left


async def test_what_waits_for_a_lost_socket_has_an_end(service: Service) -> None:
    async def never(attempt: int) -> MessageSocket:
        await asyncio.Event().wait()
        raise AssertionError("this waits for ever")

    service.link._dial = never
    service.socket.inbox.put_nowait(SocketClosedError("gone"))
    await eventually(lambda: service.link.is_lost)
    for _ in range(2000):
        service.link.send_tone("1")
    assert service.link.counters()["dropped_control"] == 2000 - 1024
    await service.link.close()
