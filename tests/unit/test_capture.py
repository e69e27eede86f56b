"""The parts of a replay: the capture file, what is left out of it, and time that does not wait."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.replay.redact import REDACTED, Redactor
from mixminus.media.pcm import FLAG_CONCEALED, FRAME_SAMPLES, AudioFrame
from mixminus.media.recorder import EndReason, RecordingStore, recover
from mixminus.media.replay import (
    CaptureError,
    CaptureFile,
    Kind,
    Record,
    TickRecord,
    VirtualLoop,
    read_capture,
)
from mixminus.media.replay.format import MAGIC, RECORD


def test_a_capture_reads_back_as_it_was_written() -> None:
    noise = np.random.default_rng(3).integers(-9, 9, FRAME_SAMPLES).astype(np.int16)
    header = Record(Kind.HEADER, 0, {"version": 1, "call": {"id": "é"}})
    silence = AudioFrame.of(np.zeros(FRAME_SAMPLES, np.int16), 7, 1)
    loud = AudioFrame.of(noise, 7, FLAG_CONCEALED)
    tick = TickRecord(7, loud, {3: loud, 2**32 - 1: silence}, silence)
    bare = TickRecord(200_007, silence)
    event = Record(Kind.EVENT, 200_008, {"event": "tone", "key": "5"})
    content = MAGIC + b"".join(item.encode() for item in (header, tick, bare, event))
    items = list(read_capture(io.BytesIO(content)))
    assert items[0] == header
    assert items[3] == event
    read = items[1]
    assert isinstance(read, TickRecord)
    assert (read.time, read.mixed.is_concealed, read.own is not None) == (7, True, True)
    np.testing.assert_array_equal(read.speakers[3], noise)
    assert read.speakers[2**32 - 1].is_silence
    assert isinstance(items[2], TickRecord)
    assert items[2].own is None
    # Cut short anywhere after the magic it is what came whole before.
    for end in range(len(MAGIC), len(content), 97):
        assert len(list(read_capture(io.BytesIO(content[:end])))) <= 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF....WAVE", "expected a capture, which begins with"),
        (MAGIC + bytes([99]) + bytes(15), "kind 1 to 8, got 99"),
        (MAGIC + bytes([1, 0, 0, 0, 255, 255, 255, 255]) + bytes(8), "at most"),
        (MAGIC + bytes([1, 0, 0, 0, 2, 0, 0, 0]) + bytes(8) + b"[]", "HEADER: expected an object"),
        (MAGIC + bytes([2, 0, 0, 0, 2, 0, 0, 0]) + bytes(8) + b"{!", "NOTIFICATION: expected JSON"),
        (MAGIC + bytes([4, 0, 0, 0, 2, 0, 0, 0]) + bytes(8) + b"ab", "640 bytes or none, got 2"),
        (MAGIC + bytes([5, 0, 0, 0, 4, 0, 0, 0]) + bytes(12), "a mixed frame before SPEAKER"),
        (MAGIC + bytes([4, 0, 0, 0, 0, 0, 0, 0]) + bytes(7) + b"\x40", "a time within a week"),
        (MAGIC + RECORD.pack(7, 0, 0, 99_999, 0) + b"[" * 99_999, "EVENT: expected JSON"),
    ],
)
def test_what_is_no_capture_says_so(content: bytes, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        list(read_capture(io.BytesIO(content)))


def test_what_a_loss_of_power_left_is_completed_up_to_its_last_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk may have made the file longer, and never have written what belongs there: zeros."""
    half = "half a character: \ud83d"
    capture = CaptureFile(RecordingStore(tmp_path).create(), Record(Kind.HEADER, 0, {"of": half}))
    events = [Record(Kind.EVENT, number, {"event": "tone"}) for number in range(50)]
    for event in events:
        capture.write(event)
    directory = capture.close(EndReason.FAILED).directory
    with (directory / "call.mmcap.part").open("ab") as file:
        file.write(bytes(4096))
    (report,) = recover(RecordingStore(tmp_path))
    assert report.reason is EndReason.RECOVERED
    with (directory / "call.mmcap").open("rb") as file:
        header, *read = read_capture(file)
    assert read == events
    assert isinstance(header, Record)
    assert header.content == {"of": half}
    assert "kind 1 to 8, got 0" in caplog.text


def test_the_redactor_leaves_what_is_no_secret() -> None:
    plain: Mapping[str, Any] = {
        "id": "call",
        "state": "established",
        "toneInfo": {"tone": "tone1", "sequenceId": 1},
        "participants": [{"isMuted": False, "info": None}],
        "blob": "",
        "hasPassword": True,
        "number": 5,
    }
    assert Redactor(["established-by"]).clean(plain) == plain
    redactor = Redactor(["abcdef", "abcdefgh", "x"])
    assert redactor.text("x abcdefgh abcdef") == f"x {REDACTED} {REDACTED}"
    assert redactor.clean({"accessToken": "a", "Client-Secret": 1, "pin": "1"}) == {
        "accessToken": REDACTED,
        "Client-Secret": REDACTED,
        "pin": REDACTED,
    }
    assert redactor.text("https://user:pass@host/a?b=1&token=t#f") == (
        f"https://{REDACTED}@host/a?b=1&token={REDACTED}#f"
    )


def test_a_virtual_loop_does_not_wait_and_keeps_the_order() -> None:
    order: list[str] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(f"{name} at {asyncio.get_running_loop().time():g}")

    def work() -> str:
        time.sleep(0.02)
        return "worked"

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(sleep("late", 3600), sleep("soon", 60))
        before = loop.time()
        assert await asyncio.to_thread(work) == "worked"
        # What a thread took is no time at all.
        assert loop.time() == before
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(20)
        return loop.time()

    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == pytest.approx(3610)
    assert order == ["soon at 60", "late at 3600"]
    assert time.perf_counter() - began < 600
