"""Completing what a process left behind that ended in the middle of a recording."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.error import FFmpegError

from ..pcm import FRAME_SAMPLES, Pcm
from ..pipeline.wav import HEADER, wav_header
from .manifest import MANIFEST_NAME, finish_file, json_line, read_manifest, write_manifest
from .options import EndReason, RecordingReport
from .recording import SEGMENTS_NAME
from .segments import seconds
from .store import RecordingStore, StoreEntry
from .tracks import PART, FlacTrack, OpusTrack, make_private

log = logging.getLogger("mixminus.media.recorder")

SALVAGED: Final = ".salvaged"
"""What the name of a file ends with while it is copied: nobody takes that for a recording."""
COPY_BYTES: Final = 1 << 20


def recover(store: RecordingStore) -> tuple[RecordingReport, ...]:
    """Complete all entries of *store* whose process is gone; return what came of each.

    All files of a recording end up equally long: what one has less than another is silence. One
    entry that cannot be completed is told, stays as it is, and keeps no other from it.
    Thread: any but the loop's. At the start of a host, before it records.
    """
    reports = []
    for entry in store.left_behind():
        try:
            report = recover_entry(entry)
        except Exception as exc:
            # The boundary to files that a crash, or anybody, may have left in any state.
            log.exception("recording %s cannot be completed", entry.id)
            entry.release(is_complete=False)
            report = RecordingReport(
                entry.id, entry.directory, EndReason.FAILED, 0.0, error=str(exc)
            )
        reports.append(report)
    return tuple(reports)


def recover_entry(entry: StoreEntry) -> RecordingReport:
    """Complete one entry.

    Raises: OSError, FFmpegError.
    """
    # Here, as captures are written with what this package has.
    from ..replay.capture_file import CAPTURE_NAME, salvage_capture

    directory = entry.directory
    capture = directory / (CAPTURE_NAME + PART)
    if capture.exists() or (directory / CAPTURE_NAME).exists():
        done_capture = salvage_capture(capture) if capture.exists() else directory / CAPTURE_NAME
        entry.release(is_complete=True)
        log.warning("capture %s: completed after a crash", entry.id)
        return RecordingReport(entry.id, directory, EndReason.RECOVERED, 0.0, (done_capture,))
    for rest in (*directory.glob(f"*{SALVAGED}"), directory / (MANIFEST_NAME + PART)):
        rest.unlink(missing_ok=True)
    parts = {
        path: MEASURES[path.suffixes[-2]](path)
        for path in sorted(directory.glob(f"*.*{PART}"))
        if path.suffixes[-2] in MEASURES
    }
    manifest = read_manifest(directory)
    whole = round(manifest.get("duration_s", 0.0) * 50) if _some_are_complete(directory) else 0
    frames = max([whole, *(samples // FRAME_SAMPLES for samples in parts.values())])
    done = []
    for part in parts:
        SALVAGES[part.suffixes[-2]](part, frames * FRAME_SAMPLES)
        done.append(finish_file(part))
    segments = directory / (SEGMENTS_NAME + PART)
    if segments.exists():
        _complete_segments(segments, manifest.get("open_segments", []))
        done.append(finish_file(segments))
    manifest |= {
        "id": entry.id,
        "state": "complete",
        "reason": EndReason.RECOVERED,
        "duration_s": seconds(frames),
        "open_segments": [],
    }
    manifest.pop("version", None)
    done.append(write_manifest(directory, manifest))
    entry.release(is_complete=True)
    log.warning("recording %s: completed after a crash, %.1f s", entry.id, seconds(frames))
    return RecordingReport(
        entry.id,
        directory,
        EndReason.RECOVERED,
        seconds(frames),
        tuple(done),
        manifest.get("lost_frames", 0),
    )


def _some_are_complete(directory: Path) -> bool:
    return any(path.suffix in MEASURES for path in directory.iterdir())


def _complete_segments(part: Path, open_segments: list[dict[str, Any]]) -> None:
    """Leave out a line that was cut short, and add the segments that had not ended."""
    content = part.read_bytes()
    end = content.rfind(b"\n") + 1
    with part.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        for segment in open_segments:
            file.write(json_line(segment))
        file.flush()
        os.fdatasync(file.fileno())


# WAV: all samples that the file holds, whatever its header says.


def _wav_samples(part: Path) -> int:
    return max(0, part.stat().st_size - HEADER.size) // 2


def _salvage_wav(part: Path, samples: int) -> None:
    with part.open("r+b") as file:
        file.truncate(HEADER.size + min(samples, _wav_samples(part)) * 2)
        # What is missing is zeros, and may be a hole.
        file.truncate(HEADER.size + samples * 2)
        file.write(wav_header(samples * 2))
        file.flush()
        os.fdatasync(file.fileno())


# FLAC and Opus: what can be read is copied into a new file, without loss.


def _flac_samples(part: Path) -> int:
    return sum(pcm.size for pcm in _flac_chunks(part))


def _flac_chunks(part: Path) -> Iterator[Pcm]:
    if not part.stat().st_size:
        return
    with part.open("rb") as file:
        try:
            with av.open(file, "r", format="flac") as container:
                for frame in container.decode(audio=0):
                    yield frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
        except FFmpegError as exc:
            # The end of a file that was cut short: what came before it is the recording.
            log.info("%s: read until %s", part.name, exc)


def _salvage_flac(part: Path, samples: int) -> None:
    copy = part.with_name(part.name + SALVAGED)
    track = FlacTrack(make_private(copy))
    try:
        for pcm in _flac_chunks(part):
            track.write(pcm[: samples - track.samples])
        track.write_silence(samples - track.samples)
        track.sync()
        track.close()
    finally:
        track.abandon()
    copy.replace(part)


def _opus_samples(part: Path) -> int:
    return sum(1 for _ in _opus_packets(part)) * FRAME_SAMPLES


def _opus_packets(part: Path) -> Iterator[bytes]:
    if not part.stat().st_size:
        return
    with part.open("rb") as file:
        try:
            with av.open(file, "r", format="ogg") as container:
                for packet in container.demux(audio=0):
                    if packet.size:
                        yield bytes(packet)
        except FFmpegError as exc:
            log.info("%s: read until %s", part.name, exc)


def _salvage_opus(part: Path, samples: int) -> None:
    copy = part.with_name(part.name + SALVAGED)
    track = OpusTrack(make_private(copy))
    try:
        for packet in _opus_packets(part):
            if track.samples < samples:
                track.append_packet(packet)
        track.write_silence(samples - track.samples)
        track.sync()
        track.close()
    finally:
        track.abandon()
    copy.replace(part)


MEASURES: Final[dict[str, Callable[[Path], int]]] = {
    ".wav": _wav_samples,
    ".flac": _flac_samples,
    ".opus": _opus_samples,
}
SALVAGES: Final[dict[str, Callable[[Path, int], None]]] = {
    ".wav": _salvage_wav,
    ".flac": _salvage_flac,
    ".opus": _salvage_opus,
}
