"""Participants, audio routing groups, recording status: the bodies of the group call methods.

Source: Microsoft Graph, participant: invite, muteAll; audioRoutingGroup; call:
updateRecordingStatus, changeScreenSharingRole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import errors
from .enums import RecordingStatus, RoutingMode, ScreenSharingRole
from .fields import Fields
from .requests_common import Target, read_distinct, read_target

MAX_INVITED: Final = 5


@dataclass(frozen=True, slots=True)
class InviteRequest:
    """Who is invited."""

    participants: tuple[Target, ...]
    client_context: str | None


@dataclass(frozen=True, slots=True)
class MuteAllRequest:
    """Who is muted, by participant id."""

    participant_ids: tuple[str, ...]
    client_context: str | None


@dataclass(frozen=True, slots=True)
class RoutingGroup:
    """A private audio route: who is heard by whom, by participant id.

    What a change leaves out is None; :meth:`over` fills it in from the group as it is.
    """

    id: str | None
    mode: str | None
    sources: tuple[str, ...] | None
    receivers: tuple[str, ...] | None

    def over(self, current: RoutingGroup) -> RoutingGroup:
        """Return *current* with this change in it.

        Raises: GraphError 400 when that is no group, or the group of another id.
        """
        if self.id not in (None, current.id):
            raise errors.invalid_argument(f"id: expected {current.id!a}, which the path names.")
        merged = RoutingGroup(
            id=current.id,
            mode=self.mode or current.mode,
            sources=current.sources if self.sources is None else self.sources,
            receivers=current.receivers if self.receivers is None else self.receivers,
        )
        merged.check()
        return merged

    def check(self) -> None:
        """Refuse a group that is not what its mode says.

        Raises: GraphError 400.
        """
        sources, receivers = self.sources or (), self.receivers or ()
        if len(sources) != 1:
            raise errors.invalid_argument(f"sources: expected one, got {len(sources)}.")
        if not receivers or (self.mode == RoutingMode.ONE_TO_ONE and len(receivers) != 1):
            expected = "one" if self.mode == RoutingMode.ONE_TO_ONE else "at least one"
            raise errors.invalid_argument(
                f"receivers: expected {expected} in mode {self.mode}, got {len(receivers)}."
            )
        if sources[0] in receivers:
            raise errors.invalid_argument("receivers: the source cannot be one of them.")


def parse_client_context(body: object) -> str | None:
    """Read a body that has a clientContext alone."""
    return Fields.of_body(body).client_context()


def parse_invite(body: object) -> InviteRequest:
    """Read the body of invite."""
    fields = Fields.of_body(body)
    participants = fields.each("participants", read_target, 1, MAX_INVITED)
    if participants is None:
        raise fields.missing("participants")
    return InviteRequest(read_distinct(participants, "participants"), fields.client_context())


def parse_mute_all(body: object) -> MuteAllRequest:
    """Read the body of muteAll."""
    fields = Fields.of_body(body)
    participants = fields.ids("participants", 1)
    if participants is None:
        raise fields.missing("participants")
    return MuteAllRequest(participants, fields.client_context())


def parse_recording_status(body: object) -> tuple[str, str | None]:
    """Read the body of updateRecordingStatus: status and clientContext."""
    fields = Fields.of_body(body)
    known = (RecordingStatus.NOT_RECORDING, RecordingStatus.RECORDING, RecordingStatus.FAILED)
    status = fields.member("status", known)
    if status is None:
        raise fields.missing("status")
    return status.value, fields.client_context()


def parse_screen_sharing_role(body: object) -> str:
    """Read the body of changeScreenSharingRole."""
    fields = Fields.of_body(body)
    role = fields.member("role", ScreenSharingRole)
    if role is None:
        raise fields.missing("role")
    return role.value


def parse_routing_group(body: object, partial: bool = False) -> RoutingGroup:
    """Read an audioRoutingGroup; *partial* reads a change of one."""
    fields = Fields.of_body(body)
    fields.odata_type("audioRoutingGroup")
    if not partial:
        for name in ("id", "routingMode", "sources", "receivers"):
            if not fields.has(name):
                raise fields.missing(name)
    mode = fields.member("routingMode", RoutingMode)
    group = RoutingGroup(
        id=fields.identifier("id"),
        mode=None if mode is None else mode.value,
        sources=fields.ids("sources"),
        receivers=fields.ids("receivers"),
    )
    if not partial:
        group.check()
    return group
