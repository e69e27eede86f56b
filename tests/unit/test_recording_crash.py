"""What a recording is worth after the disk, the process or the quota has failed it."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.recorder import (
    EndReason,
    Recording,
    RecordingError,
    RecordingOptions,
    RecordingQuotaError,
    RecordingReport,
    RecordingStore,
    Speaker,
    StoreLimits,
    TimelineFrame,
    WriterThread,
    recover,
)
from tests.recorder_kit import Tick, names, read, segments, store_at, talk, tick, tone

RECORDS_UNTIL_KILLED = """
import sys
from mixminus.media.recorder import Recording, RecordingOptions, RecordingStore, Speaker
from tests.recorder_kit import talk
options = RecordingOptions(formats=("wav", "flac", "opus"))
recording = Recording(RecordingStore(sys.argv[1]).create(), options)
recording.name_speaker(Speaker(7, "p7", "Ann"))
for number, tick in enumerate(talk(10**6)):
    recording.write(tick)
    print(number + 1, flush=True)
"""


def test_a_killed_process_loses_less_than_a_second(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDS_UNTIL_KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 213:
            break
    os.kill(process.pid, signal.SIGKILL)
    written = max([213, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    process.stdout.close()
    (report,) = recover(RecordingStore(tmp_path))
    assert report.reason is EndReason.RECOVERED
    frames = round(report.duration_s * 50)
    assert written - 50 < frames <= written + 32
    pcm = {path.name: read(path) for path in report.files if path.stem in ("mixed", "speaker-7")}
    assert len(pcm) == 6
    for name, samples in pcm.items():
        assert abs(samples.size - frames * FRAME_SAMPLES) <= FRAME_SAMPLES, name
    expected = np.concatenate([tone(number, 300) for number in range(frames)])
    # Formats may have got to the disk a little less far than the others.
    kept = slice(0, (written - 50) * FRAME_SAMPLES)
    np.testing.assert_array_equal(pcm["mixed.wav"][kept], expected[kept])
    np.testing.assert_array_equal(pcm["speaker-7.flac"][kept], expected[kept])
    # It spoke when it was killed: the segment has an end all the same.
    (segment,) = segments(report.directory)
    assert (segment["who"], segment["name"], segment["start_s"]) == ("p7", "Ann", 0.0)
    assert segment["end_s"] == pytest.approx(report.duration_s, abs=0.7)
    manifest = json.loads((report.directory / "recording.json").read_text())
    assert (manifest["state"], manifest["reason"]) == ("complete", "recovered")
    # Nothing is left to be done.
    assert recover(RecordingStore(tmp_path)) == ()
    assert not list(report.directory.glob("*.part*"))
    assert not (report.directory / "lock").exists()


def _leave(store: RecordingStore, frames: int, **options: object) -> Path:
    """Record, and leave it as a process does that is gone: the lock free, nothing completed."""
    recording = Recording(store.create(), RecordingOptions(**options))  # type: ignore[arg-type]
    for each in talk(frames):
        recording.write(each)
    return recording.close(EndReason.FAILED, "as a test wants it").directory


def test_files_that_hold_less_are_filled_up_to_the_longest(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    directory = _leave(store, 200, formats=("wav", "flac", "opus"))
    for name, keep_bytes in (
        ("mixed.wav.part", 44 + 2 * 20_001),
        ("mixed.flac.part", 3000),
        ("mixed.opus.part", 2000),
        ("speaker-7.flac.part", 0),
        ("speaker-7.opus.part", 30),
    ):
        os.truncate(directory / name, keep_bytes)
    (directory / "segments.jsonl.part").write_text('{"who": null, "name": "Ann"}\n{"who": nu')
    (report,) = recover(store)
    assert report.error is None
    samples = {path.name: read(path).size for path in directory.iterdir() if path.suffix != ".json"
               and path.suffix != ".jsonl"}  # fmt: skip
    assert len(samples) == 6
    assert max(samples.values()) == report.duration_s * 16_000 >= 3 * 16_000
    assert max(samples.values()) - min(samples.values()) <= FRAME_SAMPLES
    expected = np.concatenate([tone(number, 300) for number in range(60)])
    np.testing.assert_array_equal(read(directory / "mixed.wav")[:19_200], expected[:19_200])
    assert not read(directory / "speaker-7.flac").any()
    assert segments(directory)[0] == {"who": None, "name": "Ann"}


def test_a_recording_that_goes_on_is_nobodys_to_recover(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    recording = Recording(store.create())
    assert recover(store) == recover(store_at(tmp_path)) == ()
    recording.write(tick(0))
    with pytest.raises(RecordingError, match="being written"):
        store.remove(recording.id)
    assert recording.close().error is None
    assert store.remove(recording.id)
    assert not store.remove(recording.id)
    assert not store.remove("../recordings")


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Have the kernel refuse to make any file longer: EFBIG, as ENOSPC in all but its number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("file_format", ["wav", "flac", "opus"])
def test_a_full_disk_ends_the_recording_and_what_is_there_can_be_recovered(
    tmp_path: Path, file_format: str
) -> None:
    store = store_at(tmp_path)
    recording = Recording(store.create(), RecordingOptions(formats=(file_format,)))  # type: ignore[arg-type]
    ended: list[RecordingReport] = []
    with files_of_at_most(20_000):
        writer: WriterThread[Tick] = WriterThread(recording, ended.append, queue_items=10_000)
        for each in talk(1000):
            writer.put(each)
        writer.join()
    (report,) = ended
    assert report.reason is EndReason.FAILED
    assert report.error is not None
    assert "File too large" in report.error
    assert not writer.put(tick(0))
    (recovered,) = recover(store)
    # 20 kB: 0.6 s of WAV, more of the others.
    assert recovered.duration_s >= 0.5
    assert read(recovered.directory / f"mixed.{file_format}").any()


def test_who_writes_too_fast_never_waits_and_is_counted(tmp_path: Path) -> None:
    disk_is_back = threading.Event()

    class SlowRecording(Recording):
        def write(self, frame: TimelineFrame) -> None:
            disk_is_back.wait()
            super().write(frame)

    recording = SlowRecording(store_at(tmp_path).create())
    ended: list[RecordingReport] = []
    writer: WriterThread[Tick] = WriterThread(recording, ended.append, queue_items=10)
    taken = [writer.put(each) for each in talk(100)]
    assert 10 <= taken.count(True) <= 11
    disk_is_back.set()
    # Room for one more comes as the disk writes: put it until it is taken.
    last = 200
    while not writer.put(tick(last, {7: tone(last, 300)})):
        time.sleep(0)
    writer.stop(EndReason.STOPPED)
    writer.join()
    assert ended[0].lost_frames == writer.lost >= taken.count(False)
    # What was lost is silence: no later frame moved.
    frames = read(ended[0].directory / "mixed.wav").reshape(-1, FRAME_SAMPLES)
    assert len(frames) == last + 1
    np.testing.assert_array_equal(frames[last], tone(last, 300))
    assert [bool(frame.any()) for frame in frames[:100]] == taken


def test_a_bug_in_a_sink_is_told_as_the_end(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        id = "broken"

        def write(self, item: int) -> None:
            raise KeyError(item)

        def count_lost(self, frames: int) -> None: ...

        def close(
            self, reason: EndReason = EndReason.STOPPED, error: str | None = None
        ) -> RecordingReport:
            return RecordingReport("broken", Path(), reason, 0.0, error=error)

    ended: list[RecordingReport] = []
    writer: WriterThread[int] = WriterThread(Broken(), ended.append)
    writer.put(1)
    writer.join()
    assert (ended[0].reason, ended[0].error) == (EndReason.FAILED, "KeyError: 1")
    assert "recording broken" in caplog.text


def test_what_is_older_than_the_retention_is_removed(tmp_path: Path) -> None:
    now = 1_000_000.0
    store = RecordingStore(tmp_path, StoreLimits(retention_s=100.0), clock=lambda: now)
    old = Recording(store.create()).close().directory
    living = Recording(store.create())
    stranger = tmp_path / "somebody-elses"
    stranger.mkdir()
    for path in (old, *old.iterdir(), living._entry.directory, *living._entry.directory.iterdir()):
        os.utime(path, (now, now))
    now += 99.0
    assert store.sweep() == ()
    now += 2.0
    assert store.sweep() == (old.name,)
    assert not old.exists()
    assert stranger.exists()
    assert living.close().error is None


def test_the_quota_counts_what_is_there_already(tmp_path: Path) -> None:
    first = store_at(tmp_path, quota_bytes=100_000)
    recording = Recording(first.create())
    with pytest.raises(RecordingQuotaError):
        for each in talk(200):
            recording.write(each)
    recording.close(EndReason.QUOTA)
    second = store_at(tmp_path, quota_bytes=100_000)
    assert second.used_bytes >= 100_000
    with pytest.raises(RecordingQuotaError):
        second.create()
    assert second.remove(recording.id)
    Recording(second.create()).close()


def test_the_quota_counts_what_others_keep_in_the_same_directory(tmp_path: Path) -> None:
    """Two hosts may share one, or a host and a recorder plugin."""
    ours, theirs = store_at(tmp_path, quota_bytes=100_000), store_at(tmp_path)
    going_on = Recording(ours.create())
    before = ours.used_bytes
    _leave(theirs, 100)
    assert ours.used_bytes == before, "what was there is not counted anew with each block"
    with pytest.raises(RecordingQuotaError):
        ours.create()
    with pytest.raises(RecordingQuotaError):
        for each in talk(100):
            going_on.write(each)
    going_on.close(EndReason.QUOTA)


def test_what_another_user_put_there_is_not_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory where others may write, it could be a link to anything of ours."""
    store = store_at(tmp_path)
    planted = _leave(store, 50)
    precious = tmp_path / "precious"
    precious.write_bytes(bytes(range(200)))
    (planted / "mixed.wav.part").unlink()
    (planted / "mixed.wav.part").symlink_to(precious)
    # As if it were theirs: a test need not be somebody who may give files away.
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    again = store_at(tmp_path)
    assert recover(again) == ()
    assert again.sweep() == ()
    assert again.used_bytes == 0
    assert not again.remove(planted.name)
    assert precious.read_bytes() == bytes(range(200))


def test_limits_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ValueError, match="retention_s: expected more than 0, got 0"):
        StoreLimits(retention_s=0)


def test_speakers_can_be_named_from_another_thread_while_it_writes(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create())
    ended: list[RecordingReport] = []
    writer: WriterThread[Tick] = WriterThread(recording, ended.append, queue_items=10_000)
    for number, each in enumerate(talk(500)):
        recording.name_speaker(Speaker(7, "p", f"name {number}"))
        writer.put(each)
    writer.stop(EndReason.CALL_ENDED)
    writer.join()
    assert [line["name"] for line in segments(ended[0].directory)] == ["name 499"]
    assert "speaker-7.wav" in names(ended[0].files)


def test_files_that_go_while_they_are_counted_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path)
    directory = Recording(store.create()).close().directory
    look = Path.iterdir

    def iterate(path: Path) -> Iterator[Path]:
        yield from look(path)
        yield path / "recording.json.part"

    monkeypatch.setattr(Path, "iterdir", iterate)
    again = store_at(tmp_path)
    assert again.used_bytes == sum(path.stat().st_size for path in look(directory))
    assert again.sweep() == ()


def test_an_entry_in_no_state_at_all_keeps_no_other_from_being_completed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path)
    broken, whole = _leave(store, 50), _leave(store, 50)
    (broken / "recording.json").write_text('{"duration_s": "long", "open_segments": 5}')
    (broken / "own.wav").write_bytes(b"")
    reports = {report.directory: report for report in recover(store)}
    assert reports[broken].reason is EndReason.FAILED
    assert reports[whole].reason is EndReason.RECOVERED
    assert "cannot be completed" in caplog.text
    assert read(whole / "mixed.wav").any()


def test_an_entry_that_is_completed_while_it_is_looked_at_was_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host of the same directory may start at that very moment."""
    recording = Recording(store_at(tmp_path).create())
    for each in talk(50):
        recording.write(each)
    take = fcntl.flock

    def flock(lock: IO[bytes], operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            recording.close()
        take(lock, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert recover(store_at(tmp_path)) == ()
    report = recording.close()
    manifest = json.loads((report.directory / "recording.json").read_text())
    assert manifest["reason"] == EndReason.STOPPED


def test_half_a_character_in_a_name_costs_no_recording(tmp_path: Path) -> None:
    """JSON may hold one, and a service may have cut a name in the middle of it."""
    recording = Recording(store_at(tmp_path).create())
    name = "Ann \ud83d"
    for number, each in enumerate(talk(100)):
        if number == 50:
            recording.name_speaker(Speaker(7, "p7", name))
        recording.write(each)
    report = recording.close()
    assert (report.reason, report.error) == (EndReason.STOPPED, None)
    (segment,) = segments(report.directory)
    assert segment["name"] == name
    left = Recording(store_at(tmp_path / "left").create())
    left.name_speaker(Speaker(7, "p7", name))
    for each in talk(100):
        left.write(each)
    left.close(EndReason.FAILED)
    (recovered,) = recover(store_at(tmp_path / "left"))
    assert recovered.reason is EndReason.RECOVERED
    assert segments(recovered.directory)[0]["name"] == name
