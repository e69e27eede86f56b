"""What a bot host knows of a call, an operation, a roster: told twice, in any order, or not at all.

Two properties carry the rest. Without loss, what is known is true, or the host knows that it may
not be. And whatever was lost, a GET makes it true.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.enums import CallState, MediaState
from mixminus.control.graph.notifications import Notification
from mixminus.control.remote_roster import RemoteRoster
from mixminus.control.remote_state import (
    CallMirror,
    RemoteCall,
    RemoteOperation,
    RemoteSharing,
    RemoteTones,
    merge_remote,
)

Json = dict[str, Any]
START = RemoteCall("id", CallState.INCOMING)


@st.composite
def disorders(draw: st.DrawFn, items: list[Any], *, loses: bool = False) -> list[Any]:
    """*items* in any order, some twice; with *loses* some not at all."""
    kept = [item for item in items if not loses or draw(st.booleans())]
    twice = [item for item in kept if draw(st.booleans())]
    mixed = [*kept, *twice]
    random.Random(draw(st.integers(0, 2**32))).shuffle(mixed)
    return mixed


# The call. A life as the service tells it: the words in their order, and how it stands at the end.

STATES_UP = ["establishing", "ringing", "established"]


@st.composite
def lives(draw: st.DrawFn, *, returns: bool) -> list[Json]:
    """A call's notifications; *returns* says whether it goes on hold and is transferred in vain."""
    states = STATES_UP[: draw(st.integers(1, 3))]
    words: list[Json] = [{"id": "id", "state": state, "tenantId": "t"} for state in states]
    if states[-1] == "established":
        words.append({"id": "id", "mediaState": {"audio": "active"}})
        if returns:
            there = st.sampled_from(["hold", "transferring", "transferAccepted", "established"])
            words += [{"id": "id", "state": state} for state in draw(st.lists(there, max_size=4))]
            if draw(st.booleans()):
                words.append({"id": "id", "mediaState": {"audio": "inactive"}})
    if draw(st.booleans()):
        result = {"code": 200, "subcode": draw(st.sampled_from([4521, 7000])), "message": "m"}
        words.append({"id": "id", "state": "terminating"})
        words.append({"id": "id", "state": "terminated", "resultInfo": result})
    return words


def heard(words: list[Json], start: RemoteCall = START) -> RemoteCall:
    return reduce(merge_remote, words, start)


def resource(words: list[Json]) -> Json:
    """What a GET answers after all *words*."""
    shown: Json = {"subject": None, "callRoutes": []}
    for word in words:
        shown |= word
    return shown


def visible(call: RemoteCall) -> RemoteCall:
    return replace(call, is_contradicted=False)


@given(st.data())
def test_a_call_that_only_goes_forward_is_known_in_any_order(data: st.DataObject) -> None:
    words = data.draw(lives(returns=False))
    told = heard(data.draw(disorders(words)))
    assert told == heard(words)
    assert not told.needs_get


@given(st.data())
def test_without_loss_a_call_is_right_or_known_to_be_in_doubt(data: st.DataObject) -> None:
    words = data.draw(lives(returns=True))
    told, true = heard(data.draw(disorders(words))), heard(words)
    assert told.needs_get or visible(told) == visible(true)
    assert told.stage == true.stage


@given(st.data())
def test_whatever_was_lost_of_a_call_a_get_brings_back(data: st.DataObject) -> None:
    words = data.draw(lives(returns=True))
    told, true = heard(data.draw(disorders(words, loses=True))), heard(words)
    assert told.stage <= true.stage
    if not true.is_over:  # Of a call that is over a GET says 404, and the host ends it.
        told = merge_remote(told, resource(words), is_latest=True)
        assert (told.state, told.audio) == (true.state, true.audio)
        assert true.details.items() <= told.details.items()
        assert not told.needs_get


@given(st.data())
def test_a_call_never_goes_back(data: st.DataObject) -> None:
    call = START
    for word in data.draw(disorders(data.draw(lives(returns=True)))):
        after = merge_remote(call, word)
        assert after.stage >= call.stage
        assert merge_remote(after, word).stage == after.stage
        call = after


@given(st.data())
def test_the_result_of_the_later_state_holds(data: st.DataObject) -> None:
    failed = {"state": "established", "resultInfo": {"code": 500, "subcode": 7000}}
    words = [*data.draw(lives(returns=False)), failed]
    assert heard(data.draw(disorders(words))).result == heard(words).result


# The roster.


class Meeting:
    """A service's roster: people come, change and leave, and each change is numbered."""

    def __init__(self) -> None:
        self.number = 0
        self.people: dict[str, Json] = {}
        self.deltas: list[Json] = []
        self.rosters: list[list[Json]] = []

    def change(self, name: str, what: str) -> None:
        self.number += 1
        if what == "leave" and name in self.people:
            gone = {**self.people.pop(name), "removedState": {"reason": "Removed from roster"}}
            self.tell([gone | {"rosterSequenceNumber": self.number}])
            return
        streams = [{"mediaType": "audio", "sourceId": str(len(name) + 200)}]
        person = {
            "@odata.type": "#microsoft.graph.participant",
            "id": name,
            "isMuted": what == "mute",
            "mediaStreams": streams,
            "rosterSequenceNumber": self.number,
        }
        self.people[name] = person
        self.tell(list(self.people.values()) if self.number == 1 else [person])

    def tell(self, changed: list[Json]) -> None:
        delta = {
            "@odata.type": "#microsoft.graph.deltaParticipants",
            "participants": changed,
            "sequenceNumber": self.number,
        }
        self.deltas.append(delta)
        self.rosters.append(list(self.people.values()))


@st.composite
def meetings(draw: st.DrawFn) -> Meeting:
    meeting = Meeting()
    whats = st.sampled_from(["join", "mute", "leave"])
    for name in draw(st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), min_size=1, max_size=9)):
        # Who is not there can only come in.
        meeting.change(name, draw(whats) if name in meeting.people else "join")
    return meeting


def roster_of(deltas: list[Json], start: RemoteRoster | None = None) -> RemoteRoster:
    start = start or RemoteRoster()
    return reduce(lambda roster, delta: roster.merge_notification([delta]), deltas, start)


def same(roster: RemoteRoster, meeting: Meeting) -> bool:
    return roster.participants == meeting.people


@given(st.data())
def test_deltas_make_the_same_roster_in_any_order(data: st.DataObject) -> None:
    meeting = data.draw(meetings())
    roster = roster_of(data.draw(disorders(meeting.deltas)))
    assert same(roster, meeting)
    assert not roster.needs_get


@given(st.data())
def test_a_lost_delta_is_noticed_by_the_next(data: st.DataObject) -> None:
    meeting = data.draw(meetings())
    *earlier, last = meeting.deltas
    told = data.draw(disorders(earlier, loses=True))
    # The last one always comes: with it every hole is one.
    roster = roster_of(data.draw(st.permutations([*told, last])))
    assert roster.needs_get or same(roster, meeting)


@given(st.data())
def test_a_get_heals_a_roster_and_stale_words_do_not_hurt_it(data: st.DataObject) -> None:
    meeting = data.draw(meetings())
    told = data.draw(disorders(meeting.deltas, loses=True))
    roster = roster_of(told).merge_get(list(meeting.people.values()), is_latest=True)
    assert same(roster, meeting)
    assert not roster.needs_get
    late = roster_of(data.draw(disorders(meeting.deltas, loses=True)), roster)
    # A GET does not say which changes it has seen. One that comes late may be taken for news; the
    # next, here the last, puts it right or shows the hole.
    late = roster_of(meeting.deltas[-1:], late)
    assert late.needs_get or same(late, meeting)
    assert same(roster_of(data.draw(disorders(told)), roster), meeting)


@given(st.data())
def test_a_get_between_notifications_leaves_the_roster_right_or_in_doubt(
    data: st.DataObject,
) -> None:
    meeting = data.draw(meetings())
    told = data.draw(disorders(meeting.deltas))
    when = data.draw(st.integers(0, len(told)))
    number = data.draw(st.integers(0, len(meeting.rosters) - 1))
    roster = roster_of(told[:when]).merge_get(meeting.rosters[number], is_latest=False)
    roster = roster_of(told[when:], roster)
    # A GET that raced may show who has left since: their leaving was told, or is to come.
    assert roster.needs_get or same(roster, meeting)


@given(st.data())
def test_full_rosters_are_right_or_in_doubt(data: st.DataObject) -> None:
    meeting = data.draw(meetings())
    told = data.draw(disorders(meeting.rosters))
    roster = reduce(lambda r, full: r.merge_notification(full), told, RemoteRoster())
    assert roster.needs_get or same(roster, meeting)
    healed = roster.merge_get(meeting.rosters[-1], is_latest=True)
    assert same(healed, meeting)
    assert not healed.needs_get


def test_the_first_full_roster_is_believed() -> None:
    meeting = Meeting()
    meeting.change("a", "join")
    roster = RemoteRoster().merge_notification(meeting.rosters[0])
    assert not roster.needs_get
    assert roster.by_source(201) == roster.by_source("201") == meeting.people["a"]
    assert roster.by_source("9") is None


# Operations, tones, content sharing.

WORDS: list[Json] = [
    {"id": "op", "status": "notStarted", "clientContext": "c"},
    {"id": "OP", "status": "Running", "clientContext": "c", "completionReason": None},
    {"id": "op", "status": "completed", "resultInfo": {"code": 200}, "completionReason": "done"},
]


@given(st.data(), st.sampled_from(["completed", "failed"]))
def test_an_operation_ends_the_same_in_any_order(data: st.DataObject, end: str) -> None:
    words = [*WORDS[:2], WORDS[2] | {"status": end}]

    def told(order: list[Json]) -> RemoteOperation:
        return reduce(lambda op, word: op.merge(word), order, RemoteOperation("op"))

    operation = told(data.draw(disorders(words)))
    assert operation == told(words)
    assert operation.is_final
    assert operation.data["status"] == end
    assert operation.data["clientContext"] == "c"
    # Lost, and asked for.
    assert told([*data.draw(disorders(words, loses=True)), words[-1]]).is_final


@given(st.lists(st.integers(1, 40)), st.randoms())
def test_each_tone_is_heard_once(numbers: list[int], shuffler: random.Random) -> None:
    tones, heard_numbers = RemoteTones(), []
    words = [{"sequenceId": number, "tone": "tone1"} for number in [*numbers, *numbers]]
    shuffler.shuffle(words)
    for word in words:
        tones, new = tones.merge(word)
        if new is not None:
            heard_numbers.append(new["sequenceId"])
    assert sorted(heard_numbers) == sorted(set(numbers))


@given(st.data())
def test_a_content_sharing_session_that_ended_stays_ended(data: st.DataObject) -> None:
    words = [
        (change, [{"id": name}])
        for name in ("A", "B", "C")
        for change in ("created", "updated", "deleted")
        if (name, change) != ("C", "deleted")
    ]
    sharing = RemoteSharing()
    for change, session in data.draw(disorders(words)):
        sharing = sharing.merge(change, session)
    assert list(sharing.sessions) == ["C"]


# Anything at all.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda c: (
        st.lists(c, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "state",
                    "mediaState",
                    "audio",
                    "resultInfo",
                    "code",
                    "toneInfo",
                    "tone",
                    "sequenceId",
                    "participants",
                    "sequenceNumber",
                    "rosterSequenceNumber",
                    "removedState",
                    "mediaStreams",
                    "status",
                ]
            ),
            c,
        )
    ),
)
PATHS = st.sampled_from(
    [
        ("id",),
        ("id", "participants"),
        ("id", "operations"),
        ("id", "operations", "op"),
        ("id", "contentsharingsessions"),
        ("id", "else"),
    ]
)


@given(st.lists(st.tuples(PATHS, JSON), max_size=6))
def test_any_json_is_taken_without_an_error(items: list[tuple[tuple[str, ...], Any]]) -> None:
    mirror = CallMirror(START)
    for path, value in items:
        data: Any = value if isinstance(value, dict | list) else {"state": value, "code": value}
        mirror = mirror.apply(Notification("updated", path, data))
        assert isinstance(mirror.roster.participants, Mapping)
        assert mirror.roster.by_source("1") is None or mirror.roster.participants
        assert mirror.needs_get in (True, False)


def test_texts_for_numbers_and_the_other_spelling_are_read() -> None:
    data = {"resultInfo": {"code": "200", "subCode": "4521", "message": 7}}
    result = merge_remote(START, data).result
    assert result is not None
    assert (result.code, result.subcode, result.message) == (200, 4521, "")
    assert merge_remote(START, {"mediaState": {"audio": "active"}}).audio is MediaState.ACTIVE
