"""A bot's host that is gone: how long its call waits for it, or for the one that takes over."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.transports.base import Transport
from mixminus.media.transports.link import LinkError, LinkRefusedError

if TYPE_CHECKING:
    from .live_call import LiveCall

log = logging.getLogger("mixminus.control.calls")

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 2.0


KEPT: Final = 4096


class RightAddresses:
    """Where applications had media links: these addresses are not mistaken. Thread: the loop's."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, app_id: str, uri: str) -> None:
        """Remember that a link of *app_id* stood at *uri*; the oldest of too many is forgotten."""
        self._known[app_id, uri] = None
        self._known.move_to_end((app_id, uri))
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def has(self, app_id: str, uri: str) -> bool:
        """Say whether a link of *app_id* stood at *uri*."""
        return (app_id, uri) in self._known


def patience_s(live: LiveCall) -> float:
    """Return how long a call keeps its place without a host.

    None at all in a call of two: there is no other way into it.
    """
    return 0.0 if live.room.is_peer_to_peer else live.services.settings.rejoin_s


async def reach(live: LiveCall, descriptor: MediaSessionDescriptor) -> Transport:
    """Connect the bot's leg to its host.

    Raises: LinkError, for a new call at an address where no link stood yet at once: its maker is to
            hear of a wrong one. Any other has a right one. Its host may be gone, and the next one
            come: for so long it is tried again, and where it is refused waited for.
    """
    known, uri = live.services.right_addresses, descriptor.mp_uri
    is_right = descriptor.link_epoch > 1 or known.has(live.app_id, uri)
    connect = live.services.edges.connect_link
    loop, delay_s = asyncio.get_running_loop(), FIRST_RETRY_S
    until = loop.time() + (patience_s(live) if is_right else 0.0)
    while True:
        try:
            link = await connect(live.member.leg, descriptor)
        except LinkError as error:
            left_s = until - loop.time()
            if left_s <= 0:
                raise
            log.info("call %s: its host cannot be reached: %s", live.id, error)
            if isinstance(error, LinkRefusedError):
                # It knows of no such session, and will not get to know of it.
                await asyncio.sleep(left_s)
                raise
            await asyncio.sleep(min(delay_s, left_s))
            delay_s = min(2 * delay_s, LAST_RETRY_S)
        else:
            known.add(live.app_id, uri)
            return link
