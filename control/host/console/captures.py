"""The captured calls of a bot host, as the console lists and opens them."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from mixminus.media.recorder import RecordingStore
from mixminus.media.recorder.tracks import PART
from mixminus.media.replay import (
    CAPTURE_NAME,
    CaptureError,
    CaptureIndex,
    Kind,
    end_time,
    index_capture,
    read_header_place,
)
from mixminus.media.replay.index import Place

from ...console.models import CaptureDetail, CaptureEvent, CaptureTrack, CaptureView
from ...console.source import ConsoleRefusedError
from ...console.views import iso
from ...journal_redact import JournalRedactor
from ...journal_titles import notification_title
from ...whole_json import whole
from .recordings import KEY, MOST, STAMP, entry_file

MAX_BYTES: Final = 4 * 2**30
"""A larger capture is listed, and not looked through."""
MAX_HEADER_BYTES: Final = 256 * 1024
MAX_BODY_BYTES: Final = 64 * 1024
"""Of an event; a larger one is named by its size."""
MAX_ANSWER_BYTES: Final = 4 * 2**20
"""Of all events that are shown at once; what is past it is named by its size."""
MAX_NAME_BYTES: Final = 4096
"""Of an event that names a speaker."""
MAX_DEPTH: Final = 60
MAX_TITLE: Final = 200
FRAME_MS: Final = 20
TICKS_PER_MS: Final = 10_000
KINDS: Final[Mapping[Kind, Literal["notification", "request", "media"]]] = {
    Kind.NOTIFICATION: "notification",
    Kind.EXCHANGE: "request",
    Kind.EVENT: "media",
}
"""What the journal calls the kinds of records."""
DIRECTIONS: Final[Mapping[Kind, Literal["in", "out"]]] = {
    Kind.NOTIFICATION: "in",
    Kind.EXCHANGE: "out",
}


class LastIndex:
    """What is in the capture that was opened last: to turn its pages it is not read again.

    Thread: one at a time.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[int, ...], CaptureIndex] | None = None

    def of(self, file: BinaryIO) -> CaptureIndex:
        """Return what is in *file*. Raises: CaptureError, OSError."""
        stat = os.fstat(file.fileno())
        stamp = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
        if self._kept is None or self._kept[0] != stamp:
            self._kept = stamp, index_capture(file)
        return self._kept[1]


def list_captures(store: RecordingStore, redactor: JournalRedactor) -> list[CaptureView]:
    """Return the newest captures of a store, newest first. Reads files: not for the loop."""
    views = []
    for directory in reversed(list(store.entries())):
        path = entry_file(directory, CAPTURE_NAME)
        if path is None:
            continue
        try:
            views.append(_view(store, path, redactor))
        except FileNotFoundError:
            continue  # Renamed, or removed, since it was found.
        if len(views) == MOST:
            break
    return views


def capture_detail(
    store: RecordingStore,
    redactor: JournalRedactor,
    capture_id: str,
    after: int | None,
    most: int,
    last: LastIndex | None = None,
) -> CaptureDetail:
    """Return a capture with its newest *most* events, or the first *most* after number *after*.

    Raises: ConsoleRefusedError. Reads files: not for the loop.
    """
    directory = store.find(capture_id.removeprefix(KEY)) if capture_id.startswith(KEY) else None
    path = None if directory is None else entry_file(directory, CAPTURE_NAME)
    if path is None:
        raise ConsoleRefusedError.not_found(f"no capture {capture_id!r:.100}")
    try:
        view = _view(store, path, redactor)
        if view.size_bytes > MAX_BYTES:
            raise ConsoleRefusedError.not_possible(
                f"expected a capture of at most {MAX_BYTES} bytes, got {view.size_bytes}: "
                "mixminus replay reads it"
            )
        with _open(path) as file:
            index = (last or LastIndex()).of(file)
            return _detail(view, file, index, redactor, after, most)
    except CaptureError as exc:
        raise ConsoleRefusedError.not_possible(
            f"this capture cannot be read: {redactor.text(str(exc))}"
        ) from None
    except FileNotFoundError:
        raise ConsoleRefusedError.not_found("that capture is not there any more") from None
    except OSError as exc:
        raise ConsoleRefusedError.not_possible(
            f"this capture cannot be read: {exc.strerror}"
        ) from None


def _view(store: RecordingStore, path: Path, redactor: JournalRedactor) -> CaptureView:
    directory = path.parent
    header: dict[str, Any] = {}
    ended: int | None = None
    error: str | None = None
    size_bytes = path.lstat().st_size
    try:
        with _open(path) as file:
            header = _header(file, read_header_place(file), redactor)
            ended = end_time(file)
    except FileNotFoundError:
        raise
    except CaptureError as exc:
        error = redactor.text(str(exc))
    except OSError as exc:
        error = exc.strerror
    call = header.get("call")
    call = call if isinstance(call, dict) else {}
    bot, began = _text(header.get("bot")), _began(directory)
    return CaptureView(
        id=KEY + directory.name,
        side="host",
        name=directory.name,
        title=_call_title(_text(call.get("direction")), bot),
        call_id=_text(call.get("id")),
        bot=bot,
        started_at=iso(began),
        duration_ms=None if ended is None else ended // TICKS_PER_MS,
        size_bytes=size_bytes,
        state="broken" if error is not None else _state(store, path, ended),
        error=error,
        replay=f"mixminus replay {shlex.quote(str(directory.absolute()))} bot.py",
    )


def _call_title(direction: str | None, bot: str | None) -> str:
    title = f"{direction or 'captured'} call of {bot or 'a bot'}"
    return (title[:1].upper() + title[1:])[:MAX_TITLE]


def _state(
    store: RecordingStore, path: Path, ended: int | None
) -> Literal["open", "left", "closed", "recovered"]:
    if path.name.endswith(PART):
        return "open" if store.is_being_written(path.parent.name) else "left"
    return "recovered" if ended is None else "closed"


def _detail(
    view: CaptureView,
    file: BinaryIO,
    index: CaptureIndex,
    redactor: JournalRedactor,
    after: int | None,
    most: int,
) -> CaptureDetail:
    total = len(index.told)
    first = max(0, total - most) if after is None else min(after, total)
    events: list[CaptureEvent] = []
    left_bytes = MAX_ANSWER_BYTES
    began = _began(Path(view.name))
    for seq, place in enumerate(index.told[first : first + most], first + 1):
        body = _body(file, place, redactor, min(left_bytes, MAX_BODY_BYTES))
        left_bytes -= place.size if place.size <= left_bytes else 0
        at_ms = place.time // TICKS_PER_MS
        events.append(
            CaptureEvent(
                seq=seq,
                at=iso(began + timedelta(milliseconds=at_ms)),
                at_ms=at_ms,
                side="host",
                call_id=view.call_id,
                kind=KINDS[place.kind],
                direction=DIRECTIONS.get(place.kind),
                title=_title(place, body),
                body=body,
            )
        )
    names = _names(file, index, redactor)
    return CaptureDetail(
        capture=view.model_copy(update={"duration_ms": index.last_time // TICKS_PER_MS}),
        header=_header(file, index.header, redactor),
        tracks=tuple(_tracks(index, names)),
        events=tuple(events),
        total=total,
        error=None if index.error is None else redactor.text(index.error),
    )


def _tracks(index: CaptureIndex, names: Mapping[int, str]) -> Iterator[CaptureTrack]:
    if index.mixed_frames:
        yield CaptureTrack(kind="mixed", duration_ms=index.mixed_frames * FRAME_MS)
    for source_id, frames in index.speaker_frames.items():
        name = names.get(source_id, f"source {source_id}")
        yield CaptureTrack(kind="speaker", speaker=name, duration_ms=frames * FRAME_MS)
    if index.own_frames:
        yield CaptureTrack(kind="own", duration_ms=index.own_frames * FRAME_MS)


def _names(file: BinaryIO, index: CaptureIndex, redactor: JournalRedactor) -> dict[int, str]:
    """Return what the speakers were called last."""
    names = {}
    for place in index.told:
        if place.kind is Kind.EVENT and place.size <= MAX_NAME_BYTES:
            body = _body(file, place, redactor, MAX_NAME_BYTES)
            source_id, name = body.get("source_id"), _text(body.get("name"))
            if isinstance(source_id, int) and name is not None:
                names[source_id] = name
    return names


def _header(file: BinaryIO, place: Place, redactor: JournalRedactor) -> dict[str, Any]:
    if place.size > MAX_HEADER_BYTES:
        raise CaptureError(
            f"expected a header of at most {MAX_HEADER_BYTES} bytes, got {place.size}"
        )
    return _read(file, place, redactor)


def _body(
    file: BinaryIO, place: Place, redactor: JournalRedactor, most_bytes: int
) -> dict[str, Any]:
    """Return what was told; of what is too large, or no JSON, why it is not shown."""
    if place.size > most_bytes:
        return {"notShown": f"{place.size} bytes"}
    try:
        return _read(file, place, redactor)
    except CaptureError as exc:
        return {"notShown": redactor.text(str(exc))}


def _read(file: BinaryIO, place: Place, redactor: JournalRedactor) -> dict[str, Any]:
    file.seek(place.offset)
    try:
        content = json.loads(file.read(place.size), parse_constant=str)
    except (ValueError, RecursionError):
        raise CaptureError(f"{place.kind.name}: expected JSON") from None
    if not isinstance(content, dict):
        raise CaptureError(f"{place.kind.name}: expected an object, got {type(content).__name__}")
    _expect_shallow(content, place.kind)
    shown: dict[str, Any] = redactor.clean(_opened(whole(content), redactor))
    return shown


def _expect_shallow(value: Any, kind: Kind) -> None:
    # Whoever made it so deep, none of those who go through it may fail.
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            held
            for each in level
            for held in (each.values() if isinstance(each, dict) else each)
            if isinstance(held, dict | list)
        ]
        if not level:
            return
    raise CaptureError(f"{kind.name}: expected JSON at most {MAX_DEPTH} levels deep")


def _opened(value: Any, redactor: JournalRedactor) -> Any:
    """Return *value* with JSON in texts redacted, too, by its names: a blob may stand anywhere."""
    if isinstance(value, dict):
        return {name: _opened(held, redactor) for name, held in value.items()}
    if isinstance(value, list):
        return [_opened(each, redactor) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # As 1e999 is read; no JSON can say it.
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(value, parse_constant=str)
            _expect_shallow(inner, Kind.EVENT)
        except CaptureError:
            return "[nested too deeply to be shown]"
        except (ValueError, RecursionError):
            return value
        cleaned = redactor.clean(_opened(inner, redactor))
        return value if cleaned == inner else json.dumps(cleaned)
    return value


def _title(place: Place, body: Mapping[str, Any]) -> str:
    if "notShown" in body:
        return f"Not shown: {body['notShown']}"[:MAX_TITLE]
    if place.kind is Kind.NOTIFICATION:
        path = body.get("resource_path")
        parts = [str(part) for part in path] if isinstance(path, list) else []
        change = str(body.get("change_type"))
        return notification_title(change, parts, body.get("resource_data"))[:MAX_TITLE]
    if place.kind is Kind.EXCHANGE:
        status = body.get("status", "fetched")
        asked = f"{body.get('method')} {body.get('path')}"
        return f"{asked} \N{RIGHTWARDS ARROW} {status}"[:MAX_TITLE]
    told = ", ".join(f"{name} {held}" for name, held in body.items() if name != "event")
    return f"{body.get('event')}: {told}"[:MAX_TITLE]


def _began(directory: Path) -> datetime:
    try:
        return datetime.strptime(directory.name.partition("-")[0], STAMP).replace(tzinfo=UTC)
    except ValueError:
        # Digits that are no date: somebody named it so.
        return datetime.fromtimestamp(0, UTC)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _open(path: Path) -> BinaryIO:
    """Open a file that is no link, and was none a moment ago. Raises: OSError."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
