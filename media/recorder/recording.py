"""A recording: the ticks of a call to files of one length, on one timeline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from av.error import FFmpegError

from ..pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame, Pcm
from .errors import RecordingDurationError, RecordingError
from .manifest import MANIFEST_NAME, finish_file, json_line, write_manifest
from .options import EndReason, RecordingOptions, RecordingReport, TimelineFrame
from .segments import Segment, SegmentFinder, Speaker, seconds
from .store import StoreEntry, sync_directory
from .tracks import PART, TrackFile, make_private, open_track

BLOCK_FRAMES: Final = 32
"""What is gathered before it is written and put on the disk: 640 ms, so that with what encoders
hold back (100 ms) and what the writer's thread waits (100 ms) a crash loses less than a second."""
BLOCK_SAMPLES: Final = BLOCK_FRAMES * FRAME_SAMPLES
FRAMES_PER_S: Final = 50
SEGMENTS_NAME: Final = "segments.jsonl"
MAX_REMEMBERED: Final = 1024
"""Sources that the manifest, which is written with each block, names: with a track or without."""


@dataclass(slots=True)
class _Track:
    """The block at hand of one track, and its files; *finder* is a speaker's."""

    name: str
    files: dict[Path, TrackFile] = field(default_factory=dict)
    finder: SegmentFinder | None = None
    joined_frame: int = 0
    block: Pcm = field(default_factory=lambda: np.zeros(BLOCK_SAMPLES, np.int16))

    def put(self, at_frame: int, frame: AudioFrame) -> None:
        at = at_frame * FRAME_SAMPLES
        self.block[at : at + FRAME_SAMPLES] = frame

    def write(self, samples: int) -> list[Segment]:
        """Write the first *samples* of the block, and begin the next; return segments that ended.

        Nothing was put there for ticks that did not come: they are zeros.
        """
        pcm = self.block[:samples]
        has_sound = bool(pcm.any())
        for file in self.files.values():
            if has_sound:
                file.write(pcm)
            else:
                file.write_silence(samples)
        ended = [] if self.finder is None else self.finder.push(pcm)
        if has_sound:
            self.block[:] = 0
        return ended

    def skip(self, frames: int) -> list[Segment]:
        """Write silence; return segments that ended."""
        for file in self.files.values():
            file.write_silence(frames * FRAME_SAMPLES)
        if self.finder is None:
            return []
        return self.finder.push_loudness(np.zeros(frames, np.bool_))


class Recording:
    """Write the ticks of one call to an entry of the store.

    The first tick is frame 0 of every file. A tick that never came is silence of its length; so is
    what a speaker did not say before joining and after leaving. All files end with the last tick.
    *info* goes into the manifest as it is.
    Raises: OSError when a file cannot be made.
    Thread: one at a time, never the loop's: it writes and waits for the disk.
    """

    def __init__(
        self,
        entry: StoreEntry,
        options: RecordingOptions | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = entry.id
        self._entry = entry
        self._options = options or RecordingOptions()
        self._info = dict(info or {})
        self._max_frames = int(entry.limits.max_duration_s * FRAMES_PER_S)
        self._origin: int | None = None
        self._frames = 0
        self._block = 0
        self._late_frames = self._lost_frames = 0
        self._tracks: list[_Track] = []
        self._speakers: dict[int, _Track | None] = {}
        self._people: dict[int, Speaker] = {}
        self._has_nameless = False
        self._report: RecordingReport | None = None
        try:
            self._segments = make_private(entry.directory / (SEGMENTS_NAME + PART))
            self._mixed = self._add("mixed", is_stored=self._options.mixed)
            self._own = self._add("own", is_stored=self._options.own)
            self._journal("recording")
        except BaseException:
            self._let_go(is_complete=False)
            raise

    @property
    def frames(self) -> int:
        """How long the recording is by now, in frames."""
        return self._frames

    @property
    def report(self) -> RecordingReport | None:
        """What came of it, once it has ended."""
        return self._report

    def name_speaker(self, speaker: Speaker) -> None:
        """Say who a source is; told later, it holds for what was said before too.

        Thread: any.
        """
        self._people[speaker.source_id] = speaker

    def count_lost(self, frames: int) -> None:
        """Count ticks that never reached the recording: they are silence in it. Thread: any."""
        self._lost_frames += frames

    def write(self, frame: TimelineFrame) -> None:
        """Record one tick. One that is no later than the last is counted and passed over.

        Raises: RecordingQuotaError, RecordingDurationError, OSError: then it is time to
                :meth:`close`; RecordingError after the end.
        """
        if self._report is not None:
            raise RecordingError(f"recording {self.id} has ended")
        if self._origin is None:
            self._origin = frame.timestamp
        index = (frame.timestamp - self._origin) // FRAME_TICKS
        if index < self._frames:
            self._late_frames += 1
            return
        if index >= self._max_frames:
            raise RecordingDurationError(f"a recording may last {seconds(self._max_frames)} s")
        block, at_frame = divmod(index, BLOCK_FRAMES)
        if block != self._block:
            self._flush(block)
        self._mixed.put(at_frame, frame.mixed)
        self._own.put(at_frame, frame.own)
        for source_id, said in frame.speakers.items():
            track = (
                self._speakers[source_id] if source_id in self._speakers else self._join(source_id)
            )
            if track is not None:
                track.put(at_frame, said)
        self._frames = index + 1

    def close(
        self, reason: EndReason = EndReason.STOPPED, error: str | None = None
    ) -> RecordingReport:
        """Complete all files and give them their names; return what came of it. Again: the same.

        With ``failed`` as the reason, or when completing them fails, they stay as they are for the
        next start, which completes what there is. Never raises what the disk does: the report says
        it.
        """
        if self._report is not None:
            return self._report
        files: tuple[Path, ...] = ()
        if reason is not EndReason.FAILED:
            try:
                files = self._complete(reason)
            except (OSError, FFmpegError) as exc:
                reason, error = EndReason.FAILED, str(exc)
        self._let_go(is_complete=reason is not EndReason.FAILED)
        self._report = RecordingReport(
            id=self.id,
            directory=self._entry.directory,
            reason=reason,
            duration_s=seconds(self._frames),
            files=files,
            lost_frames=self._lost_frames,
            error=error,
        )
        return self._report

    # Tracks.

    def _add(
        self, name: str, *, is_stored: bool, finder: SegmentFinder | None = None, joined: int = 0
    ) -> _Track:
        track = _Track(name, finder=finder, joined_frame=joined)
        if is_stored:
            self._tracks.append(track)
            for file_format in self._options.formats:
                part = self._entry.directory / f"{name}.{file_format}{PART}"
                track.files[part] = open_track(part, file_format)
                track.files[part].write_silence(self._block * BLOCK_SAMPLES)
        elif finder is not None:
            self._tracks.append(track)
        return track

    def _join(self, source_id: int) -> _Track | None:
        """Begin a speaker's track, with silence until now; None when there are too many."""
        if len(self._speakers) >= MAX_REMEMBERED:
            return None
        known = [track for track in self._speakers.values() if track is not None]
        if len(known) >= self._options.max_speakers:
            self._speakers[source_id] = None
            return None
        track = self._add(
            f"speaker-{source_id}",
            is_stored=self._options.speakers,
            finder=SegmentFinder(source_id, self._block * BLOCK_FRAMES),
            joined=self._frames,
        )
        self._speakers[source_id] = track
        return track

    # One block after the other.

    def _flush(self, next_block: int) -> None:
        """Write the block at hand, and silence for those that were left out before the next."""
        skipped_frames = (next_block - self._block - 1) * BLOCK_FRAMES
        for track in self._tracks:
            self._note(track.write(BLOCK_SAMPLES))
            if skipped_frames:
                self._note(track.skip(skipped_frames))
        self._block = next_block
        self._segments.flush()
        os.fdatasync(self._segments.fileno())
        size_bytes = self._segments.tell()
        for track in self._tracks:
            for file in track.files.values():
                file.sync()
                size_bytes += file.size_bytes
        self._journal("recording")
        self._entry.charge(size_bytes)

    def _note(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            speaker = self._people.get(segment.source_id, Speaker(segment.source_id))
            self._has_nameless |= speaker.name is None
            self._segments.write(json_line(segment.labelled(speaker)))

    def _journal(self, state: str, reason: EndReason | None = None) -> None:
        open_segments = [
            track.finder.open_segment.labelled(self._who(track.finder.open_segment.source_id))
            for track in self._tracks
            if track.finder is not None and track.finder.open_segment is not None
        ]
        write_manifest(
            self._entry.directory,
            {
                "id": self.id,
                **self._info,
                "state": state,
                "reason": reason,
                "duration_s": seconds(self._frames),
                "lost_frames": self._lost_frames,
                "late_frames": self._late_frames,
                "tracks": [self._described(track) for track in self._tracks],
                "unrecorded_speakers": [key for key, t in self._speakers.items() if t is None],
                # What a crash would lose of segments.jsonl; empty at the end.
                "open_segments": open_segments if state == "recording" else [],
            },
        )

    def _described(self, track: _Track) -> dict[str, Any]:
        names = [part.name.removesuffix(PART) for part in track.files]
        described: dict[str, Any] = {"track": track.name, "files": names}
        for source_id, speaker in self._speakers.items():
            if speaker is track:
                who = self._who(source_id)
                described |= {"source_id": source_id, "who": who.who, "name": who.name}
                described["joined_s"] = seconds(track.joined_frame)
        return described

    def _who(self, source_id: int) -> Speaker:
        return self._people.get(source_id, Speaker(source_id))

    # The end.

    def _complete(self, reason: EndReason) -> tuple[Path, ...]:
        left_frames = self._frames - self._block * BLOCK_FRAMES
        for track in self._tracks:
            self._note(track.write(left_frames * FRAME_SAMPLES))
            if track.finder is not None:
                self._note(track.finder.finish())
        done: list[Path] = []
        for track in self._tracks:
            for part, file in track.files.items():
                file.sync()
                file.close()
                done.append(finish_file(part))
        self._name_the_nameless()
        self._segments.flush()
        os.fdatasync(self._segments.fileno())
        self._segments.close()
        done.append(finish_file(self._entry.directory / (SEGMENTS_NAME + PART)))
        self._journal("complete", reason)
        sync_directory(self._entry.directory)
        return (*done, self._entry.directory / MANIFEST_NAME)

    def _name_the_nameless(self) -> None:
        """Write the segments again when somebody was named after they spoke."""
        if not self._has_nameless:
            return
        self._segments.seek(0)
        lines = [json.loads(line) for line in self._segments.read().splitlines()]
        self._segments.seek(0)
        self._segments.truncate()
        for line in lines:
            if line["name"] is None:
                who = self._who(line["source_id"])
                line |= {"who": who.who, "name": who.name}
            self._segments.write(json_line(line))

    def _let_go(self, *, is_complete: bool) -> None:
        """Leave no file open, whatever state they are in."""
        for track in self._tracks:
            for file in track.files.values():
                file.abandon()
        segments = getattr(self, "_segments", None)
        if segments is not None and not segments.closed:
            try:
                segments.close()
            except OSError:
                assert segments.closed  # What could not be written was told already.
        self._entry.release(is_complete=is_complete)
