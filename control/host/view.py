"""What is known of a call, as models: read from the mirror, parsed once per change."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..call_state import ResultInfo
from ..client.models import CallInfo, ContentSharingSession, Participant
from ..graph.enums import CallState, MediaState
from ..graph.notifications import normal_id
from ..remote_roster import RemoteRoster, source_ids
from ..remote_state import CallMirror, RemoteCall, RemoteOperation


class CallView:
    """The reading side of a call: nothing here waits, or asks the service."""

    id: str
    _mirror: CallMirror
    _info: tuple[RemoteCall, CallInfo] | None = None
    _speakers: tuple[RemoteRoster, Mapping[str, Participant]] | None = None
    _people: tuple[RemoteRoster, Mapping[str, Participant]] | None = None

    @property
    def state(self) -> CallState:
        """What the service last said, or what must be so since the call is over."""
        return self._mirror.call.state

    @property
    def result(self) -> ResultInfo | None:
        """Why the call ended, or a transfer failed, in the service's words."""
        return self._mirror.call.result

    @property
    def has_audio(self) -> bool:
        """Whether the service says that audio flows."""
        return self._mirror.call.audio is MediaState.ACTIVE

    @property
    def info(self) -> CallInfo:
        """All that the service said of the call: who calls, its chat and meeting, its routes."""
        call = self._mirror.call
        if self._info is None or self._info[0] is not call:
            raw: dict[str, Any] = {**call.details, "id": call.id, "state": call.state.value}
            if call.audio is not None:
                raw["mediaState"] = {"audio": call.audio.value}
            if call.result is not None:
                result = call.result
                raw["resultInfo"] = {
                    "code": result.code,
                    "subcode": result.subcode,
                    "message": result.message,
                }
            self._info = (call, CallInfo.read(raw))
        return self._info[1]

    @property
    def participants(self) -> Mapping[str, Participant]:
        """Who is in the call, by participant id; empty where the service tells no roster."""
        roster = self._mirror.roster
        if self._people is None or self._people[0] is not roster:
            people = {key: Participant.read(raw) for key, raw in roster.participants.items()}
            self._people = (roster, MappingProxyType(people))
        return self._people[1]

    @property
    def known_operations(self) -> tuple[RemoteOperation, ...]:
        """The operations that the service told of, as far as they are remembered."""
        return tuple(self._mirror.operations.values())

    @property
    def me(self) -> Participant | None:
        """The bot's own place in the roster."""
        own_id = self.info.my_participant_id
        return None if own_id is None else self.participant(own_id)

    @property
    def sharing(self) -> tuple[ContentSharingSession, ...]:
        """Who shows their screen, as far as told."""
        sessions = self._mirror.sharing.sessions.values()
        return tuple(ContentSharingSession.read(raw) for raw in sessions)

    def participant(self, participant_id: str) -> Participant | None:
        """Return the participant of that id, if they are here."""
        wanted = normal_id(participant_id)
        for key, participant in self.participants.items():
            if normal_id(key) == wanted:
                return participant
        return None

    def speaker(self, source_id: str | int) -> Participant | None:
        """Return who has the media stream of that source id: who a dominant speaker is.

        None also for a moment after somebody came: their audio may be quicker than the roster.
        """
        roster = self._mirror.roster
        if self._speakers is None or self._speakers[0] is not roster:
            self._speakers = (roster, self._people_by_source())
        return self._speakers[1].get(str(source_id))

    def _is_call_of_two(self) -> bool:
        """Say whether nobody but the peer can be heard: of such a call no roster may be told."""
        info = self.info
        is_group = info.chat is not None or info.meeting is not None or len(info.targets) > 1
        return not is_group and not self.participants

    def _people_by_source(self) -> Mapping[str, Participant]:
        found: dict[str, Participant] = {}
        for key, raw in self._mirror.roster.participants.items():
            for source_id in source_ids(raw):
                found.setdefault(source_id, self.participants[key])
        return found
