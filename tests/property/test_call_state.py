"""Whatever happens, in whatever order: the call is in a legal state, and says so in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mixminus.control import call_state as cs
from mixminus.control.graph.enums import CallState, ChangeType

RESULTS = st.sampled_from([cs.CALLEE_LEFT, cs.BOT_HUNG_UP, cs.TRANSFERRED, cs.NOT_ANSWERED])
EVENTS: st.SearchStrategy[cs.Event] = st.one_of(
    st.builds(cs.MediaReady),
    st.builds(cs.MediaFailed, st.just("why")),
    st.builds(cs.MediaLost, st.just("why")),
    st.builds(cs.Reached),
    st.builds(cs.NobodyReached, RESULTS),
    st.builds(cs.MediaFlows),
    st.builds(cs.MediaStopped),
    st.builds(cs.MediaResumed),
    st.builds(cs.BotAnswered),
    st.builds(cs.BotRedirected),
    st.builds(cs.Held),
    st.builds(cs.Resumed),
    st.builds(cs.TransferStarted),
    st.builds(cs.TransferAccepted),
    st.builds(cs.TransferLeft),
    st.builds(cs.TransferFailed, RESULTS),
    st.builds(cs.Ended, RESULTS, st.booleans()),
    st.builds(cs.TornDown),
)
ENDING = (CallState.TERMINATING, CallState.TERMINATED)


@given(st.booleans(), st.lists(EVENTS, max_size=40))
def test_any_events_keep_the_call_legal(is_incoming: bool, events: list[cs.Event]) -> None:
    call, effects = (cs.Call.receive if is_incoming else cs.Call.create)("id")
    told = [effect for effect in effects if isinstance(effect, cs.Notify)]
    teardowns = 0
    for event in events:
        before = call
        call, effects = call.apply(event)
        # It never goes back a rank: what was established is not being established again.
        assert cs.RANKS[call.state] >= cs.RANKS[before.state]
        assert (call == before) <= (effects == ())
        # Media that never flowed are neither lost nor back.
        assert (call.audio is None) >= (
            before.audio is None and not isinstance(event, cs.MediaFlows)
        )
        assert call.is_established <= (call.setup is cs.Setup.DONE)
        assert (call.result is not None) >= call.is_ending
        told += [effect for effect in effects if isinstance(effect, cs.Notify)]
        teardowns += sum(isinstance(effect, cs.TearDown) for effect in effects)
    ranks = [cs.RANKS[CallState(notify.resource_data["state"])] for notify in told]
    assert ranks == sorted(ranks)
    deleted = [notify for notify in told if notify.change_type is ChangeType.DELETED]
    assert len(deleted) == call.is_over
    assert deleted == [n for n in told if n.resource_data["state"] == CallState.TERMINATED]
    # Media are ended once, and before the end is told.
    assert teardowns == (call.state in ENDING)


@given(st.lists(EVENTS, max_size=20))
def test_an_event_that_came_twice_is_no_second_one(events: list[cs.Event]) -> None:
    call = cs.Call.create("id")[0]
    for event in events:
        once = call.apply(event)[0]
        if isinstance(event, cs.Held | cs.Resumed | cs.TransferStarted | cs.MediaFlows | cs.Ended):
            assert once.apply(event) == (once, ())
        call = once


@given(st.lists(EVENTS, max_size=30))
def test_whatever_came_before_it_a_call_can_be_ended(events: list[cs.Event]) -> None:
    call = cs.Call.create("id")[0]
    for event in events:
        call = call.apply(event)[0]
    for event in (cs.Ended(cs.BOT_HUNG_UP), cs.TornDown()):
        call = call.apply(event)[0]
    assert call.is_over
