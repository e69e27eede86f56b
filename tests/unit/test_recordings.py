"""Recorded responses: opened by their own token alone, bounded, gone a while after the call."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI

from mixminus.control.service.envelope import add_error_handlers
from mixminus.control.service.ivr.recordings import Recordings
from mixminus.control.service.ivr.routes import recordings_router
from tests.support import eventually

BASE = "https://localhost/mixminus/v1/recordings"


def client_of(recordings: Recordings) -> httpx2.AsyncClient:
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(recordings_router(recordings))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), trust_env=False)


async def test_the_access_token_opens_its_recording_and_nothing_else() -> None:
    recordings = Recordings(BASE)
    ticket, other = recordings.add("call", b"RIFF one"), recordings.add("call", b"RIFF two")
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


def test_the_oldest_make_room() -> None:
    recordings = Recordings(BASE, max_bytes=100)
    ids = [recordings.add("call", bytes(40)).location.rpartition("/")[2] for _ in range(3)]
    assert [recordings.find(each) is not None for each in ids] == [False, True, True]
    assert recordings.kept_bytes == 80
    # One that is larger than all the room is still the one that was asked for.
    recordings.add("call", bytes(1000))
    assert recordings.kept_bytes == 1000


async def test_they_are_gone_a_while_after_their_call() -> None:
    recordings = Recordings(BASE, kept_s=0.01)
    gone = recordings.add("over", b"x").location.rpartition("/")[2]
    kept = recordings.add("goes on", b"y").location.rpartition("/")[2]
    recordings.call_ended("over")
    recordings.call_ended("without any")
    assert recordings.find(gone) is not None
    await eventually(lambda: recordings.find(gone) is None)
    assert recordings.find(kept) is not None
    recordings.call_ended("goes on")
    recordings.close()
    assert recordings.kept_bytes == 0
    recordings.close()


def test_tokens_are_known_by_their_digest_alone() -> None:
    recordings = Recordings(BASE)
    ticket = recordings.add("call", b"x")
    recording = recordings.find(ticket.location.rpartition("/")[2])
    assert recording is not None
    assert ticket.token not in repr(recording)
    assert recording.is_opened_by(ticket.token)
    assert not recording.is_opened_by("\ud800")
    with pytest.raises(AttributeError):
        recording.wav = b""  # type: ignore[misc]
