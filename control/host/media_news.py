"""What a call's audio tells its bot: keys, who leads, whether the way to the far end stands."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from mixminus.media.presses import Presses
from mixminus.media.session import AudioSocket

from ..client.models import ToneInfo
from ..graph.enums import Tone
from .bot import Bot
from .parts import News
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

SIGNALLED: Final = "signalled"
MEDIA: Final = "media"
MAX_WAITING: Final = 256
"""News that wait for a bot's handlers; notifications that are kept may be more."""


class MediaNews:
    """Turns what an audio socket tells into news for the bot's handlers, in order with all others.

    A key may be told twice, by a notification and with the audio: it is one press. Thread: the
    loop's.
    """

    def __init__(self, bot: Bot, waits: CallWaits, queue: asyncio.Queue[News]) -> None:
        self._bot, self._waits, self._queue = bot, waits, queue
        self._presses = Presses()
        self._is_behind = False

    def follow(self, audio: AudioSocket) -> None:
        """Tell what *audio* tells from now on, until its session is over."""
        audio.on_tone(self._take_key)
        media_handler, dominant_handler = self._bot.media_handler, self._bot.dominant_handler
        if media_handler is not None:
            audio.on_media(lambda is_back: self._post(News(told=(media_handler, is_back))))
        if dominant_handler is not None:
            audio.on_dominant_speaker(
                lambda source_id: self._post(News(told=(dominant_handler, source_id)))
            )

    def is_new(self, tone: ToneInfo) -> bool:
        """Say whether a signalled key is a press that the audio's side has not told of."""
        return tone.key is None or self._presses.take(SIGNALLED, tone.key, time.monotonic())

    def _take_key(self, key: str) -> None:
        if not self._presses.take(MEDIA, key, time.monotonic()):
            return
        tone = ToneInfo(Tone.of_key(key) or key, None)
        self._waits.hear(tone)
        self._post(News(tone=tone))

    def _post(self, news: News) -> None:
        was_behind, self._is_behind = self._is_behind, self._queue.qsize() >= MAX_WAITING
        if self._is_behind:
            # Once: a far end can press keys as fast as it likes.
            if not was_behind:
                log.warning("the bot's handlers are behind: they miss news of the call's audio")
        elif not self._waits.ended.is_set():
            self._queue.put_nowait(news)
