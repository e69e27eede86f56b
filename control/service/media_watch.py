"""When the audio of a call has come to flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .live_call import LiveCall


def when_media_flow(live: LiveCall, callback: Callable[[], None]) -> Callable[[], None]:
    """Call *callback* once the bot's media carry, and somebody else's audio came.

    In a conversation of several the bot's own suffice. Returns what ends the watching; calling that
    twice is no error. Thread: the loop's.
    """

    def look() -> None:
        others = (party.member for party in live.room.others(live))
        is_heard = not live.room.is_peer_to_peer or any(member.received for member in others)
        if is_heard and live.bot_media_flow:
            stop()
            callback()

    stop = live.services.platform.on_tick(look)
    return stop
