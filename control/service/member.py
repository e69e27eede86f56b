"""One entry of a conversation's roster, and the leg that carries its audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from mixminus.media.bridge import Leg, LegCounters

from ..call_state import ResultInfo
from ..graph.participants import Stream, participant

Json = dict[str, Any]

Told: TypeAlias = Literal["admitted", "muted", "held"]
"""What others may do to a member that its party is told of."""


@dataclass(slots=True, eq=False)
class Member:
    """One party of a conversation. Made, changed and removed by its :class:`Conversation` alone.

    ``identity`` is a typed identitySet whose member ``kind`` says who it is. ``source_id`` is the
    media source id (MSI) of its audio. Two hooks are the party's: ``on_removed`` is called once
    when somebody else removed it or did not admit it, ``on_told`` when it was admitted, when the
    service muted or unmuted it, and when hold music began or ended.
    """

    participant_id: str
    identity: Json
    kind: str
    display_name: str | None
    source_id: int
    leg: Leg
    joined_at: datetime
    meeting_role: str
    in_lobby: bool
    hidden: bool
    in_default_mix: bool
    media_kind: str = "none"
    """How its audio comes and goes: one of ``records.history.MediaKind``."""
    client_muted: bool = False
    server_muted: bool = False
    is_self_held: bool = False
    music: Leg | None = None
    """Where its hold music is played; it is on hold as long as there is one."""
    voices: list[Leg] = field(default_factory=list)
    """More legs that speak for it, heard wherever it is."""
    whispers: list[Leg] = field(default_factory=list)
    """Legs that it alone hears."""
    sharing: Stream | None = None
    recording_info: Json | None = None
    on_removed: Callable[[ResultInfo], None] | None = None
    on_told: Callable[[Told, bool], None] | None = None
    last_counters: LegCounters | None = None
    """What its leg had counted when its transport left it, of one that has ended."""

    @property
    def identity_id(self) -> str:
        """The id of its identity: a user's, an application's, a phone number, a guest's."""
        return str(self.identity[self.kind]["id"])

    def leg_counters(self) -> LegCounters:
        """Return what became of the ticks and frames of its leg, also after its end."""
        return self.last_counters or self.leg.counters()

    @property
    def received(self) -> int:
        """Frames or packets that came from it so far: more than none once its audio was there."""
        return self.leg.heard_frames

    @property
    def is_muted(self) -> bool:
        """Whether nobody hears it, by its own doing or by the service's."""
        return self.client_muted or self.server_muted

    @property
    def is_on_hold(self) -> bool:
        """Whether it hears and is heard by nobody, but for hold music."""
        return self.is_self_held or self.music is not None

    def describe(self) -> Json:
        """Return the participant resource, without a number in anyone's roster."""
        audio = Stream("audio", self.source_id, "sendReceive", self.server_muted)
        return participant(
            participant_id=self.participant_id,
            identity=self.identity,
            streams=(audio,) if self.sharing is None else (audio, self.sharing),
            is_muted=self.is_muted,
            is_in_lobby=self.in_lobby,
            meeting_role=self.meeting_role,
            recording_info=self.recording_info,
        )
