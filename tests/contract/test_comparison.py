"""The comparison with the documented examples sees what there is to see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.seeds import Comparison, Deviation, Entry, entries, names

ID = "2e1a0b00-2db4-4022-9570-243709c565ab"
OTHER_ID = "2f1a1100-b174-40a0-aba7-0b405e01ed92"
JOHN = {"info": {"identity": {"user": {"displayName": "John"}}}, "isMuted": True}
BOB = {"info": {"identity": {"user": {"displayName": "Bob"}}}, "isMuted": False}


def found(expected: Any, actual: Any) -> set[tuple[str, str]]:
    comparison = Comparison("example", {"https://localhost:7": "https://graph.microsoft.com"})
    comparison.compare("r", expected, actual)
    return {(deviation.where, deviation.kind) for deviation in comparison.found}


@pytest.mark.parametrize(
    ("expected", "actual", "deviations"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 1.0}, set()),
        ({"a": 1}, {"a": 2}, {("r.a", "value")}),
        ({"a": 1}, {"a": "1"}, {("r.a", "type")}),
        ({"a": 1}, {"a": True}, {("r.a", "type")}),
        ({"a": "x"}, {"a": 1}, {("r.a", "type")}),
        ({"a": []}, {"a": {}}, {("r.a", "type")}),
        ({"a": 1}, {"a": None}, {("r.a", "null")}),
        ({"a": "x"}, {"a": None}, {("r.a", "null")}),
        ({"a": None}, {"a": 1}, {("r.a", "not null")}),
        ({"a": None}, {"a": None}, set()),
        ({"a": None}, {}, {("r.a", "missing")}),
        ({}, {"a": None}, {("r.a", "extra")}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {("r.a.b", "value"), ("r.a.c", "extra")}),
        ([1, 2], [1], {("r[1]", "missing")}),
        ([1], [1, 2], {("r[1]", "extra")}),
        ([JOHN, BOB], [BOB, JOHN], set()),
        ([JOHN, BOB], [BOB], {("r[John]", "missing")}),
        (
            [JOHN],
            [{**JOHN, "isMuted": False}, BOB],
            {("r[John].isMuted", "value"), ("r[Bob]", "extra")},
        ),
        ({"a": "{callId}", "b": "/{callId}/x"}, {"a": ID, "b": f"/{ID}/x"}, set()),
        ({"a": "{callId}", "b": "{callId}"}, {"a": ID, "b": OTHER_ID}, {("r.b", "value")}),
        ({"a": "{callId}"}, {"a": "7"}, {("r.a", "value")}),
        ({"a": "{audioSource}"}, {"a": "17"}, set()),
        ({"a": "{audioSource}"}, {"a": "x"}, {("r.a", "value")}),
        ({"a": "{sessionHex}"}, {"a": "AB" * 32}, set()),
        ({"a": "https://graph.microsoft.com/x"}, {"a": "https://localhost:7/x"}, set()),
        ({"a": "2020-02-25T18:52:21.2169889Z"}, {"a": "2026-11-21T09:00:00Z"}, set()),
        ({"a": "2020-02-25T18:52:21Z"}, {"a": "2026-11-21T09:00:00+00:00"}, {("r.a", "value")}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_every_difference_is_found(
    expected: Any, actual: Any, deviations: set[tuple[str, str]]
) -> None:
    assert found(expected, actual) == deviations


def test_a_star_is_one_member_or_element() -> None:
    entry = Entry("example", "a[*].b.*", "extra")
    assert entry.covers(Deviation("example", "a[x y].b.c", "extra"))
    assert not entry.covers(Deviation("example", "a[x].b.c.d", "extra"))
    assert not entry.covers(Deviation("example", "a[x].b.c", "null"))
    assert not entry.covers(Deviation("another", "a[x].b.c", "extra"))


def test_every_line_is_about_an_example() -> None:
    folders = ("create_call", "create_call_2019", "get_call", "call_record")
    known = {name for folder in folders for name in names(folder)}
    known |= {f"delta_roster/{name.partition('/')[2]}" for name in names("create_call")}
    assert {entry.example for entry in entries()} <= known
