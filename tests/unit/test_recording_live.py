"""A recording of a running session: its gate, its end, and who the speakers are."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS
from mixminus.media.recorder import (
    EndReason,
    LiveRecording,
    RecordingGate,
    RecordingGateError,
    RecordingOptions,
    RecordingQuotaError,
    Speaker,
)
from mixminus.media.recorder.live import Describe
from tests.recorder_kit import Tick, read, segments, store_at, tick, tone

ORIGIN = 777


class FakeListener:
    """As ``media.session.Listener``, with ticks that the test gives."""

    def __init__(self) -> None:
        self.dropped = 0
        self.closed = False
        self._ticks: deque[Tick] = deque()
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()

    def give(self, *numbers: int) -> None:
        self._ticks += [tick(number, {7: tone(number, 300)}) for number in numbers]
        self._taken.clear()
        self._ready.set()

    def __aiter__(self) -> FakeListener:
        return self

    async def __anext__(self) -> Tick:
        while not self._ticks:
            if self.closed:
                raise StopAsyncIteration
            self._taken.set()
            self._ready.clear()
            await self._ready.wait()
        return self._ticks.popleft()

    async def taken(self) -> None:
        await self._taken.wait()

    def close(self) -> None:
        self.closed = True
        self._ready.set()


class Clock:
    """The engine's time, as a number of ticks."""

    number = 0

    def __call__(self) -> int:
        return ORIGIN + self.number * FRAME_TICKS


async def begin(
    tmp_path: Path, gate: RecordingGate, describe: Describe = lambda source_id: None
) -> tuple[LiveRecording, FakeListener]:
    listener = FakeListener()
    live = await LiveRecording.begin(
        lambda: listener,
        store_at(tmp_path),
        gate,
        RecordingOptions(),
        info={"call_id": "c"},
        describe=describe,
    )
    return live, listener


async def test_nothing_is_stored_of_what_was_said_while_the_gate_was_shut(tmp_path: Path) -> None:
    clock = Clock()
    gate = RecordingGate(clock)
    with pytest.raises(RecordingGateError, match="never opened"):
        await begin(tmp_path, gate)
    assert not (tmp_path / "recordings").exists()
    clock.number = 10
    gate.open()
    live, listener = await begin(tmp_path, gate)
    # Ticks 0 to 9 waited in a queue when it opened: they were said before that.
    listener.give(*range(50))
    await listener.taken()
    gate.shut("the bot said that it does not record")
    listener.give(*range(50, 100))
    await listener.taken()
    clock.number = 120
    gate.open()
    listener.give(*range(100, 150))
    await listener.taken()
    report = await live.stop()
    assert (report.reason, report.duration_s) == (EndReason.STOPPED, 2.8)
    frames = read(report.directory / "mixed.wav").reshape(-1, FRAME_SAMPLES)
    for number in range(10, 150):
        expected = tone(number, 300) * (number < 50 or number >= 120)
        np.testing.assert_array_equal(frames[number - 10], expected)
    assert listener.closed


async def test_a_paused_recording_is_silent_and_goes_on_in_time(tmp_path: Path) -> None:
    gate = RecordingGate(Clock())
    gate.open()
    live, listener = await begin(tmp_path, gate)
    for part in range(3):
        live.paused = part == 1
        listener.give(*range(part * 50, part * 50 + 50))
        await listener.taken()
    report = await live.stop()
    frames = read(report.directory / "speaker-7.wav").reshape(-1, FRAME_SAMPLES)
    assert [bool(frame.any()) for frame in frames] == [True] * 50 + [False] * 50 + [True] * 50


async def test_a_session_that_ends_completes_the_recording(tmp_path: Path) -> None:
    gate = RecordingGate(Clock())
    gate.open()
    live, listener = await begin(tmp_path, gate)
    listener.give(*range(50))
    listener.dropped = 3
    listener.close()
    report = await live.done
    assert report is await live.stop()
    assert (report.reason, report.duration_s) == (EndReason.CALL_ENDED, 1.0)
    assert live.is_over
    assert live.lost_frames == 3


async def test_who_speaks_is_asked_until_somebody_knows(tmp_path: Path) -> None:
    asked: list[int] = []

    def describe(source_id: int) -> Speaker | None:
        asked.append(source_id)
        return Speaker(source_id, "p7", "Ann") if len(asked) > 1 else None

    gate = RecordingGate(Clock())
    gate.open()
    live, listener = await begin(tmp_path, gate, describe)
    listener.give(*range(100))
    await listener.taken()
    report = await live.stop()
    assert asked == [7, 7]
    assert [(line["who"], line["name"]) for line in segments(report.directory)] == [("p7", "Ann")]


async def test_a_quota_that_is_used_up_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = RecordingGate(Clock())
    gate.open()
    listener = FakeListener()
    store = store_at(tmp_path, quota_bytes=50_000)
    live = await LiveRecording.begin(
        lambda: listener, store, gate, RecordingOptions(), info={}, describe=lambda source_id: None
    )
    listener.give(*range(500))
    report = await live.done
    assert report.reason is EndReason.QUOTA
    assert report.error is not None
    assert "RecordingQuotaError: the recordings take up" in report.error
    assert read(report.directory / "mixed.wav").any()
    assert "ended (quota)" in caplog.text
    with pytest.raises(RecordingQuotaError):
        await LiveRecording.begin(
            FakeListener, store, gate, RecordingOptions(), info={}, describe=lambda source_id: None
        )


def test_a_gate_tells_what_becomes_of_it() -> None:
    told: list[bool] = []
    gate = RecordingGate(Clock(), reason="this call's policy asks for it")
    remove = gate.on_change(told.append)
    with pytest.raises(RecordingGateError, match="this call's policy asks for it"):
        gate.expect_open()
    assert not gate.admits(10**9)
    gate.open()
    gate.open()
    gate.expect_open()
    assert gate.reason == ""
    gate.shut("enough")
    gate.shut("enough by far")
    assert gate.reason == "enough by far"
    remove()
    remove()
    gate.open()
    assert told == [True, False]
