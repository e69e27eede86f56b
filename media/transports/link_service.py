"""The call service's end of a media link: a conversation to a bot, and the bot into it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from ..bridge import Leg
from ..platform import MediaPlatform
from . import link_frames
from .link_control import (
    bye,
    dtmf,
    mark_done,
    read_dtmf,
    read_mark,
    read_streams,
)
from .link_frames import Record
from .link_marks import DueMarks
from .link_transport import LinkTransport
from .message_socket import MessageSocket

log = logging.getLogger("mixminus.media.link")

RESUME_NS: Final = 10_000_000_000
"""A call that is mute for longer has ended for those who are in it."""

ACTS_A_TICK: Final = 8
"""Clears, and changes of what is wanted, that are done at once; of more the last one, with the next
tick: each costs the legs' engine something, and a message could carry two thousand."""

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 2.0
"""The first try is made at once, then after 0.1 s, 0.2 s and so on up to this."""


class LinkError(ConnectionError):
    """A media link that could not be made; the message is fit for the call's ``resultInfo``."""


class LinkRefusedError(LinkError):
    """The hello was refused. Why is not said, on purpose."""


Dial = Callable[[int], Awaitable[MessageSocket]]
"""Makes the connection of that number, and admits it. Raises: LinkError."""


class SpeakerFrame(NamedTuple):
    """20 ms of one speaker, as it came or as the far end may hear it.

    Units:  timestamp in 100 ns ticks, the tick's; ``payload`` 640 bytes of Pcm16K.
    """

    source_id: int
    timestamp: int
    flags: int
    speakers: tuple[int, ...]
    payload: bytes


class SpeakerFeed(Protocol):
    """The speakers apart whom the far end may hear. Thread: the loop's."""

    def take(self) -> Sequence[SpeakerFrame]:
        """Return what came since the last call, at most the newest 60 ms of each, in order."""

    def take_ended(self) -> Sequence[int]:
        """Return who ended since the last call, by source id."""

    @property
    def dropped_frames(self) -> int:
        """How many frames nobody took in time."""

    def close(self) -> None:
        """Give nothing more. Again is no error."""


class ServiceLink(LinkTransport):
    """A bot's leg over a media link. Made by ``connect_link``.

    ``on_tone(key, duration_ms)`` is called when the bot presses a key; ``on_speakers(wanted)`` when
    it wants the speakers apart, or no more: answer by :meth:`feed`. A socket that is lost is
    dialled again for 10 s.
    Thread: the platform's loop.
    """

    def __init__(
        self, platform: MediaPlatform, leg: Leg, socket: MessageSocket, *, epoch: int, dial: Dial
    ) -> None:
        super().__init__(platform, leg, socket, epoch=epoch, resume_ns=RESUME_NS)
        self.on_tone: Callable[[str, int], None] | None = None
        self.on_speakers: Callable[[bool], None] | None = None
        self._dial = dial
        self._attempt = 1
        self._dialling: asyncio.Task[None] | None = None
        self._feed: SpeakerFeed | None = None
        self._sends_mixed, self._wants_speakers = True, False
        self._asked_speakers = self._is_clear_due = False
        self._acts_left = ACTS_A_TICK
        self._marks = DueMarks()

    @property
    def wants_speakers(self) -> bool:
        """Whether the bot asked for the speakers apart."""
        return self._wants_speakers

    def counters(self) -> dict[str, int]:
        """Return frames in and out, and those that were not, by reason."""
        counts = super().counters()
        if self._feed is not None:
            counts["dropped_stale"] += self._feed.dropped_frames
        return counts

    def feed(self, feed: SpeakerFeed | None) -> None:
        """Send the speakers of *feed* beside the mix; None: no more. It is closed at the end."""
        before, self._feed = self._feed, feed
        if before is not None:
            self._counts["dropped_stale"] += before.dropped_frames
            before.close()

    def cut(self, said: str) -> None:
        """End the link at once: nothing comes or goes but a bye, *said* being the reason.

        What is left, tasks and the socket, close() waits for.
        """
        self._begin_close(said)

    def send_tone(self, key: str, duration_ms: int = 0) -> None:
        """Tell the bot that somebody pressed *key*; 0: for how long is not known.

        Raises: ValueError when it is no key.
        """
        self._say(dtmf(key, duration_ms))

    async def _close(self, said: str | None, told: bool) -> None:
        # In this order: a socket that is lost once the link has ended is not dialled again.
        await super()._close(said, told)
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])

    def _end(self, reason: str) -> None:
        super()._end(reason)
        self.feed(None)

    # ---- another socket in the place of a lost one -----------------------------------------------

    def _when_lost(self) -> None:
        self._dialling = asyncio.create_task(self._dial_again(), name="media link dial")

    def _when_resumed(self) -> None:
        """Nothing: the bot host says again what it wants."""

    async def _dial_again(self) -> None:
        delay_s = 0.0
        while not self.closed.done():
            await asyncio.sleep(delay_s)
            delay_s = min(max(FIRST_RETRY_S, 2 * delay_s), LAST_RETRY_S)
            self._attempt += 1
            try:
                socket = await self._dial(self._attempt)
            except LinkRefusedError as exc:
                self._end(f"the media link was lost: {exc}")
            except LinkError as exc:
                self._lost_why = str(exc)
            except Exception:
                # A bug of ours ends this call's link with a report, and no other.
                log.exception("a media link could not be dialled again")
                self._end("the media link failed")
            else:
                if self.closed.done():
                    await socket.close()
                else:
                    self._go_on(socket)
                return

    # ---- out -------------------------------------------------------------------------------------

    def _pass_time(self, passed_ns: int) -> None:
        if self._marks:
            for name in self._marks.take_played(self._mixed.played_frames):
                self._say(mark_done(name, played=True))
        self._acts_left = ACTS_A_TICK
        if self._is_clear_due:
            self._clear_leg()
        self._follow_asked()
        super()._pass_time(passed_ns)

    def _due_audio(self) -> list[bytes]:
        records = super()._due_audio()
        feed = self._feed
        if feed is not None:
            for source_id in feed.take_ended():
                self._say(bye("left", source_id))
            frames = feed.take()
            self._counts["speaker_frames_out"] += len(frames)
            epoch, audio = self._epoch, self._timeline.audio
            for source_id, timestamp, flags, speakers, payload in frames:
                records.append(audio(epoch, source_id, timestamp, flags, speakers, payload))
        return records

    def _mixed_record(
        self, timestamp: int, flags: int, speakers: tuple[int, ...], payload: bytes
    ) -> bytes:
        if not self._sends_mixed:
            payload = link_frames.SILENT_PAYLOAD
        return super()._mixed_record(timestamp, flags, speakers, payload)

    # ---- in --------------------------------------------------------------------------------------

    def _take_speaker(self, record: Record) -> None:
        self._counts["other_stream"] += 1

    def _take_control(self, record: Record) -> bool:
        match record.kind:
            case link_frames.KIND_DTMF:
                key, duration_ms = read_dtmf(record)
                if self.on_tone is not None:
                    self.on_tone(key, duration_ms)
            case link_frames.KIND_MARK:
                name = read_mark(record)
                if not self._marks.add(name, self._mixed.pushed_frames):
                    self._say(mark_done(name, played=False))
            case link_frames.KIND_CLEAR:
                self._clear_leg()
                for name in self._marks.clear():
                    self._say(mark_done(name, played=False))
            case link_frames.KIND_STREAMS:
                self._sends_mixed, self._asked_speakers = read_streams(record)
                self._follow_asked()
            case _:
                return False
        return True

    def _may_act(self) -> bool:
        self._acts_left -= 1
        return self._acts_left >= 0

    def _clear_leg(self) -> None:
        self._is_clear_due = not self._may_act()
        if not self._is_clear_due:
            self._leg.flush()

    def _follow_asked(self) -> None:
        wanted = self._asked_speakers
        if wanted != self._wants_speakers and self._may_act():
            self._wants_speakers = wanted
            if self.on_speakers is not None:
                self.on_speakers(wanted)
