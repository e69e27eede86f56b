"""The life of a call: which event brings which state, notification and effect."""

from __future__ import annotations

from typing import Any

import pytest

from mixminus.control import call_state as cs
from mixminus.control.call_state import Call, Setup
from mixminus.control.graph.enums import CallState, ChangeType, MediaState

TO_ESTABLISHED: tuple[cs.Event, ...] = (cs.MediaReady(), cs.Reached())


def run(call: Call, *events: cs.Event) -> tuple[Call, list[cs.Effect]]:
    effects: list[cs.Effect] = []
    for event in events:
        call, more = call.apply(event)
        effects += more
    return call, effects


def notified(effects: list[cs.Effect] | cs.Effects) -> list[tuple[str, Any]]:
    """The change types and states of the notifications among *effects*."""
    return [
        (effect.change_type.value, effect.resource_data["state"])
        for effect in effects
        if isinstance(effect, cs.Notify)
    ]


@pytest.fixture
def outgoing() -> Call:
    return Call.create("c1")[0]


@pytest.fixture
def incoming() -> Call:
    return Call.receive("c1")[0]


@pytest.fixture
def established(outgoing: Call) -> Call:
    return run(outgoing, *TO_ESTABLISHED)[0]


def test_an_outgoing_call_is_notified_and_connects_its_media() -> None:
    call, effects = Call.create("c1")
    assert call.state is CallState.ESTABLISHING
    assert notified(effects) == [("updated", "establishing")]
    assert effects[-1] == cs.ConnectMedia()


def test_media_that_are_lost_and_come_back_are_told(established: Call) -> None:
    flowing, _ = run(established, cs.MediaFlows())
    lost, effects = run(flowing, cs.MediaStopped(), cs.MediaStopped())
    assert lost.audio is MediaState.INACTIVE
    (told,) = effects
    assert isinstance(told, cs.Notify)
    assert told.resource_data["mediaState"]["audio"] == "inactive"
    assert told.resource_data["state"] == "established"
    back, effects = run(lost, cs.MediaFlows(), cs.MediaResumed(), cs.MediaResumed())
    assert back == flowing
    (told,) = effects
    assert isinstance(told, cs.Notify)
    assert told.resource_data["mediaState"]["audio"] == "active"


def test_media_lost_on_hold_are_told_when_the_call_goes_on(established: Call) -> None:
    held, _ = run(established, cs.MediaFlows(), cs.Held())
    lost, effects = run(held, cs.MediaStopped())
    assert effects == []
    resumed, (told,) = run(lost, cs.Resumed())
    assert resumed.state is CallState.ESTABLISHED
    assert isinstance(told, cs.Notify)
    assert told.resource_data["mediaState"]["audio"] == "inactive"


def test_media_that_never_flowed_are_not_lost(established: Call) -> None:
    assert run(established, cs.MediaStopped(), cs.MediaResumed()) == (established, [])


def test_the_way_to_active_audio(outgoing: Call) -> None:
    call, effects = run(outgoing, *TO_ESTABLISHED, cs.MediaFlows(), cs.MediaFlows())
    assert call.state is CallState.ESTABLISHED
    assert call.audio is MediaState.ACTIVE
    assert notified(effects) == [("updated", "established")] * 2
    assert [e for e in effects if not isinstance(e, cs.Notify)] == [cs.Reach(), cs.WatchMedia()]
    last = effects[-1]
    assert isinstance(last, cs.Notify)
    assert last.resource_data["mediaState"]["audio"] == "active"


def test_an_incoming_call_waits_for_the_bot(incoming: Call) -> None:
    assert notified(Call.receive("c1")[1]) == [("created", "incoming")]
    call, effects = run(incoming, cs.MediaReady(), cs.Reached())
    assert (call, effects) == (incoming, [])
    call, effects = run(incoming, cs.BotAnswered(), *TO_ESTABLISHED)
    assert call.state is CallState.ESTABLISHED
    assert notified(effects) == [("updated", "establishing"), ("updated", "established")]


@pytest.mark.parametrize(
    ("event", "code", "subcode"),
    [
        (cs.MediaFailed("no such host"), 500, 1005),
        (cs.MediaLost("reset"), 410, 301005),
        (cs.Ended(cs.BOT_HUNG_UP), 200, 7000),
        (cs.Ended(cs.KEEP_ALIVE_MISSED), 408, 8537),
    ],
)
def test_ends_while_media_connect(outgoing: Call, event: cs.Event, code: int, subcode: int) -> None:
    call, effects = outgoing.apply(event)
    assert call.state is CallState.TERMINATING
    assert call.result is not None
    assert (call.result.code, call.result.subcode) == (code, subcode)
    assert notified(effects) == [("updated", "terminating")]
    assert effects[-1] == cs.TearDown(call.result)
    call, effects = call.apply(cs.TornDown())
    assert call.is_over
    [last] = effects
    assert isinstance(last, cs.Notify)
    assert last.change_type is ChangeType.DELETED
    assert last.resource_data["resultInfo"]["subcode"] == subcode
    assert last.resource_data["terminationReason"] == "CallTerminated"


def test_nobody_reached_counts_only_while_they_are_rung(outgoing: Call, established: Call) -> None:
    event = cs.NobodyReached(cs.NOT_ANSWERED)
    assert outgoing.apply(event) == (outgoing, ())
    assert established.apply(event) == (established, ())
    ringing = run(outgoing, cs.MediaReady())[0]
    assert ringing.setup is Setup.PARTIES
    assert ringing.apply(event)[0].result == cs.NOT_ANSWERED


def test_a_rejected_call_ends_with_one_notification(incoming: Call) -> None:
    call, effects = run(incoming, cs.Ended(cs.REJECTED, is_announced=False), cs.TornDown())
    assert call.is_over
    assert notified(effects) == [("deleted", "terminated")]


def test_a_redirected_call_can_still_fail(incoming: Call) -> None:
    call, effects = run(incoming, cs.BotRedirected())
    assert (call.state, effects) == (CallState.REDIRECTING, [])
    assert call.apply(cs.BotAnswered()) == (call, ())
    call, effects = run(call, cs.Ended(cs.UNREACHABLE, is_announced=False), cs.TornDown())
    assert call.result == cs.UNREACHABLE
    assert notified(effects) == [("deleted", "terminated")]


def test_a_transfer_ends_the_call(established: Call) -> None:
    call, effects = run(
        established,
        cs.TransferStarted(),
        cs.TransferAccepted(),
        cs.Ended(cs.TRANSFERRED, is_announced=False, reason="AppTransferred"),
        cs.TornDown(),
    )
    assert call.is_over
    assert notified(effects) == [
        ("updated", "transferring"),
        ("updated", "transferAccepted"),
        ("deleted", "terminated"),
    ]
    last = effects[-1]
    assert isinstance(last, cs.Notify)
    assert last.resource_data["terminationReason"] == "AppTransferred"
    assert last.resource_data["resultInfo"]["subcode"] == 7015


def test_a_failed_transfer_leaves_the_call_as_it_was(established: Call) -> None:
    event = cs.TransferFailed(cs.BLIND_TRANSFER_FAILED)
    call, effects = run(established, cs.TransferStarted(), event)
    assert call.state is CallState.ESTABLISHED
    last = effects[-1]
    assert isinstance(last, cs.Notify)
    assert last.resource_data["resultInfo"]["code"] == 500
    # The next transfer starts without the result of the one before.
    assert run(call, cs.TransferStarted())[0].result is None


def test_hold_comes_and_goes(established: Call) -> None:
    held, effects = run(established, cs.Resumed(), cs.Held(), cs.Held())
    assert held.state is CallState.HOLD
    assert notified(effects) == [("updated", "hold")]
    assert held.is_established
    back, effects = run(held, cs.Resumed())
    assert back.state is CallState.ESTABLISHED
    assert notified(effects) == [("updated", "established")]


@pytest.mark.parametrize(
    "event",
    [cs.Held(), cs.TransferStarted(), cs.MediaFlows(), cs.BotAnswered(), cs.TornDown()],
)
def test_what_has_no_meaning_changes_nothing(outgoing: Call, event: cs.Event) -> None:
    call, effects = outgoing.apply(event)
    assert call is outgoing
    assert effects == ()


def test_nothing_follows_the_end(established: Call) -> None:
    over, _ = run(established, cs.Ended(cs.CALLEE_LEFT), cs.TornDown())
    for event in (cs.TornDown(), cs.Ended(cs.BOT_HUNG_UP), cs.MediaLost("late"), *TO_ESTABLISHED):
        assert over.apply(event) == (over, ())
