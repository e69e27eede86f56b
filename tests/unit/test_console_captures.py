"""Captured calls in the console: listed and opened, without secrets, whoever wrote the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.console.models import CaptureView
from mixminus.control.console.source import ConsoleRefusedError
from mixminus.control.host.console import captures
from mixminus.control.host.console.captures import LastIndex, capture_detail, list_captures
from mixminus.control.journal_redact import JournalRedactor
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame
from mixminus.media.recorder import EndReason, RecordingStore
from mixminus.media.recorder.recovery import recover
from mixminus.media.replay import (
    CAPTURE_NAME,
    CaptureFile,
    Kind,
    Record,
    TickRecord,
)
from mixminus.media.replay.format import MAGIC, RECORD
from tests.console_kit import FakeSource, served

CLIENT_SECRET = "canary-of-the-client-8Kx2"
LINK_SECRET = "canary-of-the-link-Zm9vYmFy"
BLOB = json.dumps({"mixminus": {"url": "wss://h/media", "secret": LINK_SECRET}})
REDACTOR = JournalRedactor([CLIENT_SECRET])
HEADER = {"version": 1, "call": {"id": "call-1", "direction": "incoming"}, "bot": "echo"}
FRAME_TIME = 200_000


def write(
    store: RecordingStore, *told: Record, header: dict[str, Any] | None = None, close: bool = True
) -> Path:
    """Write a capture of three ticks and what was told; return its directory."""
    file = CaptureFile(store.create(), Record(Kind.HEADER, 0, header or HEADER))
    loud = np.full(FRAME_SAMPLES, 7, np.int16)
    for number in range(3):
        time = number * FRAME_TIME
        mixed, heard = AudioFrame.of(loud, time, 0), {5: AudioFrame.of(loud, time, 0)}
        own = AudioFrame.of(loud * 0, time, 0) if number else None
        file.write(TickRecord(time, mixed, heard, own))
    for record in told:
        file.write(record)
    if close:
        file.write(Record(Kind.END, 1234 * 10_000, {}))
    report = file.close(EndReason.CALL_ENDED)
    return report.directory


def notification(number: int = 0, **data: Any) -> Record:
    content = {
        "change_type": "updated",
        "resource_path": ["call-1"],
        "resource_data": {"state": "established", **data},
    }
    return Record(Kind.NOTIFICATION, number * 10_000, content)


def test_a_capture_is_listed_with_its_facts_and_opened(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    asked = {"method": "POST", "path": "/communications/calls/call-1/mute", "status": 200}
    named = {"event": "speaker", "source_id": 5, "name": "Ann"}
    directory = write(
        store,
        notification(250),
        Record(Kind.EXCHANGE, 300 * 10_000, asked),
        Record(Kind.EVENT, 310 * 10_000, named),
    )
    (view,) = list_captures(store, REDACTOR)
    assert (view.id, view.name) == (f"h:{directory.name}", directory.name)
    assert (view.call_id, view.bot, view.state, view.error) == ("call-1", "echo", "closed", None)
    assert view.duration_ms == 1234
    assert view.size_bytes == (directory / CAPTURE_NAME).stat().st_size
    assert view.replay == f"mixminus replay {directory} bot.py"
    detail = capture_detail(store, REDACTOR, view.id, None, 500)
    assert detail.header == HEADER
    assert [(track.kind, track.speaker, track.duration_ms) for track in detail.tracks] == [
        ("mixed", None, 60),
        ("speaker", "Ann", 60),
        ("own", None, 40),
    ]
    assert [(event.seq, event.kind, event.at_ms, event.title) for event in detail.events] == [
        (1, "notification", 250, "call updated: established"),
        (2, "request", 300, "POST /communications/calls/call-1/mute \N{RIGHTWARDS ARROW} 200"),
        (3, "media", 310, "speaker: source_id 5, name Ann"),
    ]
    assert detail.events[1].body == asked
    assert (detail.total, detail.error) == (3, None)


def test_the_newest_events_come_first_and_others_by_number(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    name = "h:" + write(store, *(notification(number) for number in range(10))).name

    def seqs(after: int | None) -> list[int]:
        found = capture_detail(store, REDACTOR, name, after, 4, last)
        assert found.total == 10
        return [event.seq for event in found.events]

    last = LastIndex()
    assert seqs(None) == [7, 8, 9, 10]
    assert seqs(0) == [1, 2, 3, 4]
    assert seqs(8) == [9, 10]
    assert seqs(10) == seqs(2**53) == []
    other = "h:" + write(store, notification()).name
    assert capture_detail(store, REDACTOR, other, None, 4, last).total == 1
    assert seqs(8) == [9, 10]


def test_no_secret_of_a_capture_that_was_edited_by_hand_is_shown(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
    name = write(
        store,
        notification(mediaConfig={"blob": BLOB}, note=BLOB, inner=json.dumps({"a": BLOB})),
        notification(**{CLIENT_SECRET: 1}, text=f"it is {CLIENT_SECRET}."),
        Record(
            Kind.EXCHANGE, 0, {"method": "GET", "path": f"/x?code={LINK_SECRET}", "body": token}
        ),
        Record(Kind.EVENT, 0, {"event": "speaker", "source_id": 5, "name": CLIENT_SECRET}),
        header={**HEADER, "bot": CLIENT_SECRET, "call": {"id": CLIENT_SECRET, "blob": BLOB}},
    ).name
    (view,) = list_captures(store, REDACTOR)
    detail = capture_detail(store, REDACTOR, "h:" + name, None, 500)
    for shown in (view.model_dump_json(), detail.model_dump_json(by_alias=True)):
        for canary in (CLIENT_SECRET, LINK_SECRET, token):
            assert canary not in shown
    assert "wss://h/media" in detail.model_dump_json()
    assert detail.total == 4


def test_a_damaged_capture_shows_what_is_before_the_damage(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    path = write(store, notification(1), notification(2), close=False) / CAPTURE_NAME
    whole = path.read_bytes()
    (view,) = list_captures(store, REDACTOR)
    assert (view.state, view.duration_ms) == ("recovered", None)
    path.write_bytes(whole + RECORD.pack(77, 0, 0, 0, 0))
    detail = capture_detail(store, REDACTOR, view.id, None, 500)
    assert detail.total == 2
    assert detail.error == "expected a record of kind 1 to 8, got 77"
    assert detail.capture.duration_ms == 40
    path.write_bytes(whole[:-3])
    assert capture_detail(store, REDACTOR, view.id, None, 500).total == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a capture"),
        (b"no capture at all", "expected a capture"),
        (MAGIC, "expected a header first, got the end of the file"),
        (MAGIC + RECORD.pack(1, 0, 0, 2**31, 0), "expected a record of at most"),
        (MAGIC + RECORD.pack(1, 0, 0, 3, 0) + b"[1]", "HEADER: expected an object, got list"),
        (MAGIC + RECORD.pack(1, 0, 0, 3, 0) + b"{{{", "HEADER: expected JSON"),
        (MAGIC + notification().encode(), "expected a header first, got NOTIFICATION"),
    ],
)
def test_a_broken_capture_is_listed_as_such_and_says_why(
    tmp_path: Path, content: bytes, message: str
) -> None:
    store = RecordingStore(tmp_path)
    path = write(store) / CAPTURE_NAME
    path.write_bytes(content)
    (view,) = list_captures(store, REDACTOR)
    assert view.state == "broken"
    assert message in (view.error or "")
    with pytest.raises(ConsoleRefusedError, match="this capture cannot be read") as refused:
        capture_detail(store, REDACTOR, view.id, None, 500)
    assert message in refused.value.message
    assert refused.value.status == 409


def test_what_is_too_large_or_too_deep_is_named_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordingStore(tmp_path)
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    odd = {"event": "odd", "number": float("inf"), "half": "\ud83d", "text": json.dumps(deep)}
    name = write(
        store,
        notification(text="x" * captures.MAX_BODY_BYTES),
        notification(deep=deep),
        Record(Kind.EVENT, 0, odd),
        *(notification(text="y" * 60_000) for _ in range(80)),
    ).name
    detail = capture_detail(store, REDACTOR, "h:" + name, None, 500)
    assert len(detail.model_dump_json()) < captures.MAX_ANSWER_BYTES + 100_000
    titles = [event.title for event in detail.events]
    assert titles[0].startswith("Not shown: 65")
    assert titles[1].endswith("expected JSON at most 60 levels deep")
    assert titles[-1].startswith("Not shown: 60")
    body = detail.events[2].body
    assert body is not None
    assert body["text"] == "[nested too deeply to be shown]"
    assert (body["number"], body["half"]) == ("Infinity", "\ufffd")
    monkeypatch.setattr(captures, "MAX_BYTES", 1000)
    with pytest.raises(ConsoleRefusedError, match="mixminus replay reads it"):
        capture_detail(store, REDACTOR, "h:" + name, None, 500)


def test_only_captures_of_the_store_are_found(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path / "store")
    directory = write(store)
    outside = tmp_path / "outside.mmcap"
    (directory / CAPTURE_NAME).rename(outside)
    (directory / CAPTURE_NAME).symlink_to(outside)
    names = ("h:" + directory.name, directory.name, "s:" + directory.name, "h:../outside", "h:")
    for name in (*names, "h:" + str(outside), "h:20260101T000000Z-00000000"):
        with pytest.raises(ConsoleRefusedError) as refused:
            capture_detail(store, REDACTOR, name, None, 500)
        assert refused.value.status == 404, name
    assert list_captures(store, REDACTOR) == []
    (directory / CAPTURE_NAME).unlink()
    os.mkfifo(directory / CAPTURE_NAME)
    assert list_captures(store, REDACTOR) == []


def test_a_capture_that_is_being_written_or_was_left_is_told_apart(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    entry = store.create()
    file = CaptureFile(entry, Record(Kind.HEADER, 0, HEADER))
    (view,) = list_captures(store, REDACTOR)
    assert (view.state, view.duration_ms) == ("open", None)
    assert capture_detail(store, REDACTOR, view.id, None, 500).total == 0
    file.close(EndReason.FAILED, "no room")
    assert list_captures(store, REDACTOR)[0].state == "left"
    recover(store)
    assert list_captures(store, REDACTOR)[0].state == "recovered"


async def test_the_routes_list_open_page_and_refuse(tmp_path: Path) -> None:
    view = CaptureView(
        id="s:cap",
        side="service",
        name="cap",
        title="A",
        started_at="2026-11-21T22:00:00Z",
        size_bytes=1,
        state="closed",
        replay="mixminus replay cap bot.py",
    )
    async with served(tmp_path, FakeSource(captured=(view,))) as console:
        url = "/console/api/captures"
        (listed,) = (await console.get(url)).json()["captures"]
        assert (listed["id"], listed["sizeBytes"]) == ("s:cap", 1)
        assert (await console.get(f"{url}/s:cap?after=3")).json()["capture"] == listed
        for wrong in ("s:no", "h:cap", "..%2fcap", "%2e%2e", "s:..%2f..%2fetc%2fpasswd"):
            assert (await console.get(f"{url}/{wrong}")).status_code == 404, wrong
        for after in ("-1", "x", "1e3"):
            assert (await console.get(f"{url}/s:cap?after={after}")).status_code == 400
        for path in (url, f"{url}/s:cap"):
            assert (await console.http.get(path)).status_code == 401
