"""Which epoch of a call is the present one, in whatever order its sessions are made."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest

from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.requests import MediaConfig
from mixminus.control.service import lineages
from mixminus.control.service.lineages import Claim, Lineages, descriptor_of
from mixminus.control.service.live_call import LiveCall
from mixminus.control.store.base import CallRow
from mixminus.media.descriptor import MediaSessionDescriptor

MP_URI = "wss://localhost:1/media"


class State:
    is_ending = is_over = False


class Call:
    """What a lineage sees of a call."""

    has_entered = False

    def __init__(self, call_id: str) -> None:
        self.id, self.call, self.superseded = call_id, State(), 0

    def supersede(self) -> None:
        self.superseded += 1
        self.call.is_ending = True


def claim(known: Lineages, epoch: int, lineage: str = "one", app: str = "app") -> Claim:
    new = MediaSessionDescriptor.new(MP_URI, lineage=lineage, epoch=epoch)
    return known.claim(app, "tenant", new)


def begin(known: Lineages, epoch: int, **whose: str) -> Call:
    call = Call(f"epoch {epoch}")
    with claim(known, epoch, **whose) as claimed:
        claimed.begun(cast(LiveCall, call))
    return call


def is_refused(known: Lineages, epoch: int, **whose: str) -> bool:
    try:
        with claim(known, epoch, **whose):
            return False
    except GraphError as error:
        return (error.status, error.code) == (409, "staleEpoch")


def test_the_later_one_has_the_call() -> None:
    known = Lineages()
    first = begin(known, 1)
    second = begin(known, 2)
    assert (first.superseded, second.superseded) == (1, 0)
    assert is_refused(known, 1)
    assert is_refused(known, 2)
    assert not is_refused(known, 3)
    assert begin(known, 3)
    assert second.superseded == 1


def test_case_does_not_make_another_call_of_it_but_an_application_does() -> None:
    known = Lineages()
    first = begin(known, 1, lineage="ABC")
    assert is_refused(known, 1, lineage="abc")
    other = begin(known, 1, lineage="abc", app="another")
    assert (first.superseded, other.superseded) == (0, 0)


def test_while_one_is_made_what_is_not_later_is_refused() -> None:
    known = Lineages()
    with claim(known, 2):
        assert is_refused(known, 2)
        assert is_refused(known, 1)
    assert not is_refused(known, 1), "it came to nothing"


@pytest.mark.parametrize("third_stands", [True, False])
def test_of_two_that_are_made_at_once_the_later_one_stays(third_stands: bool) -> None:
    known = Lineages()
    first, second, third = begin(known, 1), Call("second"), Call("third")
    with claim(known, 2) as earlier:
        with claim(known, 3) as later:
            if third_stands:
                later.begun(cast(LiveCall, third))
        earlier.begun(cast(LiveCall, second))
    assert first.superseded == 1
    assert (second.superseded, third.superseded) == (int(third_stands), 0)
    assert is_refused(known, 2)
    assert is_refused(known, 3) is third_stands


def test_a_call_that_ended_by_itself_is_no_older_one() -> None:
    known = Lineages()
    first = begin(known, 1)
    first.call.is_ending = first.call.is_over = True
    with claim(known, 2) as claimed:
        assert claimed.older is None
        claimed.begun(cast(LiveCall, Call("second")))
    assert first.superseded == 0


def test_one_that_ends_takes_no_room_but_its_leg_goes_with_the_next() -> None:
    known = Lineages()
    first = begin(known, 1)
    first.call.is_ending = True
    with claim(known, 2) as claimed:
        assert claimed.older is None
        claimed.begun(cast(LiveCall, Call("second")))
    assert first.superseded == 1


def test_media_without_a_link_have_no_lineage() -> None:
    known = Lineages()
    new = MediaSessionDescriptor.new(MP_URI, lineage="one").without_secret()
    for descriptor in (None, new):
        for _ in range(2):
            with known.claim("app", "tenant", descriptor) as claimed:
                assert claimed.older is None
                claimed.begun(cast(LiveCall, Call("x")))
        assert not known.continues("app", "tenant", descriptor)
    assert len(known) == 0


def row(blob: Any, **config: Any) -> CallRow:
    resource = {"mediaConfig": None if blob is None else {"blob": blob, **config}}
    return CallRow("id", "app", "tenant", "https://localhost/", "established", False, resource)


def test_calls_of_an_earlier_run_have_used_their_epochs(caplog: pytest.LogCaptureFixture) -> None:
    known = Lineages()
    new = MediaSessionDescriptor.new(MP_URI, lineage="one", epoch=4)
    for blob in (None, new.without_secret().to_blob(), "{broken", new.redacted()):
        known.learn(row(blob))
    assert "call id: its media configuration cannot be read" in caplog.text
    assert is_refused(known, 4)
    assert begin(known, 5)


def test_what_is_over_is_forgotten_at_last_and_what_lives_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lineages, "KEPT", 10)
    known = Lineages()
    living = begin(known, 7, lineage="lives")
    for number in range(100):
        begin(known, 1, lineage=f"call {number}")
        gc.collect(0)
    assert len(known) <= 11
    assert is_refused(known, 7, lineage="lives")
    assert living.superseded == 0
    assert is_refused(known, 1, lineage="call 99")
    assert not is_refused(known, 1, lineage="call 0")


@pytest.mark.parametrize("blob", ["{", None])
def test_a_blob_that_cannot_be_read_is_the_requests_fault(blob: str | None) -> None:
    with pytest.raises(GraphError, match=r"mediaConfig\.blob: the blob is not JSON") as caught:
        descriptor_of(MediaConfig({}, True, blob, (), True))
    assert caught.value.status == 400


def test_media_of_the_services_have_no_descriptor() -> None:
    assert descriptor_of(MediaConfig({}, False, None, (), True)) is None
