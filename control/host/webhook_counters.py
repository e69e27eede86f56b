"""What came to the webhook of a bot host, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class WebhookCounters:
    """What came to the webhook: posts refused, and notifications by what became of them.

    ``unchecked`` posts came when no signing keys were to be had; ``unkept`` notifications came
    while the store was away, ``behind`` are of calls whose handlers had too many waiting, ``busy``
    of calls that came in while none were taken. All of them are sent again. ``repeated`` ones were
    in the store already, ``handed_on`` ones are another host's. ``taken``, ``unknown`` and
    ``foreign`` are those that came out of the store for this host, whoever was told.
    """

    received: int = 0
    refused: int = 0
    malformed: int = 0
    unchecked: int = 0
    unkept: int = 0
    behind: int = 0
    busy: int = 0
    repeated: int = 0
    handed_on: int = 0
    taken: int = 0
    unknown: int = 0
    foreign: int = 0
