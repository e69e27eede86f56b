"""Filters, pages and preferences of call records."""

from __future__ import annotations

import pytest

from mixminus.control.graph.errors import GraphError
from mixminus.control.graph.odata import parse_options
from mixminus.control.service.records import shape
from mixminus.control.service.records.options import (
    apply_filter,
    page_options,
    parse_moment,
    person_of_filter,
    rendered,
)
from mixminus.control.service.records.paging import Preferences, SkipTokens, next_link
from mixminus.control.store.base import RecordQuery

ALL = RecordQuery("tenant", "app", ended_since_us=0)
START_US = 1_582_656_741_000_000
"""2020-02-25T18:52:21Z."""


@pytest.mark.parametrize(
    ("option", "bounds"),
    [
        ("startDateTime ge 2020-02-25T18:52:21Z", (START_US, None)),
        ("startDateTime gt 2020-02-25T18:52:21Z", (START_US + 1, None)),
        ("startDateTime le 2020-02-25T18:52:21Z", (None, START_US)),
        ("startDateTime lt 2020-02-25T18:52:21Z", (None, START_US - 1)),
        # A seventh digit lies between two microseconds.
        ("startDateTime ge 2020-02-25T18:52:21.0000005Z", (START_US + 1, None)),
        ("startDateTime gt 2020-02-25T18:52:21.0000005Z", (START_US + 1, None)),
        ("startDateTime le 2020-02-25T18:52:21.0000005Z", (None, START_US)),
        ("startDateTime lt 2020-02-25T18:52:21.0000005Z", (None, START_US)),
        ("startDateTime ge 2020-02-25T19:52:21+01:00", (START_US, None)),
        ("startDateTime ge 2020-02-25", (1_582_588_800_000_000, None)),
        (
            "startDateTime ge 2020-02-25T18:52:21Z and startDateTime lt 2020-02-25T18:52:22Z",
            (START_US, START_US + 999_999),
        ),
        (
            "startDateTime ge 2020-02-25T18:52:21Z and startDateTime ge 2020-02-25T18:52:20Z",
            (START_US, None),
        ),
    ],
)
def test_filter_on_the_start_is_exact(option: str, bounds: tuple[int | None, int | None]) -> None:
    found = apply_filter(ALL, option)
    assert (found.started_from_us, found.started_to_us) == bounds


def test_filter_on_a_participant_may_hold_any_text() -> None:
    found = apply_filter(ALL, "participants_v2/any(p:p/id eq 'O''Brien and lt')")
    assert found.person_id == "O'Brien and lt"
    both = apply_filter(
        ALL, "startDateTime lt 2020-02-25T18:52:21Z and participants_v2/any(x:x/id eq 'a')"
    )
    assert (both.person_id, both.started_to_us) == ("a", START_US - 1)
    assert apply_filter(ALL, None) is ALL


@pytest.mark.parametrize(
    "option",
    [
        "",
        "and",
        "endDateTime gt 2020-02-25T18:52:21Z",
        "startDateTime eq 2020-02-25T18:52:21Z",
        "startDateTime gt yesterday",
        "startDateTime gt '2020-02-25T18:52:21Z'",
        "startDateTime gt 2020-02-30T18:52:21Z",
        "startDateTime gt 2020-02-25T18:52:21Z or startDateTime lt 2020-02-25T18:52:21Z",
        "participants_v2/any(p:q/id eq 'a')",
        "participants_v2/any(p:p/id eq 'a)",
        "participants_v2/any(p:p/id eq 'a') and participants_v2/any(p:p/id eq 'b')",
        "not startDateTime gt 2020-02-25T18:52:21Z",
        "startDateTime gt 0001-01-01T00:00:00+10:00",
        "x" * 2000,
    ],
)
def test_other_filters_are_refused(option: str) -> None:
    with pytest.raises(GraphError) as refused:
        apply_filter(ALL, option)
    assert refused.value.status == 400
    assert len(refused.value.message) < 300


def test_moment_is_utc_unless_it_says_otherwise() -> None:
    moment, is_cut = parse_moment("2020-02-25T18:52:21.2169889z", "here")
    assert (moment.isoformat(), is_cut) == ("2020-02-25T18:52:21.216988+00:00", True)
    assert parse_moment("2020-02-25T18:52", "here")[0].isoformat() == "2020-02-25T18:52:00+00:00"
    for text in ("", "20200225", "2020-02-25 18:52:21", "2020-W09-2", "9999-12-31T23:59:59-23:00"):
        with pytest.raises(GraphError, match="here"):
            parse_moment(text, "here")


def test_subscription_filter_names_one_participant() -> None:
    assert person_of_filter("participants/any(p:p/id eq 'abc')") == "abc"
    with pytest.raises(GraphError):
        person_of_filter("startDateTime gt 2020-02-25T18:52:21Z")


def test_token_is_good_for_its_own_list_alone() -> None:
    tokens = SkipTokens(b"key")
    token = tokens.sign(("sessions", "record"), 60)
    assert tokens.read(("sessions", "record"), token) == 60
    assert tokens.read(("sessions", "record"), None) == 0
    other = "A" if token[3] != "A" else "B"
    refused = [
        (("sessions", "another"), token),
        (("sessions",), token),
        (("sessions", "record"), token[:3] + other + token[4:]),
        (("sessions", "record"), token[:-4]),
        (("sessions", "record"), token + "AAAA"),
        (("sessions", "record"), ""),
        (("sessions", "record"), "60"),
        (("sessions", "record"), "ü"),
        (("sessions", "record"), SkipTokens(b"another key").sign(("sessions", "record"), 60)),
    ]
    for scope, text in refused:
        with pytest.raises(GraphError, match="skiptoken"):
            tokens.read(scope, text)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Preferences()),
        (["odata.maxpagesize=5"], Preferences(max_page_size=5)),
        (['odata.maxpagesize="5"; x=1'], Preferences(max_page_size=5)),
        (["maxpagesize=5, respond-async"], Preferences(max_page_size=5)),
        (["odata.maxpagesize=5", "odata.maxpagesize=9"], Preferences(max_page_size=5)),
        (["odata.maxpagesize=0"], Preferences()),
        (["odata.maxpagesize=-1"], Preferences()),
        (["odata.maxpagesize=99999999999999999999"], Preferences()),
        (["Include-Unknown-Enum-Members"], Preferences(all_enum_members=True)),
        (["omit-values=nulls,include-unknown-enum-members"], Preferences(None, True, True)),
        (["omit-values=defaults"], Preferences()),
    ],
)
def test_preferences_that_are_known_count(headers: list[str], expected: Preferences) -> None:
    assert Preferences.parse(headers) == expected


def test_page_is_never_longer_than_it_may_be() -> None:
    assert Preferences().page_size(60) == 60
    assert Preferences(max_page_size=7).page_size(60) == 7
    assert Preferences(max_page_size=1000).page_size(60) == 60


def test_applied_preferences_are_named() -> None:
    applied = Preferences(7, True, True).applied()
    assert applied == {
        "Preference-Applied": (
            "odata.maxpagesize=7, include-unknown-enum-members, omit-values=nulls"
        )
    }
    assert Preferences().applied() == {}


def test_options_of_pages_are_taken_out_once() -> None:
    rest, page = page_options([("$Filter", "x"), ("$select", "id")], "filter", "skiptoken")
    assert (rest, page) == ([("$select", "id")], {"filter": "x"})
    with pytest.raises(GraphError, match="twice"):
        page_options([("$filter", "x"), ("filter", "y")], "filter")


def test_link_to_the_next_page_keeps_the_options() -> None:
    options = parse_options(
        [("$expand", "sessions($expand=segments($select=id);$select=id,caller)")], shape.RECORD
    )
    inner = options.expand["sessions"]
    shown = rendered(inner)
    assert shown == {"$select": "caller,id", "$expand": "segments($select=id)"}
    assert parse_options(list(shown.items()), shape.SESSION) == inner
    link = next_link("https://host/sessions", shown, "to/ken")
    assert link == (
        "https://host/sessions?$select=caller,id&$expand=segments($select=id)&$skiptoken=to%2Fken"
    )
    assert next_link("https://host/x", {}, "t") == "https://host/x?$skiptoken=t"
    assert shape.bracket(options) == "(sessions(caller,id,segments(id)))"


def test_members_beyond_the_sentinel_are_hidden_unless_asked_for() -> None:
    value = {"userAgent": [{"productFamily": "azureCommunicationServices"}], "x": "unknown"}
    assert shape.within_sentinel(value) == {
        "userAgent": [{"productFamily": "unknownFutureValue"}],
        "x": "unknown",
    }


def test_nulls_are_left_out_wherever_they_are() -> None:
    value = {"a": None, "b": [], "c": {"d": None}, "e": [{"f": None, "g": 0}], "h": False}
    assert shape.without_nulls(value) == {"e": [{"g": 0}], "h": False}
