"""The speakers of a conversation apart: whom one may hear alone, and on the mix's timeline."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from mixminus.control.graph.participants import identity_set
from mixminus.control.graph.requests_group import RoutingGroup
from mixminus.control.service.conversation import Conversation
from mixminus.control.service.member import Member
from mixminus.control.service.records.history import ConversationHistory
from mixminus.media.bridge import Leg
from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.transports.link import SpeakerFeed, SpeakerFrame
from tests.manual import ManualPlatform


@dataclass
class Room:
    """People who say what the test has them say; the feeds are read after every tick."""

    platform: ManualPlatform
    conversation: Conversation
    members: dict[str, Member] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def join(self, name: str, *, in_lobby: bool = False) -> Member:
        member = self.conversation.add(
            identity=identity_set("user", name, name),
            kind="user",
            display_name=name,
            in_lobby=in_lobby,
        )
        self.members[name] = member
        return member

    def noise(self) -> Pcm:
        return self.rng.integers(-4000, 4000, FRAME_SAMPLES).astype(np.int16)

    def tick(self, *more: Leg, silent: tuple[str, ...] = ()) -> None:
        legs = [member.leg for name, member in self.members.items() if name not in silent]
        for leg in (*legs, *more):
            leg.source.write(self.noise())
        self.platform.tick()

    def take(self, feed: SpeakerFeed) -> dict[str, SpeakerFrame]:
        """The newest frame of each speaker by name."""
        names = {member.source_id: name for name, member in self.members.items()}
        return {names[frame.source_id]: frame for frame in feed.take()}


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    platform = ManualPlatform()
    history = ConversationHistory("chain", "groupCall", "tenant", organizer=None)
    conversation = Conversation(
        platform,
        chain_id="chain",
        kind="groupCall",
        tenant_id="tenant",
        meeting=None,
        history=history,
    )
    made = Room(platform, conversation)
    for name in ("bot", "anna", "bert"):
        made.join(name)
    yield made
    await conversation.close()
    assert not platform._callbacks, "nobody looks at ticks any more"


def samples(frame: SpeakerFrame) -> Pcm:
    return np.frombuffer(frame.payload or bytes(2 * FRAME_SAMPLES), np.int16)


def last(leg: Leg) -> AudioFrame:
    frame = None
    while (newer := leg.render.read()) is not None:
        frame = newer
    assert frame is not None
    return frame


async def test_the_sum_of_the_speakers_is_the_mix_of_the_same_tick(room: Room) -> None:
    bot = room.members["bot"]
    feed = room.conversation.open_feed(bot)
    for _ in range(10):
        room.tick()
        frames, mix = room.take(feed), last(bot.leg)
    assert set(frames) == {"anna", "bert"}
    assert {frame.timestamp for frame in frames.values()} == {mix.timestamp}
    assert frames["anna"].speakers == (room.members["anna"].source_id,)
    assert frames["anna"].flags == 0
    np.testing.assert_array_equal(
        samples(frames["anna"]).astype(int) + samples(frames["bert"]), mix
    )
    feed.close()


async def test_who_is_silent_goes_without_samples(room: Room) -> None:
    feed = room.conversation.open_feed(room.members["bot"])
    for _ in range(30):
        room.members["bert"].leg.source.write(np.zeros(FRAME_SAMPLES, np.int16))
        room.tick(silent=("bert",))
        frames = room.take(feed)
    assert frames["bert"].payload == b""
    assert frames["bert"].flags & FLAG_SILENCE
    assert len(frames["anna"].payload) == 640
    feed.close()


async def test_who_may_not_be_heard_is_silent_and_who_never_was_is_not_there(room: Room) -> None:
    bot, anna, bert = room.members.values()
    room.join("carl", in_lobby=True)
    feed = room.conversation.open_feed(bot)
    room.tick()
    assert set(room.take(feed)) == {"anna", "bert"}
    room.conversation.set_muted(anna, server=True)
    group = RoutingGroup("private", "oneToOne", (bert.participant_id,), (anna.participant_id,))
    room.conversation.set_group(anna, "private", group)
    for _ in range(3):
        room.tick()
        frames = room.take(feed)
    # What Anna says while muted, and Bert to Anna alone, is not for the bot.
    assert {name: frame.payload for name, frame in frames.items()} == {"anna": b"", "bert": b""}
    assert {frame.speakers for frame in frames.values()} == {()}
    room.conversation.set_muted(anna, server=False)
    room.conversation.admit(room.members["carl"])
    room.tick()
    frames = room.take(feed)
    assert len(frames["anna"].payload) == len(frames["carl"].payload) == 640
    assert frames["bert"].payload == b""
    feed.close()


async def test_who_leaves_ends_and_who_comes_begins(room: Room) -> None:
    feed = room.conversation.open_feed(room.members["bot"])
    anna = room.members["anna"]
    room.tick()
    room.conversation.remove(anna)
    del room.members["anna"]
    room.join("dora")
    assert feed.take_ended() == [anna.source_id]
    assert feed.take_ended() == []
    room.tick()
    assert set(room.take(feed)) == {"bert", "dora"}
    feed.close()


async def test_who_speaks_on_two_legs_is_one_stream(room: Room) -> None:
    bot, anna = room.members["bot"], room.members["anna"]
    feed = room.conversation.open_feed(bot)
    voice = room.conversation.add_voice(anna)
    for _ in range(10):
        room.tick(voice, silent=("bert",))
        frames, mix = room.take(feed), last(bot.leg)
    np.testing.assert_array_equal(samples(frames["anna"]), mix)
    room.conversation.remove_voice(anna, voice)
    for _ in range(3):
        room.tick(silent=("bert",))
        frames, mix = room.take(feed), last(bot.leg)
    np.testing.assert_array_equal(samples(frames["anna"]), mix)
    feed.close()


async def test_six_may_want_everybody_apart(room: Room) -> None:
    names = ("bot", "anna", "bert", "carl", "dora", "emil")
    for name in names[3:]:
        room.join(name)
    feeds = {name: room.conversation.open_feed(room.members[name]) for name in names}
    for _ in range(3):
        room.tick()
        heard = {name: set(room.take(feed)) for name, feed in feeds.items()}
    assert heard == {name: set(names) - {name} for name in names}
    again = room.conversation.open_feed(room.members["bot"])
    room.tick()
    assert feeds["bot"].take() == []
    assert len(again.take()) == 5
    for feed in (*feeds.values(), again):
        feed.close()
        feed.close()


async def test_what_nobody_takes_in_time_is_dropped_and_counted(room: Room) -> None:
    feed = room.conversation.open_feed(room.members["bot"])
    for _ in range(10):
        room.tick()
    frames = feed.take()
    assert len(frames) == 6, "60 ms of each"
    assert feed.dropped_frames == 2 * 7
    feed.close()


async def test_a_whisper_is_heard_by_one_alone_and_leaves_with_it(room: Room) -> None:
    bot, anna, bert = room.members.values()
    leg = room.conversation.add_voice(bot, anna)
    heard = {}
    for _ in range(5):
        leg.source.write(np.full(FRAME_SAMPLES, 3000, np.int16))
        room.tick(silent=("bot", "anna", "bert"))
        heard = {name: int(last(member.leg)[-1]) for name, member in room.members.items()}
    assert heard["anna"] > 2900
    assert abs(heard["bert"]) < 2000, "at most the end of what was said before"
    assert room.conversation.listeners_of(bot) == [anna, bert]
    room.conversation.hold(bert, True)
    assert room.conversation.listeners_of(bot) == [anna]
    room.conversation.remove(anna)
    room.conversation.remove_voice(bot, leg, anna)
    del room.members["anna"]
    assert room.conversation.listeners_of(bot) == []
