"""Recorded responses: opened by their own token alone, bounded, gone a while after the call."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from mixminus.control.service.envelope import add_error_handlers
from mixminus.control.service.ivr.recordings import Recordings, Ticket
from mixminus.control.service.ivr.routes import recordings_router
from tests.support import eventually

BASE = "https://localhost/mixminus/v1/recordings"


def client_of(recordings: Recordings) -> httpx2.AsyncClient:
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(recordings_router(recordings))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), trust_env=False)


async def test_the_access_token_opens_its_recording_and_nothing_else(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path)
    ticket = await recordings.add("call", b"RIFF one")
    other = await recordings.add("call", b"RIFF two")
    assert ticket.location.startswith(f"{BASE}/")
    async with client_of(recordings) as http:
        reply = await http.get(ticket.location, headers={"Authorization": f"Bearer {ticket.token}"})
        assert (reply.status_code, reply.content) == (200, b"RIFF one")
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.headers["cache-control"] == "no-store"
        for authorization in (
            f"Bearer {other.token}",
            f"Bearer {ticket.token}x",
            f"Basic {ticket.token}",
            "Bearer ",
            ticket.token,
            "",
        ):
            headers = {"Authorization": authorization} if authorization else {}
            reply = await http.get(ticket.location, headers=headers)
            assert reply.status_code == 401, authorization
            assert reply.json()["error"]["code"] == "InvalidAuthenticationToken"
        reply = await http.get(f"{BASE}/none", headers={"Authorization": "Bearer x"})
        assert reply.status_code == 404
        reply = await http.get(
            f"{ticket.location}?token={ticket.token}", headers={"Authorization": "Bearer x"}
        )
        assert reply.status_code == 401


async def test_the_oldest_make_room(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path, max_bytes=100)
    ids = [id_of(await recordings.add("call", bytes(40))) for _ in range(3)]
    assert [recordings.find(each) is not None for each in ids] == [False, True, True]
    assert recordings.kept_bytes == 80
    # One that is larger than all the room is still the one that was asked for.
    last = id_of(await recordings.add("call", bytes(1000)))
    assert recordings.kept_bytes == 1000
    await recordings.close()
    assert names_in(tmp_path) == [f"{last}.json", f"{last}.wav"]


async def test_they_are_gone_a_while_after_their_call(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path, kept_s=0.01)
    gone = id_of(await recordings.add("over", b"x"))
    kept = id_of(await recordings.add("goes on", b"y"))
    recordings.call_ended("over")
    recordings.call_ended("without any")
    assert recordings.find(gone) is not None
    await eventually(lambda: recordings.find(gone) is None)
    assert recordings.find(kept) is not None
    recordings.call_ended("goes on")
    await recordings.close()
    assert recordings.kept_bytes == 0
    await recordings.close()
    assert names_in(tmp_path) == [f"{kept}.json", f"{kept}.wav"]


async def test_tokens_are_known_by_their_digest_alone(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path)
    ticket = await recordings.add("call", b"x")
    recording = recordings.find(id_of(ticket))
    assert recording is not None
    assert ticket.token not in repr(recording)
    assert recording.is_opened_by(ticket.token)
    assert not recording.is_opened_by("\ud800")
    for path in (recording.path, recording.path.with_suffix(".json")):
        assert ticket.token.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


async def test_what_was_told_can_be_fetched_after_a_crash_and_then_goes(tmp_path: Path) -> None:
    before = Recordings(BASE, tmp_path)
    ticket = await before.add("call", b"RIFF one")
    # No close: as kill -9 leaves it, and beside it what was being written.
    (tmp_path / "half.wav.part").write_bytes(b"RI")
    (tmp_path / "no-more.wav").write_bytes(b"RIFF")
    (tmp_path / "damaged.wav").write_bytes(b"RIFF")
    (tmp_path / "damaged.json").write_text('{"callId": 5}')
    after = Recordings(BASE, tmp_path, kept_s=0.2)
    await after.start()
    async with client_of(after) as http:
        reply = await http.get(ticket.location, headers={"Authorization": f"Bearer {ticket.token}"})
        assert (reply.status_code, reply.content) == (200, b"RIFF one")
    assert names_in(tmp_path) == [f"{id_of(ticket)}.json", f"{id_of(ticket)}.wav"]
    await eventually(lambda: not names_in(tmp_path))
    assert after.kept_bytes == 0
    await after.close()


async def test_a_clip_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        await recordings.add("call", b"x")
    assert recordings.kept_bytes == 0
    await recordings.close()


async def test_a_file_that_went_is_not_found(tmp_path: Path) -> None:
    recordings = Recordings(BASE, tmp_path)
    ticket = await recordings.add("call", b"x")
    recording = recordings.find(id_of(ticket))
    assert recording is not None
    recording.remove()
    async with client_of(recordings) as http:
        reply = await http.get(ticket.location, headers={"Authorization": f"Bearer {ticket.token}"})
        assert reply.status_code == 404


def id_of(ticket: Ticket) -> str:
    return ticket.location.rpartition("/")[2]


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
