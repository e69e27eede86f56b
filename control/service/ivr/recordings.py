"""Recorded responses until the application has fetched them: in memory, bounded, for a while."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ..settings import ServiceSettings
from ..urls import ServiceUrls

PATH: Final = "/mixminus/v1/recordings"
TOKEN_BYTES: Final = 32
MAX_BYTES: Final = 128 * 1024 * 1024
"""Some 34 clips of the longest kind (two minutes); the oldest go first."""
KEPT_S: Final = 60.0
"""How long after its call's end a clip can be fetched: "shortly", the documentation says."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip, as the bytes of its WAV file; the token is known by its digest alone."""

    call_id: str
    wav: bytes
    token_digest: bytes

    def is_opened_by(self, token: str) -> bool:
        """Say whether *token* is this recording's."""
        return hmac.compare_digest(self.token_digest, _digest(token))


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where a recording is found, and what opens it."""

    location: str
    token: str


class Recordings:
    """All recordings of a service, by id.

    Thread: the loop's.
    """

    def __init__(
        self, base_url: str, *, max_bytes: int = MAX_BYTES, kept_s: float = KEPT_S
    ) -> None:
        self._base_url, self._max_bytes, self._kept_s = base_url, max_bytes, kept_s
        self._kept: OrderedDict[str, Recording] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @classmethod
    def of_settings(cls, urls: ServiceUrls, settings: ServiceSettings) -> Recordings:
        """Keep recordings within the limits of *settings*, below the service's own address."""
        return cls(
            urls.base + PATH,
            max_bytes=settings.recordings_bytes,
            kept_s=settings.recordings_kept_s,
        )

    @property
    def kept_bytes(self) -> int:
        """How much is kept."""
        return sum(len(recording.wav) for recording in self._kept.values())

    def add(self, call_id: str, wav: bytes) -> Ticket:
        """Keep a clip; the oldest ones make room for it."""
        recording_id = str(uuid.uuid4())
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._kept[recording_id] = Recording(call_id, wav, _digest(token))
        while len(self._kept) > 1 and self.kept_bytes > self._max_bytes:
            self._kept.popitem(last=False)
        return Ticket(f"{self._base_url}/{recording_id}", token)

    def find(self, recording_id: str) -> Recording | None:
        """Return a recording that is still kept."""
        return self._kept.get(recording_id)

    def call_ended(self, call_id: str) -> None:
        """Discard a call's recordings after the time for which they are still kept."""
        if any(recording.call_id == call_id for recording in self._kept.values()):
            loop = asyncio.get_running_loop()
            self._timers[call_id] = loop.call_later(self._kept_s, self._discard, call_id)

    def close(self) -> None:
        """Discard all. Again is no error."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._kept.clear()

    def _discard(self, call_id: str) -> None:
        self._timers.pop(call_id, None)
        for recording_id in [key for key, kept in self._kept.items() if kept.call_id == call_id]:
            del self._kept[recording_id]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
