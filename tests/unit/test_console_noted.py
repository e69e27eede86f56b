"""What is done in the console is told in the journal, with who did it and what came of it."""

from __future__ import annotations

from pathlib import Path

from mixminus.control.console.noted import operator_name
from mixminus.control.console.sign_in import SignedIn
from tests.console_kit import FakeSource, row, served


async def test_who_did_what_is_in_the_journal(tmp_path: Path) -> None:
    async with served(tmp_path, FakeSource(calls=[row()])) as console:
        journal = console.journal
        call_id = row().id
        answer = await console.send("POST", f"/console/api/calls/{call_id}/hangup", {})
        assert answer.status_code == 204
        path = f"/console/api/calls/{call_id}/participants/p1/mute"
        assert (await console.send("POST", path, {})).status_code == 204
        refused = await console.send("POST", "/console/api/calls/nothing/hangup", {})
        assert refused.status_code == 404
        await console.http.post(path, json={}, headers={"Authorization": "Bearer wrong"})
    entries = [entry.read() for entry in journal.since(0)[0]]
    assert [entry["title"] for entry in entries[:2]] == [
        "the operator: hang up: done",
        "the operator: mute: done",
    ]
    assert entries[2]["title"].startswith("the operator: hang up: refused: no call nothing")
    assert [entry["callId"] for entry in entries] == [call_id, call_id, "nothing"]
    assert entries[1]["body"] == {"participant_id": "p1"}


def test_an_operator_goes_by_the_name_of_the_sign_in() -> None:
    assert operator_name(SignedIn("oidc", "Adele Vance")) == "Adele Vance"
    assert operator_name(SignedIn("token")) == operator_name(None) == "the operator"
