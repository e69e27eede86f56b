"""What a softphone is told to do, and what it says that it did. Plain data."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mixminus.media.dtmf import KEYS as KEYS
from mixminus.media.pcm import Pcm
from mixminus.media.transports.aiortc_transport import LOOPBACK

NORMAL_CODES: Final = (200, 0)
RECONNECT_S: Final = 10.0
"""How long lost signalling is tried again: as long as the service waits for a caller."""

PAUSE: Final = ","
"""In tones to press: wait a second, as modems did."""

OnEvent: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Told of what happens: registered, waiting, ringing, calling, joined, admitted, answered,
connected, progress (each second), pressed, tone, muted, held, sharing, moved, refused,
signallingLost, reconnected, cancelled, ended."""

ActionKind: TypeAlias = Literal[
    "press", "pressInBand", "mute", "unmute", "hold", "resume", "start", "update", "stop"
]
"""``start``, ``update`` and ``stop`` are those of a content-sharing session."""


@dataclass(frozen=True, slots=True)
class BotTarget:
    """An application to be called. ``policy_recording`` calls as a recorded user's line does."""

    app_id: str
    policy_recording: bool = False


@dataclass(frozen=True, slots=True)
class MeetingTarget:
    """A meeting to be joined: by join URL, joinMeetingId (and passcode), or thread id."""

    join_url: str | None = None
    join_meeting_id: str | None = None
    passcode: str | None = None
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something done during the talk, so many seconds after it began. ``keys`` are pressed."""

    at_s: float
    kind: ActionKind
    keys: str = ""


@dataclass(frozen=True, slots=True)
class SoftphoneOptions:
    """Who calls whom, what is played (again and again), where it is recorded, for how long.

    Without a target the softphone waits to be rung. ``heard_file`` and ``played_file`` share one
    timeline: sample 0 of both is the same tick.
    """

    rtc_url: str
    token: str = field(repr=False)
    ssl_context: ssl.SSLContext
    target: BotTarget | MeetingTarget | None = None
    play: Pcm | None = None
    heard_file: Path | None = None
    played_file: Path | None = None
    duration_s: float | None = None
    muted: bool = False
    actions: tuple[Action, ...] = ()
    reconnect_s: float = RECONNECT_S
    bind: tuple[str, ...] = LOOPBACK


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended. ``by`` is "here", "far end" or "lost"."""

    by: str
    message: str
    code: int = 0
    subcode: int = 0

    @property
    def is_normal(self) -> bool:
        """Whether somebody hung up, and nothing failed."""
        return self.by != "lost" and self.code in NORMAL_CODES


@dataclass(slots=True)
class SoftphoneReport:
    """What one run did; ``as_json`` is what ``join --report`` writes."""

    call_id: str | None = None
    participant_id: str | None = None
    connected_at: str | None = None
    reconnects: int = 0
    end: CallEnd | None = None
    legs: dict[str, dict[str, int]] = field(default_factory=dict)
    transport: dict[str, int] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    lateness_us: list[float] = field(default_factory=list)
    rss_bytes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether audio flowed and the call ended as calls should."""
        return self.connected_at is not None and self.end is not None and self.end.is_normal

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "callId": self.call_id,
            "participantId": self.participant_id,
            "connectedAt": self.connected_at,
            "reconnects": self.reconnects,
            "end": None if self.end is None else asdict(self.end),
            "legs": self.legs,
            "transport": self.transport,
            "engine": self.engine,
            "latenessUs": self.lateness_us,
            "rssBytes": self.rss_bytes,
        }
