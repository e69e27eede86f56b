"""The legs of a bot host's calls: their keys, their levels, how their media are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from mixminus.media.bridge import Leg
from mixminus.media.session import MediaSession

from ...console.models import LegView
from ...console.views import quality_members
from ..call_media import CallMedia
from ..stream_call import StreamCall


def leg_key(call_id: str, which: str) -> str:
    """Return the key of a call's leg: ``link``, ``application`` or ``speaker-<source id>``."""
    return f"h:{call_id}:{which}"


def legs_of(call: CallMedia) -> Iterator[tuple[str, Leg]]:
    """Iterate over the legs of a call by their keys: the far end's, the bot's, each speaker's."""
    if call.session is None:
        return
    legs = call.session.legs
    yield leg_key(call.id, "link"), legs.link
    yield leg_key(call.id, "application"), legs.application
    for source_id, leg in legs.speakers.items():
        yield leg_key(call.id, f"speaker-{source_id}"), leg


def leg_views(call: CallMedia, peer_name: str, bot_name: str) -> Iterator[LegView]:
    """Return how the media of a call's legs are."""
    session = call.session
    if session is None:
        return
    counters = session.counters()
    yield LegView(
        key=leg_key(call.id, "link"),
        side="host",
        name=peer_name,
        transport=call.origin.dialect if isinstance(call, StreamCall) else "link",
        is_flowing=session.audio.active,
        counters={**asdict(counters.link), **counters.transport},
        **quality_members(session.audio.quality()),
    )
    yield LegView(
        key=leg_key(call.id, "application"),
        side="host",
        name=bot_name,
        transport="application",
        codec="pcm16k",
        is_flowing=not session.audio.closed,
        counters={**asdict(counters.application), **asdict(counters.audio)},
    )
    for source_id, leg in session.legs.speakers.items():
        yield _speaker(call, session, source_id, leg)


def _speaker(call: CallMedia, session: MediaSession, source_id: int, leg: Leg) -> LegView:
    person = call.speaker(source_id)
    return LegView(
        key=leg_key(call.id, f"speaker-{source_id}"),
        side="host",
        name=call.speaker_name(source_id) or f"speaker {source_id}",
        participant_id=None if person is None else person.id,
        transport=call.origin.dialect if isinstance(call, StreamCall) else "link",
        counters=asdict(leg.counters()),
        **quality_members(session.audio.speaker_quality(source_id)),
    )
