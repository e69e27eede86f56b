"""Plugins on callers' legs in the call service: what each says, and what each hears."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final, Self

from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.attached import AttachedChain, Direction
from mixminus.media.plugins.chain import Chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.errors import PluginError
from mixminus.media.plugins.events import PluginEvent
from mixminus.media.plugins.worker import PluginWorker, wait_closed

from ..plugin_settings import expect_streams, validate_all
from ..plugin_totals import PluginTotals
from .member import Member

log = logging.getLogger("mixminus.control.calls")

STREAMS: Final[tuple[Direction, ...]] = ("inbound", "outbound")
CLOSE_S: Final = 5.0


class LegPlugins:
    """The plugins of the settings, on the leg of every caller.

    Raises: PluginError on entering, when one of the settings is wrong; it names the field.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, specs: Sequence[PluginSpec] = ()) -> None:
        self._worker: PluginWorker
        self._platform = platform
        self._specs = tuple(specs)
        self._chains: dict[Member, list[AttachedChain]] = {}
        self._totals = PluginTotals()
        self._closing: list[Future[None]] = []
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Look at each plugin: no call has begun yet."""
        self._loop = asyncio.get_running_loop()
        self._worker = PluginWorker.of(self._platform)
        try:
            expect_streams(self._specs, STREAMS)
            await validate_all(self._specs)
        except PluginError:
            await self._worker.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Take all plugins out, end the worker and all child processes."""
        for member in tuple(self._chains):
            self.detach(member)
        await wait_closed(self._closing, CLOSE_S)
        await self._worker.close()

    def attach(self, member: Member, call_id: str) -> None:
        """Put the plugins on the leg of a caller who came into the call of that chain id."""
        for direction in STREAMS:
            specs = [spec for spec in self._specs if spec.on == direction]
            if not specs:
                continue
            try:
                chain = Chain(
                    specs,
                    stream=direction,
                    call_id=call_id,
                    source_id=member.source_id,
                    on_event=self._tell_soon,
                    runtime=self._worker.runtime(),
                )
                attached = self._worker.attach(member.leg, direction, chain)
            except (PluginError, RuntimeError) as exc:
                # It was right when the service started; the caller is heard without it.
                log.error("call %s: %s", call_id, exc)  # noqa: TRY400
                continue
            self._chains.setdefault(member, []).append(attached)

    def detach(self, member: Member) -> None:
        """Let the frames of a caller who leaves go straight on. Again is no error."""
        self._closing = [future for future in self._closing if not future.done()]
        for attached in self._chains.pop(member, []):
            self._totals.add(attached.chain.metrics())
            self._closing += attached.close()

    def health(self) -> dict[str, Any]:
        """Return what /healthz says of plugins."""
        living = [
            attached.chain.metrics() for chains in self._chains.values() for attached in chains
        ]
        return self._totals.health(self._worker, living)

    def _tell_soon(self, event: PluginEvent) -> None:
        """Hear of an event, in whatever thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_log_event, event)


def _log_event(event: PluginEvent) -> None:
    if event.kind in ("error", "overrun", "disabled", "restarted"):
        log.warning(
            "call %s: plugin %s on leg %s (%s): %s: %s",
            event.call_id,
            event.plugin,
            event.source_id,
            event.stream,
            event.kind,
            event.detail,
        )
