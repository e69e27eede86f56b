"""What is heard in a conversation: everyone says a tone of its own, and each ear is checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from mixminus.control.graph.participants import identity_set
from mixminus.control.graph.requests_group import RoutingGroup
from mixminus.control.service.conversation import Conversation
from mixminus.control.service.ivr.voice import LoopingVoice
from mixminus.control.service.member import Member
from mixminus.control.service.records.history import ConversationHistory
from mixminus.media.bridge import Leg
from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from tests.manual import ManualPlatform

NAMES = ("bot", "anna", "bert", "carl", "dora", "emil")
WINDOW_FRAMES = 25
SETTLE_FRAMES = 30
"""Enough for a gate that shuts 400 ms after the last sound, and a playout of a few frames."""
TONE_PEAK = 3000.0
MUSIC_HZ, VOICE_HZ = 2600.0, 3000.0

Heard = dict[str, set[str]]


def level_db(pcm: Pcm, hz: float) -> float:
    """Level of one tone against the level at which it was said."""
    time_s = np.arange(pcm.size) / SAMPLE_RATE_HZ
    amplitude = 2 * abs(np.mean(pcm * np.exp(-2j * np.pi * hz * time_s)))
    return float(20 * np.log10(max(amplitude, 1e-9) / TONE_PEAK))


@dataclass
class Ear:
    member: Member
    hz: float
    heard: list[Pcm] = field(default_factory=list)


@dataclass
class Room:
    platform: ManualPlatform
    conversation: Conversation
    ears: dict[str, Ear] = field(default_factory=dict)
    extra: dict[str, tuple[Leg, float]] = field(default_factory=dict)
    frame: int = 0

    def join(self, name: str, *, in_lobby: bool = False, in_default_mix: bool = True) -> Member:
        member = self.conversation.add(
            identity=identity_set("user", name, name),
            kind="user",
            display_name=name,
            in_lobby=in_lobby,
            in_default_mix=in_default_mix,
        )
        # Whole periods within the window: tones cannot be taken for one another.
        self.ears[name] = Ear(member, 400.0 + 200.0 * len(self.ears))
        return member

    def __getitem__(self, name: str) -> Member:
        return self.ears[name].member

    def run(self, frames: int) -> None:
        for _ in range(frames):
            for ear in self.ears.values():
                self.say(ear.member.leg, ear.hz)
            for leg, hz in self.extra.values():
                self.say(leg, hz)
            self.frame += 1
            self.platform.tick()
            for ear in self.ears.values():
                while (frame := ear.member.leg.render.read()) is not None:
                    ear.heard.append(frame)

    def say(self, leg: Leg, hz: float) -> None:
        first = self.frame * FRAME_SAMPLES
        time_s = np.arange(first, first + FRAME_SAMPLES) / SAMPLE_RATE_HZ
        leg.source.write(np.round(TONE_PEAK * np.sin(2 * np.pi * hz * time_s)).astype(np.int16))

    def listen(self) -> Heard:
        """Return whom each hears now, and see that the rest is silent (<= -60 dB)."""
        self.run(SETTLE_FRAMES)
        for ear in self.ears.values():
            ear.heard.clear()
        self.run(WINDOW_FRAMES)
        tones = {name: ear.hz for name, ear in self.ears.items()}
        tones |= {name: hz for name, (_, hz) in self.extra.items()} | {"music": MUSIC_HZ}
        heard: Heard = {}
        for name, ear in self.ears.items():
            if ear.member.participant_id not in self.conversation.members:
                continue
            pcm = np.concatenate(ear.heard)
            assert pcm.size == WINDOW_FRAMES * FRAME_SAMPLES
            levels = {other: level_db(pcm, hz) for other, hz in tones.items()}
            assert all(abs(level) < 1 or level < -60 for level in levels.values()), levels
            heard[name] = {other for other, level in levels.items() if level > -1}
        return heard


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    platform = ManualPlatform()
    conversation = Conversation(
        platform,
        chain_id="chain",
        kind="groupCall",
        tenant_id="tenant",
        meeting=None,
        history=ConversationHistory("chain", "groupCall", "tenant", None),
    )
    room = Room(platform, conversation)
    for name in NAMES:
        room.join(name)
    yield room
    await conversation.close()


def everyone() -> Heard:
    return {name: set(NAMES) - {name} for name in NAMES}


def without(heard: Heard, *silent: str) -> Heard:
    return {name: sources - set(silent) for name, sources in heard.items()}


def group(room: Room, mode: str, source: str, *receivers: str) -> RoutingGroup:
    ids = tuple(room[name].participant_id for name in receivers)
    return RoutingGroup("private", mode, (room[source].participant_id,), ids)


async def test_each_hears_all_others_and_never_itself(room: Room) -> None:
    assert room.listen() == everyone()


Change = Callable[[Room], object]
CHANGES: dict[str, tuple[Change, Change, Heard]] = {
    "muted by the service": (
        lambda room: room.conversation.set_muted(room["anna"], server=True),
        lambda room: room.conversation.set_muted(room["anna"], server=False),
        without(everyone(), "anna"),
    ),
    "muted by itself": (
        lambda room: room.conversation.set_muted(room["anna"], client=True),
        lambda room: room.conversation.set_muted(room["anna"], client=False),
        without(everyone(), "anna"),
    ),
    "on hold by itself": (
        lambda room: room.conversation.hold(room["anna"], True),
        lambda room: room.conversation.hold(room["anna"], False),
        without(everyone(), "anna") | {"anna": set()},
    ),
    "one to one": (
        lambda room: room.conversation.set_group(
            room["bot"], "private", group(room, "oneToOne", "bot", "anna")
        ),
        lambda room: room.conversation.remove_group(room["bot"], "private"),
        without(everyone(), "bot") | {"anna": everyone()["anna"]},
    ),
    "multicast": (
        lambda room: room.conversation.set_group(
            room["bot"], "private", group(room, "multicast", "carl", "anna", "bot")
        ),
        lambda room: room.conversation.remove_group(room["bot"], "private"),
        without(everyone(), "carl") | {"anna": everyone()["anna"], "bot": everyone()["bot"]},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_changes_exactly_that_and_comes_undone(room: Room, name: str) -> None:
    do, undo, expected = CHANGES[name]
    do(room)
    assert room.listen() == expected
    undo(room)
    assert room.listen() == everyone()


async def test_hold_music_is_heard_by_one_alone(room: Room) -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.round(TONE_PEAK * np.sin(2 * np.pi * MUSIC_HZ * time_s)).astype(np.int16)
    room.conversation.start_music(
        room["anna"], room["bot"], lambda leg: LoopingVoice(room.platform, leg, tone)
    )
    assert room.listen() == without(everyone(), "anna") | {"anna": {"music"}}
    room.conversation.stop_music(room["anna"])
    assert room.listen() == everyone()


async def test_the_lobby_is_silent_both_ways_until_admission(room: Room) -> None:
    guest = room.join("guest", in_lobby=True)
    assert room.listen() == everyone() | {"guest": set()}
    room.conversation.admit(guest)
    admitted = {*NAMES, "guest"}
    assert room.listen() == {name: admitted - {name} for name in admitted}


async def test_a_new_guest_in_the_lobby_has_heard_nothing_at_all(room: Room) -> None:
    room.run(10)
    guest = room.join("guest", in_lobby=True)
    room.run(10)
    assert not np.concatenate(room.ears["guest"].heard).any()
    assert guest.leg.render.depth_frames == 0


async def test_outside_the_default_mix_a_group_is_the_only_way(room: Room) -> None:
    whisperer = room.join("whisperer", in_default_mix=False)
    assert room.listen() == everyone() | {"whisperer": set()}
    to_anna = RoutingGroup(
        "to", "oneToOne", (whisperer.participant_id,), (room["anna"].participant_id,)
    )
    back = RoutingGroup(
        "back", "oneToOne", (room["anna"].participant_id,), (whisperer.participant_id,)
    )
    room.conversation.set_group(room["bot"], "to", to_anna)
    room.conversation.set_group(room["bot"], "back", back)
    expected = without(everyone(), "anna")
    expected["anna"] |= {"whisperer"}
    assert room.listen() == expected | {"whisperer": {"anna"}}


async def test_mute_hold_and_lobby_go_before_groups(room: Room) -> None:
    room.conversation.set_group(room["bot"], "g", group(room, "multicast", "bot", "anna", "bert"))
    room.conversation.set_muted(room["bot"], server=True)
    room.conversation.hold(room["bert"], True)
    silent = without(everyone(), "bot", "bert")
    assert room.listen() == silent | {"bert": set()}


async def test_an_extra_voice_is_heard_as_its_member_is_and_not_by_it(room: Room) -> None:
    voice = room.conversation.add_voice(room["bot"])
    room.extra["voice"] = (voice, VOICE_HZ)
    expected = {name: sources | {"voice"} for name, sources in everyone().items()}
    expected["bot"] = everyone()["bot"]
    assert room.listen() == expected
    room.conversation.set_muted(room["bot"], server=True)
    assert room.listen() == without(expected, "bot", "voice")
    room.conversation.set_muted(room["bot"], server=False)
    room.conversation.remove_voice(room["bot"], voice)
    room.conversation.remove_voice(room["bot"], voice)
    assert room.listen() == everyone()


async def test_who_leaves_is_heard_no_more_and_the_rest_goes_on(room: Room) -> None:
    room.conversation.set_muted(room["dora"], server=True)
    room.conversation.remove(room["anna"])
    left = without(everyone(), "anna", "dora")
    del left["anna"]
    assert room.listen() == left
    room.conversation.set_muted(room["dora"], server=False)
    left = without(everyone(), "anna")
    del left["anna"]
    assert room.listen() == left
