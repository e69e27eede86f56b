"""Keys that a bot presses: to each who hears it as a signal, or where that cannot be as sound."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from mixminus.media.dtmf import tone_pcm

from .ivr.voice import Voice
from .member import Member

if TYPE_CHECKING:
    from .live_call import LiveCall

log = logging.getLogger("mixminus.control.calls")

MAX_WAITING_KEYS: Final = 64
DEFAULT_TONE_MS: Final = 100
MIN_TONE_MS: Final = 40
"""The shortest that a receiver must hear (ITU-T Q.24), and the shortest pause between two."""
PAUSE_MS: Final = 60


@runtime_checkable
class KeyTaker(Protocol):
    """A party that a key may reach without a sound."""

    def send_key(self, key: str, duration_ms: int) -> bool:
        """Send *key* as a telephone event; False: only a sound reaches this party."""


class BotTones:
    """Presses a bot's keys, one after another, in the order in which they came.

    Whoever takes telephone events (RFC 4733) gets one, and no sound; all others who hear the bot
    hear the tone, on a leg that nobody else does.
    Thread: the loop's.
    """

    def __init__(self, live: LiveCall) -> None:
        self._live = live
        self._waiting: deque[tuple[str, int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped_keys = 0

    def press(self, key: str, duration_ms: int) -> None:
        """Press *key* when those before it are done; 0 is the usual duration.

        Beyond 64 that wait it is dropped, and counted.
        """
        if len(self._waiting) >= MAX_WAITING_KEYS:
            self.dropped_keys += 1
            if self.dropped_keys == 1:
                log.warning("call %s: its bot presses keys faster than they sound", self._live.id)
            return
        self._waiting.append((key, max(MIN_TONE_MS, duration_ms or DEFAULT_TONE_MS)))
        if self._task is None or self._task.done():
            self._task = self._live.spawn(self._work())

    async def _work(self) -> None:
        while self._waiting:
            key, duration_ms = self._waiting.popleft()
            await self._send(key, duration_ms)
            await asyncio.sleep(PAUSE_MS / 1000)

    async def _send(self, key: str, duration_ms: int) -> None:
        room, own = self._live.room, self._live.member
        hearing = {member.participant_id for member in room.conversation.listeners_of(own)}
        deaf: list[Member] = []
        for party in room.others(self._live):
            if party.is_app or party.member.participant_id not in hearing:
                continue
            if not (isinstance(party, KeyTaker) and party.send_key(key, duration_ms)):
                deaf.append(party.member)
        room.press(own, key)
        with ExitStack() as exits:
            pcm = tone_pcm(key, duration_ms)
            sounding = []
            for member in deaf:
                leg = room.conversation.add_voice(own, member)
                exits.callback(room.conversation.remove_voice, own, leg, member)
                voice = Voice(self._live.services.platform, leg)
                exits.callback(voice.close)
                sounding.append(voice.start([pcm]))
            if sounding:
                # One that ends early takes its tone along.
                await asyncio.gather(*sounding, return_exceptions=True)
            else:
                await asyncio.sleep(duration_ms / 1000)
