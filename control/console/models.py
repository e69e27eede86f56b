"""What the console shows, as models: JSON in camelCase, without a secret in it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Side: TypeAlias = Literal["service", "host"]
"""Who says it: the call service, or the bot host."""

RowKind: TypeAlias = Literal["call", "meeting", "stream"]
RowState: TypeAlias = Literal[
    "incoming", "establishing", "established", "onHold", "transferring", "terminating", "terminated"
]
Direction: TypeAlias = Literal["incoming", "outgoing"]
PersonKind: TypeAlias = Literal["user", "guest", "application", "phone", "other"]
Flag: TypeAlias = Literal[
    "loss", "jitter", "concealment", "noMedia", "pluginDisabled", "botError", "recording", "lobby"
]
"""What somebody who looks at a list of calls wants to see at once."""

Action: TypeAlias = Literal[
    "hangUp",
    "sendTones",
    "mute",
    "unmute",
    "admit",
    "remove",
    "invite",
    "setRoute",
    "setPlugin",
    "addPlugin",
    "removePlugin",
    "placeBot",
    "startRecording",
    "stopRecording",
]
"""What can be done to a call, as far as a source can do it now."""

Json: TypeAlias = dict[str, Any]


class Shown(BaseModel):
    """Base of all that is shown. Made of trusted values; equal when all members are."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )


class CallRow(Shown):
    """A call, meeting or telephony stream in the list.

    ``id`` is the conversation's (callChainId) where a call service tells it, else the call's own.
    ``call_ids`` are the Graph ids of the applications' calls in it: two sides that share one of
    them tell of the same call. ``legs`` are the keys of its meters. Times are ISO 8601 in UTC.
    """

    id: str
    call_ids: tuple[str, ...] = ()
    kind: RowKind
    sides: tuple[Side, ...]
    state: RowState
    direction: Direction | None = None
    title: str
    """Whom it is with, or the meeting's subject: text from outside, to be shown as text."""
    bot: str | None = None
    started_at: str
    ended_at: str | None = None
    people: int
    legs: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()


class Step(Shown):
    """A state that a call came into."""

    at: str
    side: Side
    state: str
    reason: str | None = None
    call_id: str | None = None


class Person(Shown):
    """An entry of the roster."""

    participant_id: str
    name: str
    kind: PersonKind
    role: str | None = None
    muted: bool = False
    muted_by_self: bool = False
    in_lobby: bool = False
    on_hold: bool = False
    is_bot: bool = False
    source_ids: tuple[int, ...] = ()
    leg_key: str | None = None


class LegView(Shown):
    """One party's media. Ratios are 0 to 1; what is not known is null.

    ``address`` is the far end's, without anything secret. ``counters`` are the ledger's own names.
    """

    key: str
    side: Side
    name: str
    participant_id: str | None = None
    transport: str
    """``webrtc``, ``rtp``, ``link``, ``acs``, ``twilio``, ``hosted``, ``loopback`` or
    ``application``."""
    codec: str | None = None
    address: str | None = None
    is_flowing: bool | None = None
    loss_ratio: float | None = None
    """Of the last seconds, inbound."""
    loss_total_ratio: float | None = None
    jitter_ms: float | None = None
    concealed_ratio: float | None = None
    delay_ms: float | None = None
    """How long audio waits in the playout now."""
    target_ms: float | None = None
    """How long it is meant to."""
    round_trip_ms: float | None = None
    packets_received: int | None = None
    packets_sent: int | None = None
    counters: dict[str, int | float] = Field(default_factory=dict)


class PluginView(Shown):
    """A plugin on a stream of a call. ``schema`` is the JSON Schema of its parameters."""

    key: str
    side: Side
    name: str
    title: str | None = None
    stream: str
    """``inbound``, ``outbound``, ``speaker``, ``mix`` or ``own``."""
    leg_key: str | None = None
    enabled: bool = True
    """False once the worker took it out: an error, or too slow."""
    bypassed: bool = False
    parameters: Json = Field(default_factory=dict)
    parameter_schema: Json = Field(default_factory=dict, alias="schema")
    metrics: dict[str, int | float] = Field(default_factory=dict)
    events: tuple[Json, ...] = ()
    """The last ones, newest last: ``{"at", "kind", "detail"}``."""


class Route(Shown):
    """Whether one participant hears another, and whether that can be set."""

    listener: str
    speaker: str
    hears: bool
    settable: bool = False


class RecordingFile(Shown):
    """A file of a recording. ``audio_url`` is set by the console, not by a source."""

    name: str
    kind: Literal["mixed", "speaker", "own", "response", "other"]
    format: str
    """``wav``, ``flac``, ``opus``, ``json``..."""
    size_bytes: int
    duration_ms: int | None = None
    speaker: str | None = None
    playable: bool = True
    audio_url: str | None = None


class RecordingView(Shown):
    """A recording, finished or going on."""

    id: str
    side: Side
    call_id: str | None = None
    title: str
    started_at: str
    duration_ms: int | None = None
    is_live: bool = False
    reason: str | None = None
    """Why it ended as it did, when not by being stopped."""
    files: tuple[RecordingFile, ...] = ()


class CaptureView(Shown):
    """A captured call, as a list has it."""

    id: str
    side: Side
    name: str
    """Of its directory."""
    title: str
    call_id: str | None = None
    bot: str | None = None
    started_at: str
    duration_ms: int | None = None
    """None while it is being written, and of one that was not closed."""
    size_bytes: int
    state: Literal["open", "left", "closed", "recovered", "broken"]
    """Left: by a process that is gone, to be completed at the next start."""
    error: str | None = None
    """Why it cannot be read."""
    replay: str
    """The command that says it again to a bot."""


class CaptureTrack(Shown):
    """Whose audio is in a capture."""

    kind: Literal["mixed", "speaker", "own"]
    speaker: str | None = None
    duration_ms: int


class CaptureEvent(Shown):
    """What was told, asked or pressed in a captured call; shaped as an entry of the journal."""

    seq: int
    """Counts from 1, without a gap."""
    at: str
    at_ms: int
    """Since the call began for the host."""
    side: Side
    call_id: str | None = None
    kind: Literal["notification", "request", "media"]
    direction: Literal["in", "out"] | None = None
    title: str
    body: Json | None = None


class CaptureDetail(Shown):
    """What is in a capture, secrets redacted: its header and some of its events, oldest first."""

    capture: CaptureView
    header: Json
    tracks: tuple[CaptureTrack, ...] = ()
    events: tuple[CaptureEvent, ...] = ()
    total: int
    """How many events there are: the last one's ``seq``."""
    error: str | None = None
    """Why its end is not shown."""


class OperationView(Shown):
    """A comms operation of a call: a prompt, an invitation, a recorded response..."""

    id: str
    side: Side
    kind: str
    status: str
    at: str
    reason: str | None = None


class CallDetail(Shown):
    """All that is known of one call, as of now."""

    row: CallRow
    timeline: tuple[Step, ...] = ()
    roster: tuple[Person, ...] = ()
    legs: tuple[LegView, ...] = ()
    plugins: tuple[PluginView, ...] = ()
    routing: tuple[Route, ...] = ()
    operations: tuple[OperationView, ...] = ()
    recordings: tuple[RecordingView, ...] = ()
    blob: Json | None = None
    """The media configuration decoded, secrets redacted."""
    resources: Json = Field(default_factory=dict)
    """The call resource by side, as the API shows it, secrets redacted."""
    join: Json | None = None
    """How a page joins it: ``{"joinUrl", "threadId"}``; null for what nobody can join."""
    notifications: dict[str, int] = Field(default_factory=dict)
    actions: tuple[Action, ...] = ()


class Engine(Shown):
    """How the engine was in the last second."""

    at: str
    ticks_per_s: float
    late_ticks: int
    """Since the start, as ``skipped_ticks``."""
    skipped_ticks: int
    lateness_p50_ms: float
    lateness_p99_ms: float
    lateness_max_ms: float
    tick_p50_ms: float | None = None
    tick_p99_ms: float | None = None
    tick_max_ms: float | None = None
    tick_period_ms: float = 20.0
    busy_ratio: float
    """Of the busiest tick thread."""
    packet_ratio: float | None = None
    loop_ratio: float | None = None
    """Of the event loop's thread."""
    load_ratio: float | None = None
    """Of measured capacity."""
    health: Literal["Normal", "HeavilyLoaded", "Overloaded"] = "Normal"
    draining: bool = False
    reasons: tuple[str, ...] = ()
    legs: int
    calls: int
    tick_threads: int
    scheduling: str
    isa: str
    frames_mixed: int | None = None
    """In the last second, as the next two."""
    frames_received: int | None = None
    frames_sent: int | None = None
    capacity: Json | None = None
    """What the load is a share of, and how that was measured."""


class UserView(Shown):
    """Somebody of the directory."""

    id: str
    name: str
    is_online: bool = False
    """Whether a device of theirs is registered."""
    is_busy: bool = False


class UserSession(Shown):
    """What a page signs in to ``/rtc`` with, as that user. The token is a secret."""

    user_id: str
    name: str
    token: str = Field(repr=False)
    rtc_path: str = "/rtc"


class InstanceView(Shown):
    """A host of a fleet that runs a bot. ``load_ratio`` is 0 to 1."""

    name: str
    state: Literal["alive", "draining", "silent"]
    is_asked: bool
    """Whether it is the one whose console this is."""
    calls: int
    capacity: int
    load_ratio: float


class OwnedCallView(Shown):
    """A living call of a bot and the host that has it; None while it is offered to all."""

    lineage: str
    """Its name through all its rejoins."""
    call_id: str | None
    owner: str | None
    title: str
    """Whom it is with: text from outside, to be shown as text."""
    state: str
    epoch: int


class BotView(Shown):
    """A bot that can be placed in calls.

    ``instances`` and ``owned_calls`` are those of a fleet: there are none with one host alone.
    """

    name: str
    description: str | None = None
    app_id: str | None = None
    can_be_called: bool = False
    can_call: bool = False
    can_join: bool = False
    instances: tuple[InstanceView, ...] = ()
    owned_calls: tuple[OwnedCallView, ...] = ()


class MeetingView(Shown):
    """A meeting of the service."""

    id: str
    """Of its thread."""
    subject: str
    join_url: str
    organizer: str | None = None
    is_live: bool = False
    call_id: str | None = None
    """The row of it, while it is live."""


class PluginKind(Shown):
    """A plugin that can be put on a stream."""

    name: str
    title: str | None = None
    description: str | None = None
    streams: tuple[str, ...]
    parameter_schema: Json = Field(default_factory=dict, alias="schema")
