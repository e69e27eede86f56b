"""Notifications that the host's inbox has, so that whoever applies one can say which."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.notifications import Notification


@dataclass(frozen=True, slots=True)
class Letter(Notification):
    """A notification in the inbox: ``sequence`` is its number there.

    ``lineage`` is that of its call, where the inbox knows it.
    """

    sequence: int
    lineage: str | None = None

    @classmethod
    def of(cls, notification: Notification, sequence: int, lineage: str | None = None) -> Letter:
        """Return *notification* as the one of that number, about the call of *lineage*."""
        return cls(
            notification.change_type,
            notification.resource_path,
            notification.resource_data,
            sequence,
            lineage,
        )


def sequence_of(notification: Notification) -> int | None:
    """Return its number in the inbox; None when it never was there."""
    return notification.sequence if isinstance(notification, Letter) else None


def lineage_of(notification: Notification) -> str | None:
    """Return the lineage of its call; None when the inbox knows none."""
    return notification.lineage if isinstance(notification, Letter) else None
