"""Who and what a host knows by name: the users and the meetings of its settings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from ..client.models import Identity
from .call_facts import Addresses, is_guid
from .errors import UnknownMeetingError, UnknownUserError


class KnownNames:
    """Finds what a bot calls by name."""

    _users: Mapping[str, str]
    _meetings: Mapping[str, str]

    def find_user(self, name_or_id: str) -> Identity:
        """Return the user whom *name_or_id* means: an id, or a name that the settings know.

        Raises: UnknownUserError.
        """
        wanted = name_or_id.casefold()
        for name, user_id in self._users.items():
            if wanted in (name.casefold(), user_id.casefold()):
                return Identity.user(user_id, name)
        if is_guid(name_or_id) or not self._users:
            return Identity.user(name_or_id)
        raise UnknownUserError(f"no user {name_or_id!r}: known are {', '.join(self._users)}")

    def find_meeting(self, subject: str) -> str:
        """Return the join URL of the meeting of that name, which the settings know.

        Raises: UnknownMeetingError.
        """
        wanted = subject.casefold()
        for name, join_url in self._meetings.items():
            if name.casefold() == wanted:
                return join_url
        names = ", ".join(self._meetings) or "none"
        raise UnknownMeetingError(
            f"no meeting {subject!r}: known are {names}; others by their link or joinMeetingId"
        )


def instance_of(addresses: Addresses, bot_name: str) -> Identity:
    """Return what telephones are called from.

    Raises: ValueError when the settings name none.
    """
    if addresses.application_instance_id is None:
        raise ValueError(
            "expected the application instance that telephones are called from:"
            " MIXMINUS_APPLICATION_INSTANCE_ID, or source"
        )
    return Identity.application_instance(addresses.application_instance_id, bot_name)


def callback_of(addresses: Addresses, lineage: str | None) -> str:
    """Return where the service tells of the call of *lineage*; None: of one that is not kept.

    The lineage is in it, so that a call whose creation was never answered is known by its first
    word, whoever has its media.
    """
    return addresses.callback_uri if lineage is None else f"{addresses.callback_uri}/{lineage}"


def read_lineage(part: str) -> str | None:
    """Return the lineage that *part* of a path is, as it is written in the store; None: none."""
    try:
        lineage = str(uuid.UUID(part))
    except ValueError:
        return None
    # Only as it is written in the callback URI: braces, "urn:uuid:" and the like are no part of it.
    return lineage if lineage == part.lower() else None
