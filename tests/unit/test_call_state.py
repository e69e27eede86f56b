"""The call state machine: what each event does, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from mixminus.control import call_state as cs
from mixminus.control.graph.enums import CallState, ChangeType, MediaState


def after(*events: cs.Event) -> cs.Call:
    call, _ = cs.Call.create("id")
    for event in events:
        call, _ = call.apply(event)
    return call


RINGING = (cs.LinkConnected(),)
ANSWERING = (*RINGING, cs.Answered("john", 1))
TALKING = (*ANSWERING, cs.CallerAccepted())
ENDING = (*TALKING, cs.CallerLeft())


def test_call_is_set_up_link_first() -> None:
    call, effects = cs.Call.create("id")
    assert call.state is CallState.ESTABLISHING
    assert [type(effect) for effect in effects] == [cs.Notify, cs.ConnectLink]
    call, effects = call.apply(cs.LinkConnected())
    assert effects == (cs.Ring(),)
    call, effects = call.apply(cs.Answered("john", 7))
    assert effects == (cs.ConnectCaller(7),)
    assert call.state is CallState.ESTABLISHING
    call, effects = call.apply(cs.CallerAccepted())
    assert call.state is CallState.ESTABLISHED
    assert effects[1:] == (cs.StopRinging("answeredElsewhere"), cs.WatchMedia())
    call, effects = call.apply(cs.MediaFlows())
    assert call.audio is MediaState.ACTIVE
    (notify,) = effects
    assert isinstance(notify, cs.Notify)
    assert notify.resource_data["mediaState"]["audio"] == "active"


@pytest.mark.parametrize(
    ("before", "event", "code", "subcode"),
    [
        ((), cs.LinkFailed("why"), 500, 1005),
        (TALKING, cs.LinkLost("why"), 410, 301005),
        (RINGING, cs.LinkLost("why"), 410, 301005),
        (RINGING, cs.Declined(), 603, 0),
        (RINGING, cs.RingTimedOut(was_rung=True), 487, 10004),
        (RINGING, cs.RingTimedOut(was_rung=False), 408, 10057),
        (ANSWERING, cs.CallerFailed("why"), 500, 1004),
        (TALKING, cs.CallerFailed("why"), 500, 1004),
        (TALKING, cs.CallerLeft(), 200, 4521),
        ((), cs.BotHungUp(), 200, 7000),
        (TALKING, cs.BotHungUp(), 200, 7000),
        (TALKING, cs.KeepAliveMissed(), 408, 8537),
        ((), cs.ServiceStopped(), 500, 7106),
        (RINGING, cs.InternalFailure(), 500, 9999),
    ],
)
def test_ends_are_said_with_their_documented_codes(
    before: tuple[cs.Event, ...], event: cs.Event, code: int, subcode: int
) -> None:
    call, effects = after(*before).apply(event)
    assert call.state is CallState.TERMINATING
    assert call.result is not None
    assert (call.result.code, call.result.subcode) == (code, subcode)
    assert [type(effect) for effect in effects] == [cs.Notify, cs.StopRinging, cs.TearDown]
    call, effects = call.apply(cs.TornDown())
    assert call.is_over
    (notify,) = effects
    assert isinstance(notify, cs.Notify)
    assert notify.change_type is ChangeType.DELETED
    assert notify.resource_data["resultInfo"]["subcode"] == subcode


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (RINGING, cs.LinkConnected()),
        (RINGING, cs.LinkFailed("late")),
        (ANSWERING, cs.Answered("john", 2)),
        (ANSWERING, cs.AnswerFailed(2)),
        (ANSWERING, cs.RingTimedOut(was_rung=True)),
        (ANSWERING, cs.Declined()),
        (TALKING, cs.Answered("john", 2)),
        (TALKING, cs.RingTimedOut(was_rung=True)),
        (TALKING, cs.TornDown()),
        ((), cs.CallerLeft()),
        ((*TALKING, cs.MediaFlows()), cs.MediaFlows()),
        (ENDING, cs.BotHungUp()),
        ((*ENDING, cs.TornDown()), cs.BotHungUp()),
    ],
)
def test_event_without_a_meaning_now_changes_nothing(
    before: tuple[cs.Event, ...], event: cs.Event
) -> None:
    call = after(*before)
    assert call.apply(event) == (call, ())


def test_refused_answer_lets_another_device_answer() -> None:
    call, effects = after(*ANSWERING).apply(cs.AnswerFailed(1))
    assert effects == (cs.Ring(),)
    call, effects = call.apply(cs.Answered("john", 2))
    assert effects == (cs.ConnectCaller(2),)


def test_remote_state_never_goes_back() -> None:
    call = cs.merge_remote(cs.Call("id"), {"state": "established"})
    assert cs.merge_remote(call, {"state": "establishing"}) is call
    held = cs.merge_remote(call, {"state": "hold"})
    assert held.state is CallState.HOLD
    assert cs.merge_remote(held, {"state": "established"}).state is CallState.ESTABLISHED


def test_remote_nonsense_is_passed_over() -> None:
    call = cs.Call("id")
    nonsense: tuple[dict[str, Any], ...] = (
        {"state": "singing"},
        {"state": 7},
        {"mediaState": "active"},
        {"mediaState": {"audio": "loud"}},
        {"resultInfo": {"code": "x"}},
        {"resultInfo": []},
    )
    for data in nonsense:
        assert cs.merge_remote(call, data) == call


def test_result_numbers_may_be_texts() -> None:
    data = {"state": "terminated", "resultInfo": {"code": "200", "subCode": "4521"}}
    assert cs.merge_remote(cs.Call("id"), data).result == cs.ResultInfo(200, 4521)
