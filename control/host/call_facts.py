"""What the calls of a host are made of, and what is said of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..client.bodies import Target
from ..client.models import Identity
from ..graph.enums import CallState, ChangeType
from ..graph.notifications import Notification
from .parts import Peer


class Delivery(Enum):
    """What became of a notification."""

    TAKEN = auto()
    FULL = auto()
    """The call's handlers are behind: the service shall send it again."""
    UNKNOWN = auto()
    """It is about no call of this host, as the service says too."""
    BUSY = auto()
    """It tells of a call that comes in, and the host takes no new ones now."""
    FOREIGN = auto()
    """Its token speaks for another tenant than the call's."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """What is known of a call, and how late each tick of the engine during it was."""

    description: dict[str, Any]
    lateness_us: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the call service finds this host, and who the host is.

    ``application_instance_id`` is the resource account that telephones are called from.
    """

    app_id: str
    tenant_id: str
    callback_uri: str
    mp_uri: str
    application_instance_id: str | None = None


def incoming_call(notification: Notification) -> Mapping[str, Any] | None:
    """Return the call that *notification* says comes in, or None when it says something else."""
    data = notification.resource_data
    if notification.change_type != ChangeType.CREATED or len(notification.resource_path) != 1:
        return None
    if not isinstance(data, Mapping) or data.get("state") != CallState.INCOMING:
        return None
    # The id of the resource, not of the URL: that may be written in another form.
    call_id = data.get("id")
    return data if isinstance(call_id, str) else {**data, "id": notification.call_id}


def peer_of(targets: Sequence[Target]) -> Peer:
    """Return who is at the other end of a call to *targets*."""
    identities = [t if isinstance(t, Identity) else t.identity for t in targets]
    if len(identities) == 1:
        return Peer(identities[0].id, identities[0].display_name)
    return Peer(None, ", ".join(i.display_name or i.id or i.kind for i in identities))


def is_guid(text: str) -> bool:
    """Say whether *text* is an id as the directory has them."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
