"""Recording a hosted call: the gate, what the service is told, and the files at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.client.models import Participant
from mixminus.control.client.requests import GraphRequestError
from mixminus.control.graph.enums import CallState, RecordingStatus
from mixminus.control.host import HostedCall
from mixminus.control.host.call_media import CallMedia
from mixminus.control.host.errors import NoAudioError
from mixminus.control.host.recording import GatePolicy, HostRecordings
from mixminus.control.host.stream_people import participant_of
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.recorder import (
    EndReason,
    Recording,
    RecordingError,
    RecordingGateError,
    RecordingQuotaError,
    RecordingStore,
    StoreLimits,
)
from mixminus.media.session import MediaSession, SessionClosedError
from tests.host_kit import JOHN, World
from tests.recorder_kit import read, segments, talk
from tests.session_kit import MP_URI, FakeTransport, constant, settle

OBSERVED = {"incomingContext": {"observedParticipantId": "p-observed"}}
COMPLETED = {"id": "op", "status": "completed", "@odata.type": "#x.updateRecordingStatusOperation"}


class RecordingWorld(World):
    """A host that records below *path*."""

    def __init__(self, path: Path, policy: GatePolicy = "policy") -> None:
        super().__init__()
        self.store = RecordingStore(path)
        self.platform.tick()  # From then on its clock is virtual.
        self.calls._recordings = HostRecordings(self.store, self.platform, policy=policy)
        self.service.answers["updateRecordingStatus"] = COMPLETED

    async def call_with_audio(self, **incoming: Any) -> tuple[HostedCall, MediaSession]:
        if incoming:
            self.ring("0000-0009", **incoming)
            call = self.calls.get("0000-0009")
            assert call is not None
            await call.answer()
        else:
            call = await self.calls.create(user="John")
        self.say(call.id, "established", mediaState={"audio": "active"})
        assert call.session is not None
        call.session.attach(FakeTransport())
        await settle()
        return call, call.session

    async def run(self, session: MediaSession, ticks: int, **said: int) -> None:
        """So many ticks, in which speakers 5 and 6 say constants."""
        for _ in range(ticks):
            for source_id, value in ((5, said.get("five")), (6, said.get("six"))):
                if value is not None:
                    leg = session.open_speaker(source_id)
                    leg.source.write(constant(value), self.platform.now())
            self.platform.tick()
            await settle()

    def statuses(self) -> list[str]:
        return [body["status"] for action, body in self.service.acted if action[0:6] == "update"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RecordingWorld]:
    made = RecordingWorld(tmp_path)
    made.bot.call_handler = _stays
    yield made
    await made.calls.close()


async def _stays(call: HostedCall) -> None:
    await call.wait_ended()


async def test_a_call_is_recorded_per_speaker_and_mixed(world: RecordingWorld) -> None:
    call, session = await world.call_with_audio()
    world.say(
        call.id,
        "established",
        participants=[],
    )
    recording = await call.record()
    assert call.recordings == (recording,)
    await world.run(session, 60, five=1000)
    await world.run(session, 60, five=1000, six=500)
    assert call.describe()["recordings"] == [{"id": recording.id, "state": "recording"}]
    report = await recording.stop()
    assert report.error is None
    mixed = read(report.directory / "mixed.wav")
    five, six = (read(report.directory / f"speaker-{who}.wav") for who in (5, 6))
    assert mixed.size == five.size == six.size >= 118 * FRAME_SAMPLES
    np.testing.assert_array_equal(mixed, five + six)
    assert five.max() == 1000
    assert six.max() == 500
    assert six[: 50 * FRAME_SAMPLES].max() == 0
    lines = segments(report.directory)
    assert {line["source_id"] for line in lines} == {5, 6}
    # Two people speak, and no roster was told: nobody guesses who the second is.
    assert {line["name"] for line in lines if line["source_id"] == 6} == {None}
    assert json.loads((report.directory / "recording.json").read_text())["call_id"] == call.id
    # A call without a policy: nobody is told.
    assert world.statuses() == []
    await settle()
    (shown,) = call.describe()["recordings"]
    assert (shown["state"], shown["reason"]) == ("ended", "stopped")


async def test_the_peer_of_a_call_of_two_has_a_name_without_a_roster(
    world: RecordingWorld,
) -> None:
    call, session = await world.call_with_audio()
    recording = await call.record()
    await world.run(session, 30, five=1000)
    (line,) = segments((await recording.stop()).directory)
    assert (line["who"], line["name"]) == (JOHN, "John")


async def test_the_end_of_the_call_completes_its_recordings(world: RecordingWorld) -> None:
    call, session = await world.call_with_audio()
    recording = await call.record(speakers=False, own=True, formats=["flac"])
    await world.run(session, 20)
    world.say(call.id, "terminated")
    await call.wait_closed()
    report = await recording.done
    assert report.reason is EndReason.CALL_ENDED
    assert {path.name for path in report.directory.iterdir()} == {
        "mixed.flac",
        "own.flac",
        "recording.json",
        "segments.jsonl",
    }
    with pytest.raises(RecordingGateError, match="the call is over"):
        call.recording_gate.expect_open()


async def test_a_policy_call_says_so_before_anything_is_stored(world: RecordingWorld) -> None:
    call, session = await world.call_with_audio(**OBSERVED)
    assert not call.recording_gate.is_open
    order: list[str] = []
    world.service.during_act = lambda call_id, action: order.append(
        f"{action}, {len(list(world.store.entries()))} stored"
    )
    recording = await call.record()
    assert order == ["updateRecordingStatus, 0 stored"]
    assert world.statuses() == ["recording"]
    await world.run(session, 20, five=1000)
    await recording.stop()
    await settle()
    assert world.statuses() == ["recording", "notRecording"]
    assert not call.recording_gate.is_open


async def test_a_status_that_is_refused_leaves_nothing_behind(world: RecordingWorld) -> None:
    call, _ = await world.call_with_audio(**OBSERVED)
    world.service.fail = GraphRequestError(403, "forbidden", "not a policy recorder")
    with pytest.raises(GraphRequestError, match="not a policy recorder"):
        await call.record()
    world.service.fail = None
    assert not call.recording_gate.is_open
    assert list(world.store.entries()) == []


async def test_a_recording_that_cannot_begin_is_told_as_failed(world: RecordingWorld) -> None:
    call, _ = await world.call_with_audio(**OBSERVED)
    world.store.limits = StoreLimits(quota_bytes=1)
    (world.store.directory / "20260101T000000Z-00000000").mkdir()
    (world.store.directory / "20260101T000000Z-00000000" / "mixed.wav").write_bytes(b"RIFF")
    with pytest.raises(RecordingQuotaError, match="of 1 that they may"):
        await call.record()
    await settle()
    assert world.statuses() == ["recording", "failed"]
    assert not call.recording_gate.is_open


async def test_a_call_that_ends_while_files_are_made_leaves_none(world: RecordingWorld) -> None:
    call, _ = await world.call_with_audio()
    beginning = asyncio.create_task(call.record())
    await asyncio.sleep(0)
    world.say(call.id, "terminated")
    await call.wait_closed()
    with pytest.raises(SessionClosedError):
        await beginning
    assert list(world.store.entries()) == []


async def test_a_call_by_stream_is_recorded_too(tmp_path: Path) -> None:
    world = RecordingWorld(tmp_path)
    session = MediaSession(world.platform, mp_uri=MP_URI)
    session.attach(FakeTransport())

    class Stream(CallMedia):
        """As StreamCall: media, and a speaker whom the far end named."""

        id = "stream-1"
        _session = session
        _host_recordings = world.calls._recordings

        @property
        def state(self) -> CallState:
            return CallState.ESTABLISHED

        def speaker(self, source_id: str | int) -> Participant | None:
            return participant_of("4:+14255550123", int(source_id))

    call = Stream()
    assert call.recording_gate.is_open
    recording = await call.record(mixed=False)
    await world.run(session, 30, five=1000)
    await call._close_recordings()
    report = await recording.done
    (segment,) = segments(report.directory)
    assert segment["who"] == "4:+14255550123"
    assert {path.name for path in report.files} >= {"speaker-5.wav"}
    await session.close()


async def test_what_is_said_after_not_recording_is_not_stored(world: RecordingWorld) -> None:
    call, session = await world.call_with_audio(**OBSERVED)
    await call.update_recording_status(RecordingStatus.RECORDING)
    recording = await call.record()
    await world.run(session, 60, five=1000)
    await call.update_recording_status("notRecording")
    await world.run(session, 60, five=2000)
    await call.update_recording_status("recording")
    await world.run(session, 60, five=3000)
    report = await recording.stop()
    mixed = read(report.directory / "mixed.wav")
    assert set(np.unique(mixed)) >= {0, 1000, 3000}
    assert 2000 not in mixed
    assert mixed.size >= 175 * FRAME_SAMPLES
    # The bot said it itself: it is the bot's to take back.
    await settle()
    assert world.statuses() == ["recording", "notRecording", "recording"]


async def test_a_host_may_forbid_recordings_or_ask_for_the_word_always(tmp_path: Path) -> None:
    for policy, stored in (("never", 0), ("always", 1)):
        world = RecordingWorld(tmp_path / policy, policy)  # type: ignore[arg-type]
        world.bot.call_handler = _stays
        call, _ = await world.call_with_audio()
        if policy == "never":
            await call.update_recording_status("recording")
            with pytest.raises(RecordingGateError, match="settings of this host forbid it"):
                await call.record()
        else:
            await call.record()
            assert world.statuses() == ["recording"]
        await world.calls.close()
        assert len(list(world.store.entries())) == stored


async def test_a_call_without_audio_or_directory_says_why(world: RecordingWorld) -> None:
    call = await world.calls.create(user="John", media="service")
    with pytest.raises(NoAudioError, match="no audio here that could be recorded"):
        await call.record()
    world.calls._recordings = None
    other, _ = await world.call_with_audio()
    with pytest.raises(RecordingError, match="keeps no recordings"):
        await other.record()


async def test_a_host_completes_and_removes_at_its_start(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    left = Recording(store.create())
    for each in talk(100):
        left.write(each)
    directory = left.close(EndReason.FAILED).directory
    world = RecordingWorld(tmp_path)
    async with HostRecordings(RecordingStore(tmp_path), world.platform):
        assert read(directory / "mixed.wav").size >= 96 * FRAME_SAMPLES
    # A path that is no directory is told, and no host is the worse for it.
    (tmp_path / "file").write_text("")
    async with HostRecordings(RecordingStore(tmp_path / "file"), world.platform):
        pass
