"""What happened in a conversation, as it happened: what its call record is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from mixminus.media.bridge import LegCounters

from ...call_state import ResultInfo
from .quality import Measured

Json = dict[str, Any]

MediaKind = Literal["webrtc", "link", "service", "phone", "rtp", "none"]
"""How a member's audio comes and goes: a caller's WebRTC, an application's media link, prompts and
recordings of the service itself, a scripted telephone, a gateway's plain RTP, or not at all."""


@dataclass(frozen=True, slots=True)
class Participation:
    """One stay of one party in a conversation, or its invitation when it never ``was_in``.

    ``identity`` is a typed identitySet. ``leg`` and ``transport`` are the counters of its media,
    None and empty when there was none; ``measured`` is how good its packets came and went, None
    when nobody measured. ``result`` says how it ended, None when nobody said.
    """

    participant_id: str
    identity: Json
    kind: str
    media_kind: str
    started_at: datetime
    ended_at: datetime | None = None
    was_in: bool = True
    result: ResultInfo | None = None
    leg: LegCounters | None = None
    transport: Mapping[str, int] = field(default_factory=dict)
    measured: Measured | None = None
    user_agent: str | None = None
    source_id: int | None = None


class ConversationHistory:
    """Collects what becomes a call record. Knows no clock: every time is passed in (UTC).

    ``kind`` is peerToPeer, groupCall or meeting; ``organizer`` a typed identitySet: who started
    the call, or whose meeting it is. Of a peer-to-peer call it is the caller.
    """

    def __init__(
        self,
        id: str,
        kind: str,
        tenant_id: str,
        organizer: Json | None,
        join_url: str | None = None,
    ) -> None:
        self.id = id
        self.kind = kind
        self.tenant_id = tenant_id
        self.organizer = organizer
        self.join_url = join_url
        self.app_ids: list[str] = []
        self.ended_at: datetime | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change that :meth:`take_unsaved` then has."""
        self._stays: list[Participation] = []
        self._present: dict[str, int] = {}
        self._unsaved: set[int] = set()

    def restore(self, stays: Iterable[Participation]) -> None:
        """Take over what was kept of a conversation; in order, before anything else is noted."""
        for stay in stays:
            if stay.was_in and stay.ended_at is None:
                self._present[stay.participant_id] = len(self._stays)
            self._stays.append(stay)

    def take_unsaved(self) -> tuple[int, ...]:
        """Return which stays changed since they were taken last, by their place in ``stays``."""
        numbers = tuple(sorted(self._unsaved))
        self._unsaved.clear()
        return numbers

    def put_back(self, numbers: Iterable[int]) -> None:
        """Say that what was taken could not be kept."""
        self._unsaved.update(numbers)

    @property
    def present(self) -> tuple[str, ...]:
        """Who is in now, by participant id."""
        return tuple(self._present)

    @property
    def stays(self) -> tuple[Participation, ...]:
        """All participations so far, in the order in which they began."""
        return tuple(self._stays)

    @property
    def is_over(self) -> bool:
        """Whether the conversation ended: nothing is added any more."""
        return self.ended_at is not None

    def joined(
        self,
        participant_id: str,
        identity: Json,
        kind: str,
        media_kind: str,
        at: datetime,
        user_agent: str | None = None,
        source_id: int | None = None,
    ) -> None:
        """Note that a party came in. One that is in already is not there twice."""
        if self.is_over or participant_id in self._present:
            return
        self._present[participant_id] = len(self._stays)
        self._add(
            Participation(
                participant_id,
                identity,
                kind,
                media_kind,
                at,
                user_agent=user_agent or None,
                source_id=source_id,
            )
        )

    def left(
        self,
        participant_id: str,
        at: datetime,
        result: ResultInfo | None = None,
        leg: LegCounters | None = None,
        transport: Mapping[str, int] | None = None,
        measured: Measured | None = None,
    ) -> None:
        """Note that a party went, and what its media had come to. One that is not in: nothing."""
        index = self._present.pop(participant_id, None)
        if index is None:
            return
        stay = self._stays[index]
        self._stays[index] = replace(
            stay,
            ended_at=max(at, stay.started_at),
            result=result,
            leg=leg,
            transport=dict(transport or {}),
            measured=measured,
        )
        self._changed(index)

    def not_reached(
        self,
        participant_id: str,
        identity: Json,
        kind: str,
        invited_at: datetime,
        at: datetime,
        result: ResultInfo,
    ) -> None:
        """Note that a party was invited and did not come, and why."""
        if self.is_over:
            return
        self._add(
            Participation(
                participant_id, identity, kind, "none", invited_at, at, was_in=False, result=result
            )
        )

    def app_joined(self, app_id: str) -> None:
        """Note an application that takes part: it may see the record."""
        if app_id not in self.app_ids:
            self.app_ids.append(app_id)
            self.on_change()

    def ended(self, at: datetime) -> None:
        """Note the end; who is still in leaves with it. Again is no error."""
        if self.is_over:
            return
        for participant_id in tuple(self._present):
            self.left(participant_id, at)
        self.ended_at = at

    def _add(self, stay: Participation) -> None:
        self._stays.append(stay)
        self._changed(len(self._stays) - 1)

    def _changed(self, index: int) -> None:
        self._unsaved.add(index)
        self.on_change()
