"""The bot host's end of a media link: speakers beside the mix, keys, marks, clear, resume."""

from __future__ import annotations

import asyncio

import pytest

from mixminus.media.bridge import Leg
from mixminus.media.pcm import FLAG_SILENCE
from mixminus.media.transports import link_control
from mixminus.media.transports.base import CAPABILITIES, SPEAKERS
from mixminus.media.transports.link import LinkError, LinkRefusedError, accept_link
from mixminus.media.transports.link_frames import (
    KIND_AUDIO,
    KIND_BYE,
    KIND_CLEAR,
    KIND_DTMF,
    KIND_MARK,
    KIND_STREAMS,
    Record,
    pack_message,
)
from mixminus.media.transports.link_hello import parse_challenge, write_hello
from mixminus.media.transports.link_streams import MAX_STREAMS, OPENED_A_TICK
from mixminus.media.transports.message_socket import SocketClosedError
from tests.linkfar import (
    SECRET,
    SESSION,
    FakeSocket,
    audio,
    constant,
    grant,
    open_link,
    two_legs,
)
from tests.manual import ManualPlatform
from tests.support import eventually

ALICE, BOB = 7, 9


class Host:
    """A link's host end on ticks that the test makes; speakers' legs in the same bridge."""

    def __init__(self, *, speakers: bool = True) -> None:
        self.platform = ManualPlatform()
        self.bridge, self.leg, self.bot = two_legs(self.platform, relay=True)
        self.legs: dict[int, Leg] = {}
        self.grant = grant(self.leg, speakers=self if speakers else None)
        self.marks: list[tuple[str, bool]] = []
        self.tones: list[str] = []
        self.media: list[bool] = []
        self.socket: FakeSocket

    async def connect(self, *, epoch: int = 1, attempt: int = 1) -> FakeSocket:
        self.socket, self.link = await open_link(
            self.platform, self.leg, self.grant, epoch=epoch, attempt=attempt
        )
        self.link.on_mark = lambda name, played: self.marks.append((name, played))
        self.link.on_tone = self.tones.append
        self.link.on_media = self.media.append
        return self.socket

    def open_speaker(self, source_id: int, name: str | None = None) -> Leg:
        return self.legs.setdefault(source_id, self.bridge.add_leg(source_id))

    def close_speaker(self, source_id: int) -> None:
        self.legs.pop(source_id).close()

    async def hear(self, *records: Record, epoch: int = 1) -> None:
        self.socket.inbox.put_nowait(pack_message(r._replace(epoch=epoch) for r in records))
        for _ in range(5):  # as many steps as the reading task needs
            await asyncio.sleep(0)
        assert self.socket.inbox.empty()

    async def sent(self, kind: int, count: int = 1) -> list[Record]:
        """Wait for so many records of that kind."""
        await eventually(lambda: len(self.of(kind)) >= count, what=f"{count} of kind {kind}")
        return self.of(kind)

    def of(self, kind: int) -> list[Record]:
        return [record for record in self.socket.records() if record.kind == kind]

    async def lose(self) -> None:
        self.socket.inbox.put_nowait(SocketClosedError("the network went"))
        await eventually(lambda: self.link.is_lost)


@pytest.fixture
async def host() -> Host:
    made = Host()
    await made.connect()
    return made


# ---- speakers ------------------------------------------------------------------------------------


async def test_it_says_what_it_can(host: Host) -> None:
    assert host.link.capabilities == CAPABILITIES
    mute = Host(speakers=False)
    await mute.connect()
    assert mute.link.capabilities == CAPABILITIES - {SPEAKERS}
    mute.link.want_speakers(True)
    await mute.hear(audio(0, stream=ALICE))
    assert mute.link.counters()["other_stream"] == 1
    assert mute.of(KIND_STREAMS) == []


async def test_speakers_come_into_legs_of_their_own_beside_the_mix(host: Host) -> None:
    await host.hear(audio(0, stream=ALICE))
    assert host.legs == {}, "nobody asked for them"
    host.link.want_speakers(True)
    host.link.want_speakers(True)
    assert [r.payload for r in await host.sent(KIND_STREAMS)] == [b"\3"]
    empty = audio(3)._replace(stream=BOB, payload=b"", flags=FLAG_SILENCE, speakers=())
    for sequence in range(3, 8):
        silent = empty._replace(sequence=sequence)
        await host.hear(audio(sequence, 300), audio(sequence, 100, stream=ALICE), silent)
        host.platform.tick()
    assert set(host.legs) == {ALICE, BOB}
    heard = []
    while (frame := host.bot.render.read()) is not None:
        heard.append(int(frame[-1]))
    assert heard[-1] == 400, "here the bot hears all legs: the mix and Alice"
    counters = host.link.counters()
    assert (counters["frames_in"], counters["speaker_frames_in"]) == (5, 10)
    await host.hear(link_control.bye("left", ALICE))
    assert set(host.legs) == {BOB}
    host.link.want_speakers(False)
    assert host.legs == {}
    assert (await host.sent(KIND_STREAMS, 2))[1].payload == b"\1"
    await host.link.close()


async def test_a_speaker_whose_goodbye_was_lost_goes_after_five_seconds(host: Host) -> None:
    host.link.want_speakers(True)
    for sequence in range(600):
        mixed = audio(sequence)
        talking = [audio(sequence, stream=BOB)] if sequence < 50 else []
        await host.hear(mixed, audio(sequence, stream=ALICE), *talking)
        host.platform.tick()
        if sequence == 300:
            assert set(host.legs) == {ALICE, BOB}
    assert set(host.legs) == {ALICE}
    await host.link.close()


async def test_a_far_end_that_names_speakers_without_end_gets_no_further(host: Host) -> None:
    host.link.want_speakers(True)
    for start in range(1, MAX_STREAMS + 51, OPENED_A_TICK):
        some = range(start, min(start + OPENED_A_TICK, MAX_STREAMS + 51))
        await host.hear(*(audio(0)._replace(stream=stream, payload=b"") for stream in some))
        host.platform.tick()
    assert len(host.legs) == MAX_STREAMS
    assert host.link.counters()["other_stream"] == 50
    await host.link.close()
    assert host.legs == {}


async def test_speakers_who_come_and_go_by_the_hundred_do_not_hold_the_loop_up(host: Host) -> None:
    """One message has room for nine hundred who begin and end; each of them would cost a leg."""
    opened: list[int] = []
    open_one = host.open_speaker

    def note(source_id: int, name: str | None = None) -> Leg:
        opened.append(source_id)
        return open_one(source_id, name)

    host.open_speaker = note  # type: ignore[method-assign]
    host.link.want_speakers(True)
    silent = audio(0)._replace(payload=b"")
    flood = [
        record
        for stream in range(1, 901)
        for record in (silent._replace(stream=stream), link_control.bye("", stream))
    ]
    await host.hear(*flood)
    assert opened == list(range(1, OPENED_A_TICK + 1))
    host.platform.tick()
    await host.hear(silent._replace(stream=ALICE + 900))
    assert set(host.legs) == {ALICE + 900}, "who comes with the next tick is heard"
    await host.link.close()


async def test_what_stands_behind_a_goodbye_is_nobodys(host: Host) -> None:
    host.link.want_speakers(True)
    await host.hear(link_control.bye("over"), audio(0, stream=ALICE), link_control.dtmf("5"))
    assert host.link.closed.result() == "the far end said bye: over"
    assert (host.legs, host.tones) == ({}, [])
    await host.link.close()


# ---- keys, marks, clear --------------------------------------------------------------------------


async def test_keys_go_both_ways_and_what_is_no_key_is_refused(host: Host) -> None:
    host.link.send_tone("d", 100)
    assert [r.payload for r in await host.sent(KIND_DTMF)] == [b"\x64\0D"]
    for key, duration_ms in (("x", 100), ("12", 100), ("", 100), ("1", 60_001), ("1", -1)):
        with pytest.raises(ValueError, match="expected"):
            host.link.send_tone(key, duration_ms)
    await host.hear(link_control.dtmf("#"), link_control.dtmf("5", 80))
    assert host.tones == ["#", "5"]
    await host.link.close()


async def test_a_mark_goes_after_the_audio_and_its_answer_comes_back_once(host: Host) -> None:
    host.bot.source.write(constant(1000))
    host.platform.tick()
    host.link.send_mark("spoken")
    host.link.send_mark("ü" * 128)
    await host.sent(KIND_MARK, 2)
    kinds = [record.kind for record in host.socket.records()]
    assert kinds == [KIND_AUDIO, KIND_MARK, KIND_MARK]
    await host.hear(link_control.mark_done("spoken", played=True))
    await host.hear(link_control.mark_done("spoken", played=True))
    await host.hear(link_control.mark_done("never set", played=True))
    assert host.marks == [("spoken", True)]
    for name in ("", "x" * 257, "\ud800"):
        with pytest.raises(ValueError, match="expected a mark's name"):
            host.link.send_mark(name)
    for number in range(255):
        host.link.send_mark(str(number))
    host.link.send_mark("one too many")
    assert host.marks[1:] == [("one too many", False)]
    await host.link.close()
    assert host.marks[2:4] == [("ü" * 128, False), ("0", False)]
    assert len(host.marks) == 258


async def test_clear_goes_at_once_and_what_was_under_way_is_not_heard(host: Host) -> None:
    for _ in range(2):
        host.bot.source.write(constant(1000))
        host.platform.tick()
    before = len(host.of(KIND_AUDIO))
    host.link.clear()
    await host.sent(KIND_CLEAR)  # no tick was needed
    audio_before = len(host.of(KIND_AUDIO))
    assert audio_before <= before, "what was rendered and not sent is not sent any more"
    for value in (1000, 2000):
        host.bot.source.write(constant(value))
        host.platform.tick()
    records = (await host.sent(KIND_AUDIO, audio_before + 2))[audio_before:]
    heard = [record.payload[:2] for record in records]
    assert heard == [b"", (2000).to_bytes(2, "little")]
    assert records[0].flags & FLAG_SILENCE
    await host.link.close()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (KIND_DTMF, b""),
        (KIND_DTMF, b"\0\0x"),
        (KIND_DTMF, b"\xff\xff1"),
        (5, b""),
        (5, b"\1"),
        (5, b"\2name"),
        (5, b"\1\xff\xfe"),
        (5, b"\1" + b"x" * 257),
    ],
)
async def test_control_that_is_not_as_its_kind_says_is_left_out(
    host: Host, kind: int, payload: bytes
) -> None:
    good = link_control.dtmf("1")
    await host.hear(good._replace(kind=kind, payload=payload), good)
    assert host.link.counters()["malformed"] == 1
    assert host.tones == ["1"]
    assert host.marks == []
    await host.hear(good._replace(kind=KIND_MARK, payload=b"x"), good._replace(kind=99))
    assert host.link.counters()["unknown_kind"] == 2
    await host.link.close()


# ---- another socket in the place of a lost one ---------------------------------------------------


async def test_a_link_goes_on_over_another_socket_and_is_the_same_link(host: Host) -> None:
    first = host.link
    host.link.want_speakers(True)
    for sequence in range(3):
        host.bot.source.write(constant(500))
        host.platform.tick()
        await host.sent(KIND_AUDIO, sequence + 1)
        await host.hear(audio(sequence), audio(sequence, stream=ALICE))
    host.link.send_mark("cleared")
    host.link.clear()
    host.link.send_mark("asked again")
    await host.sent(KIND_MARK, 2)
    await host.lose()
    assert host.media == [False]
    host.link.send_tone("3", 100)
    host.link.send_mark("set while lost")
    host.platform.tick(97)
    assert set(host.legs) == {ALICE}
    await host.connect(attempt=2)
    assert host.link is first
    assert host.media == [False, True]
    assert host.marks == [("cleared", False)]
    await eventually(lambda: len(host.socket.records()) >= 4)
    control = [record for record in host.socket.records() if record.kind != KIND_AUDIO]
    assert [(record.kind, record.payload) for record in control] == [
        (KIND_STREAMS, b"\3"),
        (KIND_DTMF, b"\x64\0003"),
        (KIND_MARK, b"asked again"),
        (KIND_MARK, b"set while lost"),
    ]
    host.bot.source.write(constant(600))
    host.platform.tick()
    # 3 ticks before, 97 in which it was lost: their numbers are left out, but for the newest 60 ms.
    numbers = [record.sequence for record in await host.sent(KIND_AUDIO, 4)]
    assert numbers == [97, 98, 99, 100]
    await host.hear(audio(100, 700), audio(100, 100, stream=ALICE))
    host.platform.tick()
    heard = []
    while (frame := host.bot.render.read()) is not None:
        heard.append(int(frame[-1]))
    assert heard[-1] == 800
    counters = host.link.counters()
    assert (counters["lost"], counters["resumed"]) == (1, 1)
    await host.link.close()


async def test_six_seconds_of_loss_leave_no_delay_behind(host: Host) -> None:
    async def speak(start: int, count: int) -> None:
        for sequence in range(start, start + count):
            await host.hear(audio(sequence, 1000))
            host.platform.tick()

    await speak(0, 50)
    await host.lose()
    host.platform.tick(300)
    await host.connect(attempt=2)
    await speak(350, 50)
    assert (host.link.quality().delay_ms or 0) <= 40
    voice = host.leg.counters().voice
    await speak(400, 20)
    assert host.leg.counters().voice == voice + 20
    await host.link.close()


async def test_who_comes_later_takes_the_place_of_a_socket_that_still_stands(host: Host) -> None:
    old = host.socket
    await host.connect(attempt=5)
    await eventually(lambda: old.closed_with == (4409, "replaced"))
    assert host.media == [False, True]
    for epoch, attempt in ((1, 5), (1, 4), (0, 9)):
        with pytest.raises(LinkRefusedError):
            await open_link(host.platform, host.leg, host.grant, epoch=epoch, attempt=attempt)
    assert host.link.counters()["resumed"] == 1
    await host.link.close()


async def test_another_epoch_is_another_process_and_begins_anew(host: Host) -> None:
    for sequence in (1000, 1001):
        await host.hear(audio(sequence))
        host.platform.tick()
    await host.connect(epoch=2, attempt=0)
    await host.hear(audio(0, 50), epoch=2)
    host.platform.tick(2)
    counters = host.link.counters()
    assert (counters["frames_in"], counters["out_of_order"]) == (3, 0)
    assert counters["missing"] == 0
    host.link.send_tone("1", 100)
    assert (await host.sent(KIND_DTMF))[0].epoch == 2
    await host.link.close()


async def test_what_has_ended_is_not_taken_up_again(host: Host) -> None:
    await host.hear(link_control.bye("over"))
    assert await asyncio.wait_for(host.link.closed, 5) == "the far end said bye: over"
    with pytest.raises(LinkRefusedError):
        await host.connect(attempt=2)
    await host.link.close()


async def test_of_two_that_connect_at_once_the_later_stays(host: Host) -> None:
    await host.lose()
    slow = FakeSocket()
    accepting = asyncio.create_task(accept_link(host.platform, slow, lambda _: host.grant))
    await eventually(lambda: slow.sent)
    nonce = parse_challenge(slow.sent.pop())
    slow.open.clear()
    slow.inbox.put_nowait(write_hello(SECRET, nonce, SESSION, 1, 2))
    # While its welcome is on its way, another is there and done.
    await eventually(lambda: slow.waiting)
    await host.connect(attempt=3)
    slow.open.set()
    with pytest.raises(LinkError, match="a later connection was admitted"):
        await accepting
    assert not host.link.is_lost
    host.link.send_tone("1", 100)
    await host.sent(KIND_DTMF)
    await host.link.close()
    assert host.socket.records()[-1].kind == KIND_BYE


async def test_closing_while_lost_leaves_nothing_and_tells_the_marks(host: Host) -> None:
    others = asyncio.all_tasks()
    host.link.send_mark("waits")
    await host.lose()
    await host.link.close()
    assert host.marks == [("waits", False)]
    assert await host.link.closed == "closed here"
    assert asyncio.all_tasks() <= others
