"""Routing: whatever the flags and groups are, these hold for who hears whom."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.service.routing import routes

IDS = ("a", "b", "c", "d", "e")


@dataclass(frozen=True)
class Party:
    participant_id: str
    in_lobby: bool = False
    is_muted: bool = False
    is_on_hold: bool = False
    in_default_mix: bool = True

    @property
    def is_away(self) -> bool:
        return self.in_lobby or self.is_on_hold


@dataclass(frozen=True)
class Group:
    sources: tuple[str, ...] | None
    receivers: tuple[str, ...] | None


rarely = st.sampled_from((False, False, False, True))
usually = st.sampled_from((True, True, True, False))
parties = st.builds(Party, st.sampled_from(IDS), rarely, rarely, rarely, usually)
conversations = st.lists(parties, max_size=5, unique_by=lambda party: party.participant_id)
names = st.lists(st.sampled_from((*IDS, "gone")), max_size=3).map(tuple)
groups = st.lists(st.builds(Group, names, names), max_size=3)


@given(conversations, groups)
def test_nobody_hears_itself_or_who_is_not_there(
    members: list[Party], private: list[Group]
) -> None:
    heard = routes(members, private)
    present = [member.participant_id for member in members]
    assert list(heard) == present
    for listener, sources in heard.items():
        assert listener not in sources
        assert len(set(sources)) == len(sources)
        assert set(sources) <= set(present)


@given(conversations, groups)
def test_lobby_hold_and_mute_hold_whatever_the_groups_say(
    members: list[Party], private: list[Group]
) -> None:
    heard = routes(members, private)
    audible = {name for sources in heard.values() for name in sources}
    for member in members:
        if member.is_away:
            assert heard[member.participant_id] == []
        if member.is_away or member.is_muted:
            assert member.participant_id not in audible


@given(conversations, groups)
def test_a_source_of_groups_is_heard_by_their_receivers_alone(
    members: list[Party], private: list[Group]
) -> None:
    heard = routes(members, private)
    by_id = {member.participant_id: member for member in members}
    for name, member in by_id.items():
        own = [group for group in private if name in (group.sources or ())]
        if not own:
            continue
        receivers = {receiver for group in own for receiver in group.receivers or ()}
        hearing = {listener for listener, sources in heard.items() if name in sources}
        can_be_heard = not (member.is_away or member.is_muted)
        wanted = {one for one in receivers & set(by_id) - {name} if not by_id[one].is_away}
        assert hearing == (wanted if can_be_heard else set())


@given(conversations)
def test_without_groups_the_default_mix_is_among_those_in_it(members: list[Party]) -> None:
    heard = routes(members, [])
    for listener in members:
        for speaker in members:
            is_heard = (
                listener is not speaker
                and not listener.is_away
                and not speaker.is_away
                and not speaker.is_muted
                and listener.in_default_mix
                and speaker.in_default_mix
            )
            assert (speaker.participant_id in heard[listener.participant_id]) == is_heard


@given(conversations, st.data())
def test_a_group_changes_its_source_alone(members: list[Party], data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(IDS))
    receivers = data.draw(names)
    before = routes(members, [])
    after = routes(members, [Group((source,), receivers)])
    for listener in before:
        others_before = [name for name in before[listener] if name != source]
        assert [name for name in after[listener] if name != source] == others_before


def test_receivers_go_on_hearing_the_default_mix() -> None:
    members = [Party(name) for name in "abc"]
    heard = routes(members, [Group(("a",), ("b",))])
    assert heard == {"a": ["b", "c"], "b": ["c", "a"], "c": ["b"]}


def test_outside_the_default_mix_one_hears_groups_alone() -> None:
    members = [Party("a"), Party("b", in_default_mix=False), Party("c")]
    assert routes(members, [])["b"] == []
    heard = routes(members, [Group(("a",), ("b",)), Group(("b",), ("c",))])
    assert heard == {"a": ["c"], "b": ["a"], "c": ["b"]}
