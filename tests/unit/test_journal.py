"""The journal: bounded, in order, and without a secret in what it shows."""

from __future__ import annotations

import json

import pytest

from mixminus.control.console.journals import Journals
from mixminus.control.journal import MAX_BODY_BYTES, Journal

SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\na=ice-ufrag:ufragcanary\r\n"
    "a=ice-pwd:passwordcanary\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=candidate:1 1 udp 1 10.1.2.3 5 typ host\r\n"
)


def test_entries_are_read_in_order_with_what_they_say() -> None:
    journal = Journal("service")
    journal.record("state", "call-1", "established")
    journal.record("request", None, "POST /calls", {"subject": "Standup"}, direction="in")

    first, second = (entry.read() for entry in journal.since(0)[0])

    assert first["seq"] < second["seq"] == journal.seq
    assert (first["kind"], first["callId"], first["body"]) == ("state", "call-1", None)
    assert second["body"] == {"subject": "Standup"}
    assert (second["side"], second["direction"]) == ("service", "in")
    assert second["at"].endswith("Z")


def test_those_after_a_number_and_of_some_calls_are_found() -> None:
    journal = Journal("host")
    for index in range(6):
        journal.record("state", f"call-{index % 2}", str(index))
    third = journal.since(0)[0][2].seq

    found, has_forgotten = journal.since(third, {"call-1"})

    assert [entry.read()["title"] for entry in found] == ["3", "5"]
    assert not has_forgotten


def test_old_entries_go_and_who_missed_them_is_told() -> None:
    journal = Journal("host", max_entries=3)
    for index in range(5):
        journal.record("state", None, str(index))
    entries, has_forgotten = journal.since(0)

    assert [entry.read()["title"] for entry in entries] == ["2", "3", "4"]
    assert has_forgotten
    assert not journal.since(entries[0].seq)[1]


def test_bodies_are_bounded_together_and_each() -> None:
    journal = Journal("host", max_bytes=10_000)
    for _ in range(100):
        journal.record("notification", None, "t", {"x": "y" * 1000})
    assert len(journal) == 9

    journal = Journal("host")
    journal.record("notification", None, "large", {"x": "y" * MAX_BODY_BYTES})
    assert list(journal.since(0)[0][0].read()["body"]) == ["leftOut"]


def test_an_empty_journal_is_no_missing_one() -> None:
    assert Journal("host")
    assert len(Journal("host")) == Journal("host").seq == 0


def test_what_was_recorded_does_not_change_later() -> None:
    journal = Journal("host")
    body = {"state": "establishing"}
    journal.record("notification", None, "t", body)
    body["state"] = "established"
    assert journal.since(0)[0][0].read()["body"] == {"state": "establishing"}


@pytest.mark.parametrize(
    "body",
    [
        {"sdp": SDP},
        {"type": "call", "session": {"offer": SDP}},
        {"note": f"got {SDP}"},
        {"note": json.dumps({"inner": SDP})},
        {"line": "a=ice-pwd:passwordcanary"},
        {"candidates": ["candidate:1 1 udp 1 10.1.2.3 5 typ host"]},
        {"mediaConfig": {"blob": "passwordcanary"}},
        {"accessToken": "passwordcanary"},
        {"header": "Authorization: Bearer passwordcanary.10.1.2.3"},
        "passwordcanary, known by its value",
    ],
)
def test_secrets_and_session_descriptions_are_taken_out(body: object) -> None:
    journal = Journal("service")
    journal.redactor.learn("passwordcanary, known by its value")
    journal.record("request", "call-1", "a title with Bearer passwordcanary", body)  # type: ignore[arg-type]

    shown = journal.since(0)[0][0].json()

    for canary in ("passwordcanary", "ufragcanary", "10.1.2.3", "192.0.2.7"):
        assert canary not in shown
    assert "redacted" in shown


def test_text_that_is_no_json_is_shown_as_text() -> None:
    journal = Journal("host")
    journal.record("notification", None, "t", b"<html>\xff")
    assert journal.since(0)[0][0].read()["body"] == "<html>\ufffd"


def test_two_journals_are_read_as_one() -> None:
    service, host, both = Journal("service"), Journal("host"), Journals()
    heard: list[int] = []
    both.listen(lambda: heard.append(both.seq))
    both.add(service)
    both.add(host)
    for journal in (service, host, host, service):
        journal.record("state", None, journal.side)

    assert [entry.side for entry in both.since(0)[0]] == ["service", "host", "host", "service"]
    assert heard == sorted(heard)
    assert len(heard) == 4

    both.remove("host")
    host.record("state", None, "unheard")
    assert len(heard) == 4
    assert [entry.side for entry in both.since(0)[0]] == ["service", "service"]
