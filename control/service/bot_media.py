"""The bot's side of a call's audio: a media link to its host, or prompts and recordings here."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.transports.base import Transport
from mixminus.media.transports.link import LinkError, ServiceLink

from .. import call_state as cs
from ..graph.requests import MediaConfig
from ..operation.call_context import step, watch_frames
from .bot_tones import BotTones
from .gauge import Gauge
from .host_waits import patience_s, reach
from .ivr.hosting import make_hosted
from .records.quality import Measured

if TYPE_CHECKING:
    from .ivr.media import ServiceHostedMedia
    from .live_call import LiveCall
    from .services import CallServices


log = logging.getLogger("mixminus.control.calls")


class BotMediaError(ConnectionError):
    """The bot's media could not be set up; the message says why."""


class BotMedia:
    """What carries one bot's audio. Made for one call, connected once.

    Thread: the loop's.
    """

    def __init__(
        self,
        services: CallServices,
        config: MediaConfig,
        descriptor: MediaSessionDescriptor | None,
    ) -> None:
        self._services, self._config, self._descriptor = services, config, descriptor
        self.hosted: ServiceHostedMedia | None = None
        self._link: Transport | None = None
        self.gauge = Gauge(services.sampler)
        self._is_closed = False

    @property
    def is_app_hosted(self) -> bool:
        """Whether the application handles the audio itself."""
        return self._descriptor is not None

    @property
    def is_closed(self) -> bool:
        """Whether it was cut or closed: what fails after that is no news of the bot's host."""
        return self._is_closed

    @property
    def descriptor(self) -> MediaSessionDescriptor | None:
        """What the application says of its media; None when they are the service's."""
        return self._descriptor

    @property
    def flows(self) -> bool:
        """Whether the bot's side carries audio: the link has, or nothing needs to."""
        return self.hosted is not None or (
            self._link is not None and self._link.counters().get("frames_in", 0) > 0
        )

    def counters(self) -> dict[str, int]:
        """Return what became of the frames."""
        if self._link is not None:
            return self._link.counters()
        return {} if self.hosted is None else asdict(self.hosted.counters())

    def measured(self) -> Measured | None:
        """Return how good the link's frames came and went; None: not measured."""
        return self.gauge.measured()

    async def connect(self, live: LiveCall) -> None:
        """Connect to the bot's media endpoint, or make ready what the service hosts.

        Raises: BotMediaError.
        """
        if self._descriptor is None:
            hosted = make_hosted(live)
            self.hosted = hosted
            live.concern.set_up_over("media are the service's own")
            # Fetched at set-up, so that the first prompt need not wait; its failure is the play's.
            for info in self._config.prefetch:
                live.spawn(self._services.prompts.of(live.app_id).prefetch(info))
            return
        self._expect_open()
        try:
            with step("media link", "client"):
                link = await reach(live, self._descriptor)
        except LinkError as error:
            raise BotMediaError(str(error)) from error
        if self._is_closed:
            await link.close()
        self._expect_open()
        self._link = link
        watch_frames(link.counters)
        self.gauge.follow(link)
        if isinstance(link, ServiceLink):
            self._serve(live, link)

        def closed(future: asyncio.Future[str]) -> None:
            if not self._is_closed and not future.cancelled():
                self._lost(live, link, cs.MediaLost(future.result()))

        link.closed.add_done_callback(closed)

    def _expect_open(self) -> None:
        if self._is_closed:
            raise BotMediaError("the call is over")

    def tone_heard(self, key: str) -> None:
        """Tell the bot, over its link, that another party pressed *key*."""
        if isinstance(self._link, ServiceLink):
            self._link.send_tone(key)

    def _serve(self, live: LiveCall, link: ServiceLink) -> None:
        """Do what the bot asks for by its link, and tell the others when it is lost."""

        def speakers_wanted(wanted: bool) -> None:
            link.feed(live.conversation.open_feed(live.member) if wanted else None)

        def media_changed(flows: bool) -> None:
            log.info("call %s: its media link %s", live.id, "is back" if flows else "was lost")
            live.room.media_changed(live.member, flows)

        link.on_tone = BotTones(live).press
        link.on_speakers = speakers_wanted
        link.on_media = media_changed

    def _lost(self, live: LiveCall, link: Transport, lost: cs.MediaLost) -> None:
        """End the call, or leave it its place until a host had time to take it over."""
        # Who says goodbye will not come back.
        is_left = not isinstance(link, ServiceLink) or link.has_said_bye
        wait_s = 0.0 if is_left else patience_s(live)
        if wait_s:
            log.info("call %s: waits %.0f s for a host to take it over", live.id, wait_s)
            live.set_timer("rejoin", wait_s, lambda: live.post(lost))
        else:
            live.post(lost)

    def cut(self, said: str) -> None:
        """End what carries the audio, now: nothing comes or goes any more. *said* tells the bot."""
        self._is_closed = True
        if isinstance(self._link, ServiceLink):
            self._link.cut(said)

    async def close(self) -> None:
        """End what carries the audio. Again is no error."""
        self._is_closed = True
        self.gauge.close()
        if self._link is not None:
            await self._link.close()
        if self.hosted is not None:
            await self.hosted.close()
