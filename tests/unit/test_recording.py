"""A recording's files: one timeline, whatever comes, goes, pauses and gets lost."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.recorder import (
    EndReason,
    Recording,
    RecordingDurationError,
    RecordingError,
    RecordingOptions,
    RecordingQuotaError,
    Speaker,
)
from mixminus.media.recorder import recording as recording_module
from tests.recorder_kit import names, read, segments, store_at, talk, tick, tone


def test_all_tracks_begin_with_the_first_tick_and_end_with_the_last(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create(), RecordingOptions(own=True))
    # Speaker 1 from the start to 100, speaker 2 from 70 on; ticks 120 to 199 never came.
    for number in (*range(120), *range(200, 250)):
        said = {}
        if number < 100:
            said[1] = tone(number, 300)
        if number >= 70:
            said[2] = tone(number, 500)
        recording.write(tick(number, said, own=tone(number, 700)))
    report = recording.close()
    expected_names = {"mixed.wav", "own.wav", "speaker-1.wav", "speaker-2.wav"}
    assert names(report.files) == {*expected_names, "segments.jsonl", "recording.json"}
    files = {path.name: read(path) for path in report.files if path.suffix == ".wav"}
    assert {pcm.size for pcm in files.values()} == {250 * FRAME_SAMPLES}
    assert report.duration_s == 5.0
    one, two = files["speaker-1.wav"].reshape(250, -1), files["speaker-2.wav"].reshape(250, -1)
    for number in range(250):
        missing = 120 <= number < 200
        np.testing.assert_array_equal(one[number], tone(number, 300) * (number < 100))
        heard = number >= 70 and not missing
        np.testing.assert_array_equal(two[number], tone(number, 500) * heard)
    total = files["speaker-1.wav"].astype(np.int32) + files["speaker-2.wav"]
    np.testing.assert_array_equal(files["mixed.wav"], total)


def test_each_format_is_as_long_as_the_others(tmp_path: Path) -> None:
    options = RecordingOptions(formats=("wav", "flac", "opus"))
    recording = Recording(store_at(tmp_path).create(), options)
    for number in (*range(153), *range(1000, 1100)):
        # 9 joins after 20 s: the Opus file before that is one packet, many times.
        said = {7: tone(number, 300)} | ({9: tone(number, 500)} if number >= 1000 else {})
        recording.write(tick(number, said))
    report = recording.close()
    files = {
        path.name: read(path)
        for path in report.files
        if not path.name.endswith("son") and not path.name.endswith("jsonl")
    }
    assert len(files) == 9
    assert {pcm.size for pcm in files.values()} == {1100 * FRAME_SAMPLES}
    for name in ("mixed", "speaker-7", "speaker-9"):
        wav = files[f"{name}.wav"]
        np.testing.assert_array_equal(files[f"{name}.flac"], wav)
        opus = files[f"{name}.opus"].astype(np.float64)
        for start, end in ((50, 140), (1010, 1090)):
            part = slice(start * FRAME_SAMPLES, end * FRAME_SAMPLES)
            # Opus takes off what is below hearing, which turns a low tone's phase a little.
            assert abs(lag_samples(wav[part].astype(np.float64), opus[part])) <= 4
        # Nobody spoke for 17 s: the lossy one says so too, once its filters have died away.
        assert np.abs(opus[160 * FRAME_SAMPLES : 999 * FRAME_SAMPLES]).max() <= 4


def lag_samples(a: np.ndarray, b: np.ndarray) -> int:
    """By how many samples *b* is behind *a* where they are most alike, 0 where both are silent."""
    if not a.any():
        return 0
    # A sine repeats itself: within less than its period.
    lags = range(-15, 16)
    return max(lags, key=lambda lag: float(np.dot(a[20:-20], np.roll(b, -lag)[20:-20])))


def test_files_are_the_owners_alone_and_named_by_us(tmp_path: Path) -> None:
    entry = store_at(tmp_path).create()
    recording = Recording(entry)
    recording.name_speaker(Speaker(7, "id/../7", "../../etc/passwd\0\n"))
    for each in talk(100):
        recording.write(each)
    report = recording.close()
    assert names(list(report.directory.iterdir())) == {
        "mixed.wav",
        "speaker-7.wav",
        "segments.jsonl",
        "recording.json",
    }
    assert stat.S_IMODE(report.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(report.directory.parent.stat().st_mode) == 0o700
    for path in report.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [line["name"] for line in segments(report.directory)] == ["../../etc/passwd\0\n"]


def test_segments_say_who_spoke_when(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create())
    recording.name_speaker(Speaker(1, "p1", "Ann"))
    quiet = np.zeros(FRAME_SAMPLES, np.int16)
    for number in range(400):
        said = {1: tone(number, 300) if 50 <= number < 150 or 170 <= number < 200 else quiet}
        if number >= 100:
            # A click at 350 is no speech.
            said[2] = tone(number, 500) if number < 250 or number == 350 else quiet
        recording.write(tick(number, said))
    # Who 2 is was told when they had spoken.
    recording.name_speaker(Speaker(2, "p2", "Bob"))
    report = recording.close()
    assert segments(report.directory) == [
        {"who": "p1", "name": "Ann", "source_id": 1, "start_s": 1.0, "end_s": 4.0},
        {"who": "p2", "name": "Bob", "source_id": 2, "start_s": 2.0, "end_s": 5.0},
    ]


def test_the_manifest_says_what_was_recorded(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create(), info={"call_id": "c1"})
    for each in talk(60):
        recording.write(each)
    recording.count_lost(3)
    report = recording.close(EndReason.CALL_ENDED)
    manifest = json.loads((report.directory / "recording.json").read_text())
    assert manifest["call_id"] == "c1"
    assert (manifest["state"], manifest["reason"]) == ("complete", "callEnded")
    assert manifest["lost_frames"] == report.lost_frames == 3
    assert manifest["tracks"][1] == {
        "track": "speaker-7",
        "files": ["speaker-7.wav"],
        "source_id": 7,
        "who": None,
        "name": None,
        "joined_s": 0.0,
    }


def test_a_tick_that_comes_twice_or_late_moves_nothing(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create())
    for number in (0, 1, 2, 2, 1, 3):
        recording.write(tick(number, {1: tone(number, 300)}))
    report = recording.close()
    expected = np.concatenate([tone(number, 300) for number in range(4)])
    np.testing.assert_array_equal(read(report.directory / "mixed.wav"), expected)
    assert json.loads((report.directory / "recording.json").read_text())["late_frames"] == 2


def test_sources_that_are_invented_one_after_the_other_do_not_fill_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "MAX_REMEMBERED", 5)
    recording = Recording(store_at(tmp_path).create(), RecordingOptions(max_speakers=1))
    for number in range(40):
        recording.write(tick(number, {number: tone(number, 300)}))
    report = recording.close()
    manifest = json.loads((report.directory / "recording.json").read_text())
    assert manifest["unrecorded_speakers"] == [1, 2, 3, 4]
    assert read(report.directory / "mixed.wav")[-FRAME_SAMPLES:].any()


def test_more_speakers_than_files_are_in_the_mix_alone(tmp_path: Path) -> None:
    options = RecordingOptions(max_speakers=2)
    recording = Recording(store_at(tmp_path).create(), options)
    for number in range(40):
        recording.write(tick(number, {key: tone(number, 100.0 * key) for key in (1, 2, 3)}))
    report = recording.close()
    assert "speaker-3.wav" not in names(report.files)
    manifest = json.loads((report.directory / "recording.json").read_text())
    assert manifest["unrecorded_speakers"] == [3]
    total = sum(tone(5, 100.0 * key).astype(np.int32) for key in (1, 2, 3))
    mixed = read(report.directory / "mixed.wav").reshape(-1, FRAME_SAMPLES)
    np.testing.assert_array_equal(mixed[5], total)


def test_a_recording_ends_at_the_quota_with_complete_files(tmp_path: Path) -> None:
    store = store_at(tmp_path, quota_bytes=200_000)
    recording = Recording(store.create())
    with pytest.raises(RecordingQuotaError, match="of 200000 that they may"):
        for each in talk(1000):
            recording.write(each)
    report = recording.close(EndReason.QUOTA)
    # Two tracks of 32 kB a second, and one block more than there is room for.
    assert report.duration_s == pytest.approx(3.2, abs=0.65)
    assert read(report.directory / "mixed.wav").size == report.duration_s * 16_000
    with pytest.raises(RecordingQuotaError, match="200000"):
        store.create()


def test_a_recording_is_no_longer_than_it_may(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path, max_duration_s=2.0).create())
    with pytest.raises(RecordingDurationError, match=r"2\.0 s"):
        for each in talk(1000):
            recording.write(each)
    assert recording.close(EndReason.MAX_DURATION).duration_s == 2.0


def test_a_clock_that_jumps_fills_no_disk(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create())
    recording.write(tick(0))
    with pytest.raises(RecordingDurationError):
        recording.write(tick(10**9))
    assert recording.close().duration_s == 0.02


def test_after_the_end_nothing_is_recorded(tmp_path: Path) -> None:
    recording = Recording(store_at(tmp_path).create())
    report = recording.close()
    assert recording.close() is report
    with pytest.raises(RecordingError, match="has ended"):
        recording.write(tick(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"formats": ("mp3",)}, "expected some of wav, flac, opus, got"),
        ({"formats": ()}, "formats"),
        ({"mixed": False, "speakers": False}, "something to record"),
        ({"max_speakers": 0}, "max_speakers: expected at least 1, got 0"),
    ],
)
def test_options_say_what_is_wrong_with_them(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordingOptions(**wrong)  # type: ignore[arg-type]
