"""The bot host's end of a media link: what brings a session's audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ..bridge import Leg
from ..fence import Fence
from ..pcm import FLAG_SILENCE
from ..platform import MediaPlatform
from . import link_frames
from .base import CLEAR, MARKS, SEND_TONES, SPEAKERS, TONES, SpeakerLegs
from .link_control import clear, dtmf, mark, read_dtmf, read_mark_done, streams
from .link_frames import KIND_DTMF, SILENT_PAYLOAD, Record
from .link_marks import SentMarks
from .link_streams import SpeakerStreams
from .link_transport import LinkTransport
from .message_socket import MessageSocket

RESUME_NS: Final = 15_000_000_000
"""The service tries for 10 s, and may have noticed the loss later than this end."""

REPLACED_CODE: Final = 4409
REPLACED_REASON: Final = "replaced"


class HostLink(LinkTransport):
    """A session's transport over the media link. Made by ``accept_link``; again it resumes.

    Thread: the platform's loop.
    """

    def __init__(
        self,
        platform: MediaPlatform,
        leg: Leg,
        socket: MessageSocket,
        *,
        epoch: int,
        speakers: SpeakerLegs | None = None,
        fence: Fence | None = None,
    ) -> None:
        super().__init__(platform, leg, socket, epoch=epoch, resume_ns=RESUME_NS, fence=fence)
        able = {TONES, SEND_TONES, MARKS, CLEAR}
        self.capabilities = frozenset(able if speakers is None else able | {SPEAKERS})
        self.sends_silence = True
        self.on_tone: Callable[[str], None] | None = None
        self.on_mark: Callable[[str, bool], None] | None = None
        self._speakers = (
            None if speakers is None else SpeakerStreams(platform, speakers, self._counts)
        )
        self._wants_speakers = False
        self._marks = SentMarks()
        self._cleared_at: int | None = None

    def resume(self, socket: MessageSocket, epoch: int) -> None:
        """Go on over *socket*, in the place of a socket that is lost, or is now let go of.

        Raises: ConnectionError when the link has ended.
        """
        if self.closed.done():
            raise ConnectionError(f"the media link has ended: {self.closed.result()}")
        if self._connection is not None:
            self._lose("another connection took its place", REPLACED_CODE, REPLACED_REASON)
        is_other = epoch != self._epoch
        if is_other:
            self._epoch = epoch
            self._mixed.restart()
        if self._speakers is not None:
            self._speakers.restart(is_other=is_other)
        self._go_on(socket)

    @property
    def over(self) -> asyncio.Future[None]:
        """Done when the socket that carries the link now is closed. Not while it is lost."""
        assert self._connection is not None
        return self._connection.over

    def want_speakers(self, wanted: bool) -> None:
        """Ask the service for each speaker's own audio, or no more."""
        if self._speakers is None or wanted == self._wants_speakers:
            return
        self._wants_speakers = wanted
        self._say(streams(mixed=True, speakers=wanted))
        if not wanted:
            self._speakers.end_all()

    def send_tone(self, key: str, duration_ms: int) -> None:
        """Press *key* towards everyone whom the service lets hear this bot.

        Raises: ValueError when *key* is not one of 0-9, *, #, A-D, or lasts longer than a minute.
        """
        self._say(dtmf(key, duration_ms))

    def send_mark(self, name: str) -> None:
        """Ask to hear, by ``on_mark``, when the audio rendered so far was played.

        Raises: ValueError on a name that is empty or longer than 256 bytes of UTF-8.

        While 256 wait for their answer, one more is told as not played at once.
        """
        record = mark(name)
        if self._marks.sent(name):
            self._say(record)
        else:
            self._tell_cleared([name])

    def clear(self) -> None:
        """Have the service drop what it has not played, at once; its marks come back as cleared."""
        self._skipped_frames += self._leg.render.clear()
        self._cleared_at = self._platform.now()
        self._marks.clear()
        self._say(clear())

    async def abandon(self) -> None:
        """Close the socket without a bye: the service waits for a host that takes the call over.

        Again is no error; once it is closed it does nothing.
        """
        await asyncio.shield(self._begin_close(None))

    async def _close(self, said: str | None, told: bool) -> None:
        await super()._close(said, told)
        if self._speakers is not None:
            self._speakers.end_all()

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self._tell_cleared(self._marks.take_all())

    def _when_lost(self) -> None:
        """Nothing: the service dials again."""

    def _when_resumed(self) -> None:
        # Their answers may have been lost with the socket, and so may the marks themselves. What
        # waited to be cleared has been played meanwhile.
        self._tell_cleared(self._marks.take_cleared())
        keys = [record for record in self._control if record.kind == KIND_DTMF]
        self._control.clear()
        # Also that they are not: who gave them up in between would get them for the rest.
        self._say(streams(mixed=True, speakers=self._wants_speakers))
        self._control.extend(keys)
        for name in self._marks.waiting:
            self._say(mark(name))

    def _tell_cleared(self, names: list[str]) -> None:
        if self.on_mark is not None:
            for name in names:
                self.on_mark(name, False)

    def _pass_time(self, passed_ns: int) -> None:
        super()._pass_time(passed_ns)
        if self._speakers is not None and self._connection is not None:
            self._speakers.pass_time(passed_ns)

    # ---- out and in ------------------------------------------------------------------------------

    def _mixed_record(
        self, timestamp: int, flags: int, speakers: tuple[int, ...], payload: bytes
    ) -> bytes:
        if self._cleared_at is not None:
            # The first frame after the clearing is the end of what was cleared here, faded out.
            if timestamp >= self._cleared_at:
                self._cleared_at = None
            flags, payload = flags | FLAG_SILENCE, SILENT_PAYLOAD
        elif flags & FLAG_SILENCE and not self.sends_silence:
            payload = SILENT_PAYLOAD
        return super()._mixed_record(timestamp, flags, speakers, payload)

    def _take_speaker(self, record: Record) -> None:
        if self._speakers is None or not self._wants_speakers:
            self._counts["other_stream"] += 1
        else:
            self._speakers.take(record)

    def _take_control(self, record: Record) -> bool:
        match record.kind:
            case link_frames.KIND_BYE:
                if self._speakers is not None:
                    self._speakers.end(record.stream)
            case link_frames.KIND_DTMF:
                key, _ = read_dtmf(record)
                if self.on_tone is not None:
                    self.on_tone(key)
            case link_frames.KIND_MARK_DONE:
                name, played = read_mark_done(record)
                if self._marks.answered(name) and self.on_mark is not None:
                    self.on_mark(name, played)
            case _:
                return False
        return True
