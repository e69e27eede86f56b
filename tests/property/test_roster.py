"""Rosters: whoever applies the deltas it was sent has the full roster, however it came about."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mixminus.control.call_state import ResultInfo
from mixminus.control.graph.enums import ChangeType
from mixminus.control.graph.participants import (
    RosterChange,
    identity_set,
    roster_notification,
)
from mixminus.control.remote_roster import RemoteRoster
from mixminus.control.service.conversation import Conversation
from mixminus.control.service.member import Member
from mixminus.control.service.records.history import ConversationHistory
from mixminus.control.service.roster import RosterView
from tests.manual import ManualPlatform

Json = dict[str, Any]


class Follower:
    """A bot that keeps a map by participant id, as the documentation tells it to."""

    def __init__(self) -> None:
        self.held: dict[str, Json] = {}
        self.deltas: list[object] = []
        self.full: list[Json] = []
        self.last_number: int | None = None
        self.sharing: list[tuple[ChangeType, str]] = []

    def roster_changed(self, change: RosterChange) -> None:
        delta = roster_notification("call", change, is_delta=True).resource_data
        assert isinstance(delta, list)
        self.deltas.append(delta)
        self.apply(delta[0])
        full = roster_notification("call", change, is_delta=False).resource_data
        assert isinstance(full, list)
        self.full = full

    def sharing_changed(self, change: ChangeType, session_id: str) -> None:
        self.sharing.append((change, session_id))

    def apply(self, delta: Json) -> None:
        assert delta["@odata.type"] == "#microsoft.graph.deltaParticipants"
        # Who comes late has no number to go on from.
        is_next = self.last_number is None or delta["sequenceNumber"] == self.last_number + 1
        assert is_next, "a delta is missing"
        self.last_number = delta["sequenceNumber"]
        assert delta["participants"]
        for entry in delta["participants"]:
            held = self.held.get(entry["id"])
            assert held is None or entry["rosterSequenceNumber"] >= held["rosterSequenceNumber"]
            if "removedState" in entry:
                assert entry["removedState"]["reason"] == "Removed from roster"
                del self.held[entry["id"]]
            else:
                self.held[entry["id"]] = entry


def unnumbered(entries: list[Json]) -> list[Json]:
    return [{k: v for k, v in entry.items() if k != "rosterSequenceNumber"} for entry in entries]


def by_id(entries: list[Json]) -> list[Json]:
    return sorted(entries, key=lambda entry: str(entry["id"]))


rosters = st.dictionaries(st.sampled_from("abcdef"), st.booleans(), max_size=6)


@given(st.lists(rosters, max_size=12))
def test_replayed_changes_give_the_full_roster(history: list[dict[str, bool]]) -> None:
    view = RosterView()
    held: dict[str, Json] = {}
    number = 0
    for muted in history:
        roster = {name: {"id": name, "isMuted": muted[name]} for name in muted}
        change = view.update(roster)
        if change is not None:
            number += 1
            assert change.sequence_number == number
            for entry in change.changed:
                assert entry["rosterSequenceNumber"] == number
                if "removedState" in entry:
                    del held[entry["id"]]
                else:
                    held[entry["id"]] = entry
            assert by_id(list(change.participants)) == by_id(list(held.values()))
        assert by_id(unnumbered(list(held.values()))) == by_id(list(roster.values()))
        assert view.update(roster) is None


class RosterMachine(RuleBasedStateMachine):
    """Joins, leaves, mutes and the lobby, with followers of which some come late."""

    @initialize()
    def begin(self) -> None:
        self.platform = ManualPlatform()
        self.conversation = Conversation(
            self.platform,
            chain_id="chain",
            kind="meeting",
            tenant_id="tenant",
            meeting=None,
            history=ConversationHistory("chain", "meeting", "tenant", None),
        )
        self.followers: dict[str, Follower] = {}
        self.names = 0

    @rule(
        in_lobby=st.booleans(),
        hidden=st.sampled_from((False, False, True)),
        follows=st.booleans(),
    )
    def join(self, in_lobby: bool, hidden: bool, follows: bool) -> None:
        if len(self.conversation.members) == 6:
            return
        self.names += 1
        follower = Follower() if follows else None
        member = self.conversation.add(
            identity=identity_set("user", f"user {self.names}", None),
            kind="user",
            display_name=None,
            in_lobby=in_lobby,
            hidden=hidden,
            listener=follower,
        )
        if follower is not None:
            self.followers[member.participant_id] = follower

    @precondition(lambda self: self.conversation.members)
    @rule(data=st.data())
    def listen(self, data: st.DataObject) -> None:
        member = self.pick(data)
        if data.draw(st.booleans()):
            self.conversation.roster_of(member)
        self.followers[member.participant_id] = Follower()
        self.conversation.listen(member, self.followers[member.participant_id])

    @precondition(lambda self: self.conversation.members)
    @rule(data=st.data(), expelled=st.booleans())
    def leave(self, data: st.DataObject, expelled: bool) -> None:
        member = self.pick(data)
        self.followers.pop(member.participant_id, None)
        if expelled:
            self.conversation.expel(member, ResultInfo(200, 5300))
        else:
            self.conversation.remove(member)

    @precondition(lambda self: self.followers)
    @rule(data=st.data())
    def disorder(self, data: st.DataObject) -> None:
        """Deltas in any order and twice make the same of a bot host's mirror."""
        follower = data.draw(st.sampled_from(list(self.followers.values())))
        again = data.draw(st.lists(st.sampled_from(follower.deltas), max_size=4))
        mirror = RemoteRoster()
        for delta in data.draw(st.permutations(follower.deltas + again)):
            mirror = mirror.merge_notification(delta)
        assert mirror.participants == follower.held

    @precondition(lambda self: self.conversation.members)
    @rule(data=st.data(), muted=st.booleans(), by_service=st.booleans())
    def mute(self, data: st.DataObject, muted: bool, by_service: bool) -> None:
        member = self.pick(data)
        if by_service:
            self.conversation.set_muted(member, server=muted)
        else:
            self.conversation.set_muted(member, client=muted)

    @precondition(lambda self: self.conversation.members)
    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        self.conversation.admit(self.pick(data))

    @precondition(lambda self: self.conversation.members)
    @rule(data=st.data(), starts=st.booleans())
    def share(self, data: st.DataObject, starts: bool) -> None:
        member = self.pick(data)
        if not starts:
            self.conversation.stop_sharing(member)
        elif member.in_lobby:
            with pytest.raises(ValueError, match="lobby"):
                self.conversation.start_sharing(member)
        else:
            self.conversation.start_sharing(member)

    @rule()
    def gallery(self) -> None:
        if not self.conversation.has_gallery:
            self.conversation.add_gallery()

    def pick(self, data: st.DataObject) -> Member:
        return data.draw(st.sampled_from(list(self.conversation.members.values())))

    @invariant()
    def followers_hold_the_full_roster(self) -> None:
        for participant_id, follower in getattr(self, "followers", {}).items():
            member = self.conversation.members[participant_id]
            shown = self.conversation.roster_of(member)
            assert by_id(unnumbered(list(follower.held.values()))) == by_id(follower.full)
            held = {key: entry["rosterSequenceNumber"] for key, entry in follower.held.items()}
            assert held == {entry["id"]: entry["rosterSequenceNumber"] for entry in shown}
            self.check_visible(member, set(held))
            self.check_sharing(member, follower)

    def check_visible(self, member: Member, seen: set[str]) -> None:
        members = self.conversation.members.values()
        if member.in_lobby:
            assert seen == {member.participant_id}
            return
        visible = {one.participant_id for one in members if not one.hidden or one is member}
        assert visible <= seen
        assert len(seen - visible) == self.conversation.has_gallery

    def check_sharing(self, member: Member, follower: Follower) -> None:
        on: str | None = None
        for change, session_id in follower.sharing:
            if change is ChangeType.CREATED:
                assert on is None
                on = session_id
            else:
                assert on == session_id
                on = None if change is ChangeType.DELETED else on
        session = self.conversation.sharing
        assert on == (None if session is None or member.in_lobby else session.id)

    def teardown(self) -> None:
        if hasattr(self, "conversation"):
            asyncio.run(self.conversation.close())
            assert not self.conversation.members


TestRoster = RosterMachine.TestCase
TestRoster.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
