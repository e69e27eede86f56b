"""Who the raw ids of a stream are, as participants of a call. Pure."""

from __future__ import annotations

from typing import Final

from ..client.models import Participant

KINDS: Final = (
    ("4:", "phone"),
    ("8:orgid:", "user"),
    ("8:dod:", "user"),
    ("8:gcch:", "user"),
    ("8:teamsvisitor:", "guest"),
    ("8:acs:", "azureCommunicationServicesUser"),
    ("8:dod-acs:", "azureCommunicationServicesUser"),
    ("8:gcch-acs:", "azureCommunicationServicesUser"),
    ("28:orgid:", "application"),
    ("28:dod:", "application"),
    ("28:gcch:", "application"),
)
"""What the raw ids of Azure Communication Services begin with."""
RAW_KINDS: Final = frozenset({"azureCommunicationServicesUser"})
"""Whose id is the raw id, with what it begins with."""


def participant_of(raw_id: str, source_id: int) -> Participant:
    """Return the participant that a stream calls *raw_id*.

    An id of no known kind is an ``encrypted`` identity: nobody can be looked up by it.
    """
    kind, name = "encrypted", raw_id
    for prefix, known in KINDS:
        if raw_id.startswith(prefix):
            kind = known
            name = raw_id if known in RAW_KINDS else raw_id.removeprefix(prefix)
            break
    identity: dict[str, str] = {"id": name}
    if kind == "encrypted":
        identity["displayName"] = raw_id
    return Participant.read(
        {
            "id": raw_id,
            "info": {"identity": {kind: identity}},
            "mediaStreams": [{"mediaType": "audio", "sourceId": str(source_id)}],
            "isMuted": False,
            "isInLobby": False,
        }
    )
