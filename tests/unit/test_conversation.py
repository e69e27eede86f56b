"""A conversation: who is in it, what its parties and its history are told, and its end."""

from __future__ import annotations

from typing import Any

import pytest

from mixminus.control.call_state import ResultInfo
from mixminus.control.graph.enums import ChangeType
from mixminus.control.graph.participants import RosterChange, identity_set
from mixminus.control.graph.requests_group import RoutingGroup
from mixminus.control.service.conversation import Conversation
from mixminus.control.service.member import Member
from mixminus.control.service.records.history import ConversationHistory
from tests.manual import ManualPlatform

REMOVED = ResultInfo(200, 5300, "removed")


class Listener:
    def __init__(self) -> None:
        self.rosters: list[RosterChange] = []
        self.sharing: list[tuple[str, str]] = []

    def roster_changed(self, change: RosterChange) -> None:
        self.rosters.append(change)

    def sharing_changed(self, change: ChangeType, session_id: str) -> None:
        self.sharing.append((change.value, session_id))


class Silence:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def converse(kind: str = "groupCall") -> Conversation:
    return Conversation(
        ManualPlatform(),
        chain_id="chain",
        kind=kind,
        tenant_id="tenant",
        meeting=None,
        history=ConversationHistory("chain", kind, "tenant", None),
    )


def join(conversation: Conversation, name: str, **how: Any) -> Member:
    return conversation.add(
        identity=identity_set("user", name, name.title()), kind="user", display_name=name, **how
    )


async def test_members_are_found_by_id_and_identity() -> None:
    conversation = converse()
    anna, bert = join(conversation, "anna"), join(conversation, "bert", participant_id="p2")
    assert list(conversation.members.values()) == [anna, bert]
    assert conversation.members["p2"] is bert
    assert (anna.source_id, bert.source_id) == (1, 2)
    assert conversation.has_identity("user", "anna")
    assert not conversation.has_identity("guest", "anna")
    with pytest.raises(ValueError, match="p2"):
        join(conversation, "carl", participant_id="p2")
    assert len(conversation.members) == 2
    await conversation.close()


async def test_an_entry_has_all_documented_members() -> None:
    conversation = converse()
    anna = join(conversation, "anna", meeting_role="organizer")
    (entry,) = conversation.roster_of(anna)
    assert entry == {
        "@odata.type": "#microsoft.graph.participant",
        "id": anna.participant_id,
        "info": {
            "@odata.type": "#microsoft.graph.participantInfo",
            "identity": identity_set("user", "anna", "Anna"),
            "countryCode": None,
            "endpointType": None,
            "region": None,
            "languageId": None,
            "participantId": anna.participant_id,
        },
        "mediaStreams": [
            {
                "@odata.type": "#microsoft.graph.mediaStream",
                "mediaType": "audio",
                "label": "main-audio",
                "sourceId": "1",
                "direction": "sendReceive",
                "serverMuted": False,
            }
        ],
        "isMuted": False,
        "isInLobby": False,
        "meetingRole": "organizer",
        "publishedStates": [],
        "metadata": None,
        "recordingInfo": None,
        "removedState": None,
        "restrictedExperience": None,
        "rosterSequenceNumber": 1,
    }
    await conversation.close()


async def test_in_the_lobby_one_sees_oneself_until_admitted() -> None:
    conversation, told = converse("meeting"), Listener()
    join(conversation, "anna")
    guest = join(conversation, "guest", in_lobby=True, listener=told)
    hooks: list[tuple[str, bool]] = []
    guest.on_told = lambda what, is_on: hooks.append((what, is_on))
    join(conversation, "bert")
    (change,) = told.rosters
    assert [entry["id"] for entry in change.participants] == [guest.participant_id]
    assert change.participants[0]["isInLobby"]
    conversation.admit(guest)
    conversation.admit(guest)
    assert hooks == [("admitted", True)]
    assert len(told.rosters[1].participants) == 3
    assert len(told.rosters) == 2
    assert told.rosters[1].sequence_number == 2
    await conversation.close()


async def test_muting_shows_at_the_participant_and_at_its_stream() -> None:
    conversation, told = converse(), Listener()
    anna = join(conversation, "anna", listener=told)
    hooks: list[tuple[str, bool]] = []
    anna.on_told = lambda what, is_on: hooks.append((what, is_on))
    conversation.set_muted(anna, client=True)
    assert told.rosters[-1].changed[0]["isMuted"]
    assert not told.rosters[-1].changed[0]["mediaStreams"][0]["serverMuted"]
    assert hooks == []
    conversation.set_muted(anna, server=True)
    conversation.set_muted(anna, server=True)
    assert told.rosters[-1].changed[0]["mediaStreams"][0]["serverMuted"]
    assert len(told.rosters) == 3
    conversation.set_muted(anna, client=False, server=False)
    assert not told.rosters[-1].changed[0]["isMuted"]
    assert hooks == [("muted", True)]
    await conversation.close()


async def test_several_changes_within_one_are_told_as_one() -> None:
    conversation, told = converse(), Listener()
    anna = join(conversation, "anna", listener=told)
    bert = join(conversation, "bert")
    with conversation.changing():
        conversation.set_muted(anna, server=True)
        conversation.set_muted(bert, server=True)
    assert len(told.rosters) == 3
    assert len(told.rosters[-1].changed) == 2
    await conversation.close()


async def test_a_call_of_two_tells_no_roster_but_has_one() -> None:
    conversation, told = converse("peerToPeer"), Listener()
    bot = join(conversation, "bot", listener=told)
    anna = join(conversation, "anna")
    conversation.start_sharing(anna)
    assert told.rosters == []
    assert [entry["id"] for entry in conversation.roster_of(bot)] == [
        bot.participant_id,
        anna.participant_id,
    ]
    assert [change for change, _ in told.sharing] == ["created"]
    await conversation.close()


async def test_who_hides_is_seen_by_itself_alone() -> None:
    conversation, told = converse(), Listener()
    anna = join(conversation, "anna", listener=told)
    spy = join(conversation, "spy", hidden=True)
    assert len(told.rosters) == 1
    assert len(conversation.roster_of(anna)) == 1
    assert len(conversation.roster_of(spy)) == 2
    await conversation.close()


async def test_who_hides_later_goes_from_all_other_rosters() -> None:
    conversation, told = converse(), Listener()
    anna, bot = join(conversation, "anna", listener=told), join(conversation, "bot")
    conversation.hide(bot)
    assert "removedState" in told.rosters[-1].changed[0]
    assert [entry["id"] for entry in conversation.roster_of(anna)] == [anna.participant_id]
    assert len(conversation.roster_of(bot)) == 2
    await conversation.close()


async def test_who_has_left_is_told_and_shown_nothing() -> None:
    conversation, told = converse(), Listener()
    join(conversation, "anna")
    bert = join(conversation, "bert")
    conversation.remove(bert)
    conversation.listen(bert, told)
    conversation.set_muted(bert, server=True)
    assert conversation.roster_of(bert) == ()
    with pytest.raises(ValueError, match="left"):
        conversation.start_sharing(bert)
    assert told.rosters == []
    await conversation.close()


async def test_expelling_ends_it_here_before_its_party_knows() -> None:
    conversation, told = converse(), Listener()
    join(conversation, "anna", listener=told)
    bert = join(conversation, "bert")
    seen: list[tuple[ResultInfo, bool]] = []

    def gone(result: ResultInfo) -> None:
        seen.append((result, bert.participant_id in conversation.members))
        conversation.remove(bert, result=result, transport={"packets": 7})

    bert.on_removed = gone
    conversation.expel(bert, REMOVED)
    assert seen == [(REMOVED, False)]
    assert told.rosters[-1].changed[0]["removedState"]["reason"] == "Removed from roster"
    conversation.remove(bert)
    stays = conversation.history.stays
    assert [stay.identity["user"]["id"] for stay in stays] == ["anna", "bert"]
    assert stays[1].result == REMOVED
    assert stays[1].transport == {"packets": 7}
    assert stays[1].leg is not None
    await conversation.close()


async def test_expelling_one_without_a_party_is_all_there_is_to_do() -> None:
    conversation = converse()
    anna = join(conversation, "anna")
    conversation.expel(anna, REMOVED)
    assert conversation.history.stays[0].result == REMOVED
    assert not conversation.members
    await conversation.close()


@pytest.mark.parametrize("leaver", ["anna", "bot"])
async def test_hold_music_ends_with_either_of_the_two(leaver: str) -> None:
    conversation, music = converse(), Silence()
    members = {name: join(conversation, name) for name in ("bot", "anna")}
    anna = members["anna"]
    conversation.start_music(anna, members["bot"], lambda leg: music)
    holds = [(anna.is_on_hold, conversation.has_music)]
    with pytest.raises(RuntimeError, match="on hold"):
        conversation.start_music(anna, members["bot"], lambda leg: music)
    conversation.remove(members[leaver])
    assert music.closed == 1
    holds.append((anna.is_on_hold, conversation.has_music))
    assert holds == [(True, True), (False, False)]
    assert not conversation.stop_music(anna)
    await conversation.close()


async def test_own_hold_outlasts_hold_music() -> None:
    conversation, music = converse(), Silence()
    bot, anna = join(conversation, "bot"), join(conversation, "anna")
    hooks: list[tuple[str, bool]] = []
    anna.on_told = lambda what, is_on: hooks.append((what, is_on))
    conversation.hold(anna, True)
    conversation.start_music(anna, bot, lambda leg: music)
    assert conversation.stop_music(anna)
    holds = [anna.is_on_hold]
    conversation.hold(anna, False)
    holds.append(anna.is_on_hold)
    assert holds == [True, False]
    assert hooks == [("held", True), ("held", False)]
    await conversation.close()


async def test_groups_belong_to_who_made_them_and_go_with_it() -> None:
    conversation = converse()
    bot, other = join(conversation, "bot"), join(conversation, "other")
    group = RoutingGroup("one", "oneToOne", (bot.participant_id,), (other.participant_id,))
    conversation.set_group(bot, "one", group)
    conversation.set_group(other, "one", group)
    assert conversation.groups_of(bot) == {"one": group}
    assert conversation.remove_group(bot, "one")
    assert not conversation.remove_group(bot, "one")
    assert conversation.groups_of(other) == {"one": group}
    conversation.remove(other)
    assert conversation.groups_of(other) == {}
    await conversation.close()


async def test_a_second_presenter_takes_the_session_over() -> None:
    conversation, told = converse(), Listener()
    anna = join(conversation, "anna", listener=told)
    bert = join(conversation, "bert")
    session = conversation.start_sharing(anna)
    assert len(session.id) == 64
    assert session.id == session.id.upper()
    int(session.id, 16)
    assert conversation.start_sharing(anna) == session
    assert conversation.update_sharing(anna)
    taken = conversation.start_sharing(bert)
    assert taken.id == session.id
    assert not conversation.update_sharing(anna)
    assert not conversation.stop_sharing(anna)
    directions = {
        entry["id"]: entry["mediaStreams"][1]["direction"] for entry in conversation.roster_of(anna)
    }
    assert directions == {anna.participant_id: "receiveOnly", bert.participant_id: "sendOnly"}
    conversation.remove(bert)
    assert conversation.sharing is None
    assert [change for change, _ in told.sharing] == ["created", "updated", "updated", "deleted"]
    assert {session_id for _, session_id in told.sharing} == {session.id}
    await conversation.close()


async def test_who_comes_later_is_told_of_what_is_shared() -> None:
    conversation, late = converse("meeting"), Listener()
    anna = join(conversation, "anna")
    session = conversation.start_sharing(anna)
    guest = join(conversation, "guest", in_lobby=True, listener=late)
    assert late.sharing == []
    with pytest.raises(ValueError, match="lobby"):
        conversation.start_sharing(guest)
    conversation.admit(guest)
    assert late.sharing == [("created", session.id)]
    await conversation.close()


async def test_a_large_gallery_is_a_hidden_participant_of_its_own() -> None:
    conversation, told = converse(), Listener()
    anna = join(conversation, "anna", listener=told)
    entry = conversation.add_gallery()
    assert conversation.has_gallery
    shown = conversation.roster_of(anna)[1]
    application = shown["info"]["identity"]["application"]
    assert application["ApplicationType"] == "LargeGallery-V2"
    assert [stream["direction"] for stream in shown["mediaStreams"]] == [
        "receiveOnly",
        "sendReceive",
    ]
    assert '"ui":{"hidden":true}' in shown["metadata"]
    assert conversation.remove_gallery(entry["id"])
    assert not conversation.remove_gallery(entry["id"])
    assert "removedState" in told.rosters[-1].changed[0]
    await conversation.close()


async def test_recording_shows_who_records() -> None:
    conversation = converse()
    anna, bot = join(conversation, "anna"), join(conversation, "bot")
    conversation.set_recording(anna, "recording", bot.identity)
    info = conversation.roster_of(bot)[0]["recordingInfo"]
    assert info["recordingStatus"] == "recording"
    assert info["initiator"] == bot.identity
    assert info["initiatedBy"]["identity"] == bot.identity
    await conversation.close()


async def test_closing_ends_history_music_and_stays_with_it() -> None:
    conversation, music = converse(), Silence()
    told = Listener()
    bot, anna = join(conversation, "bot", listener=told), join(conversation, "anna")
    conversation.start_music(anna, bot, lambda leg: music)
    heard = len(told.rosters)
    await conversation.close()
    await conversation.close()
    assert music.closed == 1
    assert conversation.is_closed
    assert conversation.history.is_over
    assert all(stay.leg is not None for stay in conversation.history.stays)
    assert len(told.rosters) == heard
    conversation.remove(anna)
    with pytest.raises(RuntimeError, match="closed"):
        join(conversation, "late")
