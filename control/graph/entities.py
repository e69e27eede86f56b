"""The types of the calls API as query options see them.

Source: Microsoft Graph, the resource pages of call and of what hangs under it.
"""

from __future__ import annotations

from typing import Final

from .odata import EntityType
from .resources import PROPERTIES

PARTICIPANT: Final = EntityType(
    "microsoft.graph.participant",
    frozenset(
        (
            "id",
            "info",
            "isIdentityAnonymized",
            "isInLobby",
            "isMuted",
            "mediaStreams",
            "metadata",
            "preferredDisplayName",
            "recordingInfo",
            "removedState",
            "restrictedExperience",
            "rosterSequenceNumber",
            "syntheticMediaDetection",
        )
    ),
)
OPERATION: Final = EntityType(
    "microsoft.graph.commsOperation",
    frozenset(
        (
            "clientContext",
            "completionReason",
            "id",
            "participants",
            "recordingAccessToken",
            "recordingLocation",
            "resultInfo",
            "status",
        )
    ),
)
ROUTING_GROUP: Final = EntityType(
    "microsoft.graph.audioRoutingGroup", frozenset(("id", "receivers", "routingMode", "sources"))
)
SHARING_SESSION: Final = EntityType(
    "microsoft.graph.contentSharingSession",
    frozenset(("id", "pngOfCurrentSlide", "presenterParticipantId")),
)
CALL: Final = EntityType(
    "microsoft.graph.call",
    frozenset(PROPERTIES),
    {
        "audioRoutingGroups": ROUTING_GROUP,
        "contentSharingSessions": SHARING_SESSION,
        "operations": OPERATION,
        "participants": PARTICIPANT,
    },
)
