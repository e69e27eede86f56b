"""Whatever happens, in whatever order: the call is in a legal state, and says so in order."""

from __future__ import annotations

from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mixminus.control import call_state as cs
from mixminus.control.graph.enums import CallState, ChangeType, MediaState

EVENTS: st.SearchStrategy[cs.Event] = st.one_of(
    st.builds(cs.LinkConnected),
    st.builds(cs.LinkFailed, st.just("why")),
    st.builds(cs.LinkLost, st.just("why")),
    st.builds(cs.Answered, st.just("john"), st.integers(1, 3)),
    st.builds(cs.AnswerFailed, st.integers(1, 3)),
    st.builds(cs.CallerAccepted),
    st.builds(cs.CallerFailed, st.just("why")),
    st.builds(cs.MediaFlows),
    st.builds(cs.Declined),
    st.builds(cs.RingTimedOut, st.booleans()),
    st.builds(cs.CallerLeft),
    st.builds(cs.BotHungUp),
    st.builds(cs.KeepAliveMissed),
    st.builds(cs.ServiceStopped),
    st.builds(cs.InternalFailure),
    st.builds(cs.TornDown),
)
STATES = [
    CallState.ESTABLISHING,
    CallState.ESTABLISHED,
    CallState.TERMINATING,
    CallState.TERMINATED,
]


@given(st.lists(EVENTS, max_size=30))
def test_any_events_keep_the_call_legal(events: list[cs.Event]) -> None:
    call, effects = cs.Call.create("id")
    told = [effect for effect in effects if isinstance(effect, cs.Notify)]
    teardowns = 0
    for event in events:
        before = call
        call, effects = call.apply(event)
        assert call.rank >= before.rank
        assert call.state in STATES
        assert (call == before) <= (effects == ())
        assert (call.setup is cs.Setup.DONE) >= (call.state is CallState.ESTABLISHED)
        assert (call.result is not None) == (call.rank >= cs.RANKS[CallState.TERMINATING])
        assert (call.device is None) == (call.setup in (cs.Setup.LINK, cs.Setup.ANSWER))
        told += [effect for effect in effects if isinstance(effect, cs.Notify)]
        teardowns += sum(isinstance(effect, cs.TearDown) for effect in effects)
    states = [STATES.index(CallState(notify.resource_data["state"])) for notify in told]
    assert states == sorted(states)
    deleted = [notify.change_type is ChangeType.DELETED for notify in told]
    assert deleted == [state == len(STATES) - 1 for state in states]
    assert sum(deleted) == call.is_over
    assert teardowns == (call.rank >= cs.RANKS[CallState.TERMINATING])


@given(st.lists(EVENTS, max_size=30), st.data())
def test_repeated_event_changes_nothing_more(events: list[cs.Event], data: st.DataObject) -> None:
    call, _ = cs.Call.create("id")
    for event in events:
        call, _ = call.apply(event)
        # Only a second device's answer, or a second refusal of it, may mean something again.
        if not isinstance(event, cs.Answered | cs.AnswerFailed | cs.TornDown):
            assert call.apply(event) == (call, ())


RESULTS = st.none() | st.builds(
    lambda code, subcode: {"code": code, "subcode": subcode, "message": "m"},
    st.sampled_from([200, 500, 603]),
    st.sampled_from([0, 4521, 7000]),
)
RANKED = ["incoming", "establishing", "ringing", "established", "terminating", "terminated"]


def notification(state: str | None, audio: str | None, result: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"id": "id"}
    if state is not None:
        data["state"] = state
    if audio is not None:
        data["mediaState"] = {"audio": audio}
    if result is not None:
        data["resultInfo"] = result
    return data


NOTIFICATIONS = st.lists(
    st.builds(
        notification,
        st.none() | st.sampled_from(RANKED),
        st.none() | st.sampled_from(["active", "inactive"]),
        RESULTS,
    ),
    max_size=8,
)


@given(NOTIFICATIONS, st.data())
def test_remote_call_does_not_depend_on_order_or_repetition(
    notifications: list[dict[str, Any]], data: st.DataObject
) -> None:
    start = cs.Call("id", CallState.INCOMING)
    expected = reduce(cs.merge_remote, notifications, start)
    shuffled = data.draw(st.permutations(notifications))
    repeats = data.draw(st.lists(st.sampled_from(shuffled), max_size=4)) if shuffled else []
    assert reduce(cs.merge_remote, [*shuffled, *repeats], start) == expected


@given(NOTIFICATIONS, st.data())
def test_lost_notifications_leave_a_remote_call_no_further_than_all_do(
    notifications: list[dict[str, Any]], data: st.DataObject
) -> None:
    start = cs.Call("id", CallState.INCOMING)
    kept = [item for item in notifications if data.draw(st.booleans())]
    some = reduce(cs.merge_remote, kept, start)
    every = reduce(cs.merge_remote, notifications, start)
    assert some.rank <= every.rank
    assert (some.audio is MediaState.ACTIVE) <= (every.audio is MediaState.ACTIVE)
    for item in notifications:
        some = cs.merge_remote(some, item)
    assert some == every


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda c: (
            st.lists(c)
            | st.dictionaries(
                st.sampled_from(["state", "mediaState", "audio", "resultInfo", "code", "subcode"]),
                c,
            )
        ),
    )
)
def test_any_json_merges_without_an_error(value: Any) -> None:
    data = value if isinstance(value, dict) else {"state": value, "resultInfo": value}
    cs.merge_remote(cs.Call("id"), data)
