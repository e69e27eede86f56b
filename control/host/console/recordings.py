"""The recordings of a bot host, as the console lists and plays them."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from mixminus.media.recorder import RecordingStore
from mixminus.media.recorder.manifest import MANIFEST_NAME, read_manifest
from mixminus.media.recorder.recording import SEGMENTS_NAME
from mixminus.media.recorder.tracks import PART

from ...console.models import RecordingFile, RecordingView
from ...console.source import AudioFile, ConsoleRefusedError
from ...console.views import iso
from ...whole_json import whole

log = logging.getLogger("mixminus.control.host")

MOST: Final = 200
KEY: Final = "h:"
STAMP: Final = "%Y%m%dT%H%M%SZ"
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
}
"""What browsers call the formats that a recorder writes."""


def list_recordings(store: RecordingStore) -> list[RecordingView]:
    """Return the newest recordings of a store, newest first. Reads files: not for the loop."""
    views = []
    for directory in reversed(list(store.entries())):
        view = recording_view(directory)
        if view is not None:
            views.append(view)
        if len(views) == MOST:
            break
    return views


def recording_view(directory: Path) -> RecordingView | None:
    """Return one recording; None of what is none: a capture, or one that was just removed."""
    manifest = whole(read_manifest(directory))
    if not isinstance(manifest.get("tracks"), list):
        return None
    try:
        return _view(directory, manifest)
    except (AttributeError, TypeError, ValueError, ArithmeticError, OSError) as error:
        # What is in a manifest that no recorder wrote is anything: the others are shown.
        log.warning("%s is no recording's: %s", directory / MANIFEST_NAME, type(error).__name__)
        return None


def _view(directory: Path, manifest: Mapping[str, Any]) -> RecordingView:
    is_live = manifest.get("state") == "recording"
    reason = manifest.get("reason")
    call_id = manifest.get("call_id")
    duration_ms = _milliseconds(manifest.get("duration_s"))
    began_at = datetime.strptime(directory.name.partition("-")[0], STAMP).replace(tzinfo=UTC)
    return RecordingView(
        id=KEY + directory.name,
        side="host",
        call_id=call_id if isinstance(call_id, str) else None,
        title=_title(manifest, began_at),
        started_at=iso(began_at),
        duration_ms=duration_ms,
        is_live=is_live,
        reason=None if reason in (None, "stopped", "callEnded") else str(reason),
        files=tuple(_files(directory, manifest, duration_ms, is_live)),
    )


def find_file(store: RecordingStore, recording_id: str, name: str) -> AudioFile:
    """Return where an audio file of a recording is: one that its manifest names, and no other.

    Raises: ConsoleRefusedError. Reads files: not for the loop.
    """
    directory = store.find(recording_id.removeprefix(KEY))
    view = None if directory is None else recording_view(directory)
    if directory is None or view is None or not recording_id.startswith(KEY):
        raise ConsoleRefusedError.not_found(f"no recording {recording_id!r:.100}")
    file = next((file for file in view.files if file.name == name), None)
    media_type = MEDIA_TYPES.get("" if file is None else file.format)
    if file is None or media_type is None:
        raise ConsoleRefusedError.not_found(f"no audio file {name!r:.100} in that recording")
    path = entry_file(directory, name)
    if path is None:
        raise ConsoleRefusedError.not_found(f"{name} is not there any more")
    return AudioFile(path, media_type, is_growing=path.name.endswith(PART))


def _files(
    directory: Path, manifest: Mapping[str, Any], duration_ms: int | None, is_live: bool
) -> Iterator[RecordingFile]:
    for track in manifest["tracks"]:
        for name in track.get("files", ()):
            path = entry_file(directory, name)
            if path is not None:
                yield RecordingFile(
                    name=name,
                    kind=_kind(str(track.get("track"))),
                    format=name.rpartition(".")[2],
                    size_bytes=path.lstat().st_size,
                    duration_ms=duration_ms,
                    speaker=track.get("name") or track.get("who"),
                    playable=not is_live,
                )
    path = entry_file(directory, SEGMENTS_NAME)
    if path is not None:
        size_bytes = path.lstat().st_size
        yield RecordingFile(
            name=SEGMENTS_NAME, kind="other", format="jsonl", size_bytes=size_bytes, playable=False
        )


def entry_file(directory: Path, name: str) -> Path | None:
    """Return a file of an entry, also while it grows; never a link, or a file elsewhere."""
    if Path(name).name != name or name == MANIFEST_NAME:
        return None
    for path in (directory / name, directory / (name + PART)):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode):
            return path
    return None


def _kind(track: str) -> Literal["mixed", "speaker", "own", "other"]:
    if track == "mixed" or track == "own":
        return "mixed" if track == "mixed" else "own"
    return "speaker" if track.startswith("speaker-") else "other"


def _title(manifest: Mapping[str, Any], began_at: datetime) -> str:
    names = [track.get("name") for track in manifest["tracks"]]
    speakers = ", ".join(str(name) for name in names if name)
    return speakers or f"Recording of {began_at:%Y-%m-%d %H:%M}"


def _milliseconds(seconds: object) -> int | None:
    return round(seconds * 1000) if isinstance(seconds, int | float) else None
