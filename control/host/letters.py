"""Notifications that the host's inbox has, so that whoever applies one can say which."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.notifications import Notification


@dataclass(frozen=True, slots=True)
class Letter(Notification):
    """A notification in the inbox: ``sequence`` is its number there."""

    sequence: int

    @classmethod
    def of(cls, notification: Notification, sequence: int) -> Letter:
        """Return *notification* as the one of that number."""
        return cls(
            notification.change_type,
            notification.resource_path,
            notification.resource_data,
            sequence,
        )


def sequence_of(notification: Notification) -> int | None:
    """Return its number in the inbox; None when it never was there."""
    return notification.sequence if isinstance(notification, Letter) else None
