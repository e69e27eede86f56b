"""A scripted telephone in a conversation."""

from __future__ import annotations

import asyncio

from mixminus.media.platform import MediaPlatform

from .. import call_state as cs
from ..call_state import ResultInfo
from .member import Member
from .phones import PhoneScript, ScriptedPhone
from .records.quality import Measured
from .rooms import Room


class PhoneParty:
    """The telephone that answered: does what its script says, until either side hangs up.

    Thread: the loop's.
    """

    is_app = False
    is_scripted = True

    def __init__(
        self, platform: MediaPlatform, room: Room, member: Member, script: PhoneScript
    ) -> None:
        self._room, self._member = room, member
        self._phone = ScriptedPhone(
            platform, member.leg, script, on_hung_up=lambda: self.end(cs.PHONE_HUNG_UP)
        )
        self._phone.start()
        self._closing: asyncio.Task[None] | None = None

    @property
    def member(self) -> Member:
        """The entry in the roster."""
        return self._member

    def counters(self) -> dict[str, int]:
        """A telephone here has no transport."""
        return {}

    def measured(self) -> Measured | None:
        """What is played here has no packets."""
        return None

    def media_changed(self, member: Member, flows: bool) -> None:
        """Nothing: it hears that they are silent."""

    def tone_heard(self, key: str) -> None:
        """Nothing: what a telephone hears is in its audio."""

    def end(self, result: ResultInfo) -> None:
        """Hang up. Again is no error."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._phone.close(), name="close phone")
            self._room.closing.add(self._closing)
            self._closing.add_done_callback(self._room.closing.discard)
            self._room.leave(self, result)
