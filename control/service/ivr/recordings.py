"""Recorded responses until the application has fetched them: in files, bounded, for a while."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..settings import ServiceSettings
from ..urls import ServiceUrls

log = logging.getLogger("mixminus.control.ivr")

PATH: Final = "/mixminus/v1/recordings"
DIRECTORY: Final = "responses"
TOKEN_BYTES: Final = 32
MAX_BYTES: Final = 128 * 1024 * 1024
"""Some 34 clips of the longest kind (two minutes); the oldest go first."""
KEPT_S: Final = 60.0
"""How long after its call's end a clip can be fetched: "shortly", the documentation says."""


@dataclass(slots=True)
class Recording:
    """One clip, as a WAV file; the token is known by its digest alone."""

    call_id: str
    path: Path
    size_bytes: int
    token_digest: bytes
    is_written: bool = False

    def is_opened_by(self, token: str) -> bool:
        """Say whether *token* is this recording's."""
        return hmac.compare_digest(self.token_digest, _digest(token))

    async def read(self) -> bytes:
        """Return the file. Raises: OSError when it has gone meanwhile."""
        return await asyncio.to_thread(self.path.read_bytes)

    def write(self, wav: bytes) -> None:
        """Put the file on the disk, then what it is: a crash between leaves no clip.

        Raises: OSError. Thread: any.
        """
        about = {"callId": self.call_id, "tokenDigest": self.token_digest.hex()}
        _write(self.path, wav)
        _write(_about(self.path), json.dumps(about).encode())

    def remove(self) -> None:
        """Remove the files. Again is no error. Thread: any."""
        _about(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where a recording is found, and what opens it."""

    location: str
    token: str


class Recordings:
    """All recordings of a service, by id, in files of this user's alone.

    What an application was told that it can fetch, it can fetch after a crash too.
    Thread: the loop's.
    """

    def __init__(
        self,
        base_url: str,
        directory: Path,
        *,
        max_bytes: int = MAX_BYTES,
        kept_s: float = KEPT_S,
    ) -> None:
        self._base_url, self._directory = base_url, directory
        self._max_bytes, self._kept_s = max_bytes, kept_s
        self._kept: OrderedDict[str, Recording] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._removing: set[asyncio.Task[None]] = set()

    @classmethod
    def of_settings(cls, urls: ServiceUrls, settings: ServiceSettings) -> Recordings:
        """Keep recordings within the limits of *settings*, below the service's own address."""
        return cls(
            urls.base + PATH,
            settings.state_dir / DIRECTORY,
            max_bytes=settings.recordings_bytes,
            kept_s=settings.recordings_kept_s,
        )

    @property
    def kept_bytes(self) -> int:
        """How much is kept."""
        return sum(recording.size_bytes for recording in self._kept.values())

    async def start(self) -> None:
        """Take up what an earlier run left: its calls have ended.

        Raises: OSError when the directory cannot be used.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = await asyncio.to_thread(_found_in, self._directory)
        self._kept.update(found)
        for call_id in {recording.call_id for recording in found.values()}:
            self.call_ended(call_id)

    async def add(self, call_id: str, wav: bytes) -> Ticket:
        """Keep a clip; the oldest ones make room for it.

        Raises: OSError when it cannot be written; then there is none.
        """
        recording_id, token = str(uuid.uuid4()), secrets.token_urlsafe(TOKEN_BYTES)
        path = self._directory / f"{recording_id}.wav"
        recording = Recording(call_id, path, len(wav), _digest(token))
        # Here first: whatever becomes of the writing, the file goes with its call.
        self._kept[recording_id] = recording
        while len(self._kept) > 1 and self.kept_bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._soon(asyncio.to_thread(oldest.remove))
        try:
            await asyncio.to_thread(recording.write, wav)
        except OSError:
            self._kept.pop(recording_id, None)
            self._soon(asyncio.to_thread(recording.remove))
            raise
        recording.is_written = True
        return Ticket(f"{self._base_url}/{recording_id}", token)

    def find(self, recording_id: str) -> Recording | None:
        """Return a recording that is still kept."""
        recording = self._kept.get(recording_id)
        return recording if recording is not None and recording.is_written else None

    def call_ended(self, call_id: str) -> None:
        """Discard a call's recordings after the time for which they are still kept."""
        if any(recording.call_id == call_id for recording in self._kept.values()):
            loop = asyncio.get_running_loop()
            self._timers[call_id] = loop.call_later(self._kept_s, self._discard, call_id)

    async def close(self) -> None:
        """Let go of all; the files wait for the next start. Again is no error."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._kept.clear()
        await asyncio.gather(*self._removing, return_exceptions=True)

    def _discard(self, call_id: str) -> None:
        self._timers.pop(call_id, None)
        for recording_id in [key for key, kept in self._kept.items() if kept.call_id == call_id]:
            self._soon(asyncio.to_thread(self._kept.pop(recording_id).remove))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_told(work), name="remove a recorded response")
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)


async def _told(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except OSError:
        log.exception("a recorded response could not be removed")


def _found_in(directory: Path) -> dict[str, Recording]:
    """Return the whole clips in *directory*, the oldest first, and remove what is none."""
    found: dict[str, Recording] = {}
    for path in sorted(directory.glob("*.wav"), key=lambda path: path.stat().st_mtime):
        try:
            about = json.loads(_about(path).read_bytes())
            digest = bytes.fromhex(about["tokenDigest"])
            call_id = str(about["callId"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the recorded response %s is not whole, removed: %r", path.name, error)
            path.unlink()
            continue
        found[path.stem] = Recording(call_id, path, path.stat().st_size, digest, is_written=True)
    for path in directory.iterdir():
        if path.stem not in found:
            path.unlink()
    return found


def _about(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and see it on the disk."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
