"""What both sides make views of: times, blobs, legs, the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor
from mixminus.media.quality import StreamQuality

from ..journal_redact import JournalRedactor
from .models import Flag, Json, RowState

SILENT: Final = (-127, -127)

LOSS_RATIO: Final = 0.03
"""From this on concealment is heard as such, and Opus sends more redundancy (libopus's default)."""
CONCEALED_RATIO: Final = 0.03
JITTER_MS: Final = 50.0
"""More than two frames: the playout keeps what a listener notices as delay."""

STATES: Final[Mapping[str, RowState]] = {
    "incoming": "incoming",
    "establishing": "establishing",
    "ringing": "establishing",
    "established": "established",
    "hold": "onHold",
    "transferring": "transferring",
    "transferAccepted": "transferring",
    "redirecting": "transferring",
    "terminating": "terminating",
    "terminated": "terminated",
}
"""What a list shows of the states of a call."""

LIVELY: Final = (
    "established",
    "onHold",
    "transferring",
    "establishing",
    "incoming",
    "terminating",
    "terminated",
)
"""Of several calls in one conversation the first of these is shown."""


def iso(at: datetime) -> str:
    """Write a time as ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row_state(state: str) -> RowState:
    """Return what a list shows of that state; of one that a newer service knows: established."""
    return STATES.get(state, "established")


def joined_names(names: list[str], most: int = 3) -> str:
    """Write who is in a call: the first of them, and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def decoded_blob(media_config: object) -> Json | None:
    """Return the blob of an appHostedMediaConfig as JSON, its secret blotted out.

    None where there is none. One that is no descriptor is not shown: a secret may be in it.
    """
    blob = media_config.get("blob") if isinstance(media_config, Mapping) else None
    if not isinstance(blob, str):
        return None
    try:
        shown = MediaSessionDescriptor.from_blob(blob).redacted()
    except DescriptorError:
        # What is shown of a call has its secret blotted out already, so it is no descriptor.
        return _redacted(blob)
    members: Json = json.loads(shown)
    return members


def safe_resource(resource: Mapping[str, Any], redactor: JournalRedactor) -> Json:
    """Return a call resource as it may be shown: without passcodes, tokens and the link's secret.

    The blob is there, decoded and blotted out, for it tells most of what media do.
    """
    shown: Json = redactor.clean(resource)
    config = resource.get("mediaConfig")
    if isinstance(config, Mapping) and "blob" in config:
        blob = decoded_blob(config)
        text = None if blob is None else json.dumps(blob, separators=(",", ":"))
        shown["mediaConfig"] = {**shown["mediaConfig"], "blob": text}
    return shown


def ratio(part: int, whole: int) -> float | None:
    """Return a share of 1, None of nothing."""
    return round(min(1.0, max(0.0, part / whole)), 5) if whole > 0 else None


def quality_members(quality: StreamQuality | None) -> Json:
    """Return what a :class:`~.models.LegView` has of a stream's quality since it began."""
    if quality is None:
        return {}
    due = quality.voice_ticks + quality.fec_ticks + quality.concealed_ticks
    return {
        "codec": quality.codec or None,
        "loss_total_ratio": ratio(
            quality.lost_packets, quality.received_packets + quality.lost_packets
        ),
        "concealed_ratio": ratio(quality.concealed_ticks, due),
        "jitter_ms": _rounded(quality.jitter_ms),
        "delay_ms": _rounded(quality.delay_ms),
        "target_ms": _rounded(quality.target_ms),
        "round_trip_ms": _rounded(quality.round_trip_ms),
        "packets_received": quality.received_packets,
        "packets_sent": quality.sent_packets,
    }


def quality_flags(
    loss: float | None, concealed: float | None, jitter_ms: float | None
) -> tuple[Flag, ...]:
    """Return what of a party's media is worth a look in a list."""
    flags: list[Flag] = []
    if loss is not None and loss >= LOSS_RATIO:
        flags.append("loss")
    if jitter_ms is not None and jitter_ms >= JITTER_MS:
        flags.append("jitter")
    if concealed is not None and concealed >= CONCEALED_RATIO:
        flags.append("concealment")
    return tuple(flags)


def _redacted(blob: str) -> Json | None:
    try:
        members = json.loads(blob)
    except ValueError:
        return None
    member = members.get("mixminus") if isinstance(members, dict) else None
    # Only what was written by ``redacted()`` is known to hold no secret.
    return members if isinstance(member, dict) and member.get("secret") == "[redacted]" else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
