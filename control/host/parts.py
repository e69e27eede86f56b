"""The small parts of a call in a bot host, and how it is shown to its operator."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from mixminus.media.session import MediaSession

from ..call_state import result_info
from ..call_totals import CallTotals
from ..client.bodies import AppHosted, Media, Options, Prompt, ServiceHosted
from ..client.calls import CallsClient
from ..client.models import ToneInfo
from ..graph.enums import CallState
from ..graph.notifications import Notification
from ..histogram import LAG_BOUNDS_S, TimeHistogram
from ..journal import Journal
from ..remote_state import RemoteCall
from .bot import Bot
from .prompts import PromptFiles

if TYPE_CHECKING:
    from .call import HostedCall
    from .plugins import HostPlugins
    from .recording import HostRecordings
    from .stream_call import StreamCall

MediaKind: TypeAlias = Literal["app", "service"]
"""Whose the media are: this process's, or the service's."""

Told: TypeAlias = tuple[Callable[..., Awaitable[None]], object]
"""A handler, and what the call's audio has to tell it."""

DELTA_ROSTER: Final = Options(delta_roster=True)
"""Changes of the roster instead of all of it each time: they are numbered, so none is missed."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: a user, a telephone, a meeting."""

    id: str | None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """When a call came into a state, in milliseconds since its creation."""

    state: CallState
    at_ms: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a call needs of its host."""

    bot: Bot
    client: CallsClient
    callback_uri: str
    open_session: Callable[[str | None, int], MediaSession]
    """With the call's lineage, None for one that is not kept, and its epoch."""
    drop_session: Callable[[MediaSession], Awaitable[None]]
    prompts: PromptFiles
    on_ended: Callable[[HostedCall], None]
    go_on: Callable[[HostedCall], Awaitable[bool]]
    """Goes on without a call's media link; False when that call has to be hung up."""
    recordings: HostRecordings | None = None
    plugins: HostPlugins | None = None
    totals: CallTotals = field(default_factory=CallTotals)
    handling: TimeHistogram = field(default_factory=lambda: TimeHistogram(LAG_BOUNDS_S))
    """From a notification's arrival until the bot's handlers came to it."""
    journal: Journal = field(default_factory=lambda: Journal("host"))


@dataclass(frozen=True, slots=True)
class News:
    """What waits for the handlers: a notification, or answers of the service to our GETs."""

    notification: Notification | None = None
    tone: ToneInfo | None = None
    call: Mapping[str, Any] | None = None
    participants: list[Any] | None = None
    is_latest: bool = False
    told: Told | None = None
    arrived_s: float = field(default_factory=time.monotonic)


def media_of(
    session: MediaSession | None, prefetch: Sequence[Prompt] = (), *, in_default_mix: bool = True
) -> Media:
    """Return the media of a call whose audio comes to *session*, or stays with the service."""
    if session is None:
        return ServiceHosted(prefetch, in_default_mix)
    return AppHosted(session.media_configuration(), in_default_mix)


def shown(call: RemoteCall) -> tuple[object, ...]:
    """Return what a bot sees of *call*: whether that changed decides whether it is told."""
    return call.state, call.audio, call.result, call.details


def since_ms(created_at_s: float) -> float:
    """Return the milliseconds since then, on the monotonic clock."""
    return (time.monotonic() - created_at_s) * 1000.0


def describe(call: HostedCall | StreamCall, notifications: Mapping[str, int]) -> dict[str, Any]:
    """Return what the admin API shows of *call*; no secret is in it."""
    session = call.session
    counters = None if session is None else session.counters()
    legs = (
        {}
        if counters is None
        else {
            "link": asdict(counters.link),
            "application": asdict(counters.application),
        }
    )
    return {
        "callId": call.id,
        "user": {"id": call.peer.id, "displayName": call.peer.display_name},
        "media": "service" if session is None else "app",
        "state": call.state.value,
        "states": [
            {"state": change.state.value, "atMs": round(change.at_ms, 3)} for change in call.states
        ],
        "participants": [
            {"id": person.id, "displayName": person.display_name, "isMuted": person.is_muted}
            for person in call.participants.values()
        ],
        "notifications": dict(notifications),
        "legs": legs,
        "audio": None if counters is None else asdict(counters.audio),
        "transport": {} if counters is None else counters.transport,
        "recordings": call.described_recordings(),
        "plugins": call._describe_plugins(),
        "error": call.bot_error,
        "resultInfo": None if call.result is None else result_info(call.result),
        "endReason": call.end_reason,
    }
