"""Plugins on callers' legs in the call service: what each says, and what each hears."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.attached import AttachedChain, Direction
from mixminus.media.plugins.chain import Chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.errors import PluginError
from mixminus.media.plugins.events import PluginEvent, PluginMetrics
from mixminus.media.plugins.slot import Slot
from mixminus.media.plugins.worker import PluginWorker, wait_closed

from ..plugin_settings import expect_streams, validate_all
from ..plugin_totals import PluginTotals, stuck_s
from .member import Member

log = logging.getLogger("mixminus.control.calls")

STREAMS: Final[tuple[Direction, ...]] = ("inbound", "outbound")
CLOSE_S: Final = 5.0
OPEN_S: Final = 60.0
"""How long a plugin may take to open (a model to load)."""

OnEvent = Callable[[PluginEvent], None]


@dataclass(slots=True)
class LegChain:
    """One direction of a caller's leg: its plugins in their order, and what each was made of."""

    call_id: str
    direction: Direction
    attached: AttachedChain
    specs: dict[str, PluginSpec]

    def slot(self, name: str) -> Slot:
        """Return a plugin's place. Raises: KeyError."""
        return self.attached.chain.slot(name)

    def set(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Change parameters of a plugin, from its next frame on.

        Raises: PluginConfigError with the field's name; KeyError.
        """
        spec = self.specs[name]
        self.attached.chain.set(name, **parameters)
        self.specs[name] = replace(spec, config={**spec.config, **parameters})

    def bypass(self, name: str, on: bool) -> None:
        """Let frames go past a plugin, or through it again, also if it was disabled.

        Raises: KeyError.
        """
        self.attached.chain.bypass(name, on)


class LegPlugins:
    """The plugins of the settings, on the leg of every caller; and what was changed since.

    Raises: PluginError on entering, when one of the settings is wrong; it names the field.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, specs: Sequence[PluginSpec] = ()) -> None:
        self._worker: PluginWorker
        self._platform = platform
        self.specs = tuple(specs)
        self.on_event: OnEvent | None = None
        """Called, on the loop, with all that happens to plugins and that they emit."""
        self._chains: dict[Member, dict[Direction, LegChain]] = {}
        self.totals = PluginTotals()
        self._closing: list[Future[None]] = []
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        """Look at each plugin: no call has begun yet."""
        self._loop = asyncio.get_running_loop()
        self._worker = PluginWorker.of(self._platform)
        try:
            expect_streams(self.specs, STREAMS)
            await validate_all(self.specs)
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
        self._chains[member] = {}
        for direction in STREAMS:
            specs = [spec for spec in self.specs if spec.on == direction]
            if not specs:
                continue
            try:
                self._put(member, call_id, direction, specs)
            except (PluginError, RuntimeError) as exc:
                # It was right when the service started; the caller is heard without it.
                log.error("call %s: %s", call_id, exc)  # noqa: TRY400

    def detach(self, member: Member) -> None:
        """Let the frames of a caller who leaves go straight on. Again is no error."""
        self._closing = [future for future in self._closing if not future.done()]
        for chain in self._chains.pop(member, {}).values():
            self.totals.add(chain.attached.chain.metrics())
            self._closing += chain.attached.close()

    def of(self, member: Member) -> Iterator[LegChain]:
        """Iterate over the chains on *member*'s leg."""
        return iter(self._chains.get(member, {}).values())

    async def add(self, member: Member, call_id: str, spec: PluginSpec) -> tuple[LegChain, str]:
        """Put one more plugin on *member*'s leg; return its chain and its name, once it is open.

        Raises: PluginError, PluginConfigError with the field's name; RuntimeError when the member
                is no caller, or has left.
        """
        expect_streams([spec], STREAMS)
        await validate_all([spec])
        if member not in self._chains:
            raise RuntimeError("expected a caller who is in the call")
        # Checked just above: outbound or inbound.
        direction: Direction = "inbound" if spec.on == "inbound" else "outbound"
        chain = self._chains[member].get(direction)
        if chain is None:
            chain = self._put(member, call_id, direction, [spec])
            name = next(iter(chain.specs))
        else:
            name = chain.attached.add(spec).name
            chain.specs[name] = spec
        try:
            async with asyncio.timeout(OPEN_S):
                await asyncio.wrap_future(chain.slot(name).opened)
        except Exception as exc:
            # The boundary to someone else's code: what its open raised is why it is not used.
            if name in chain.specs:
                await self.remove(chain, name)
            raise PluginError(f"plugin {name} was not opened: {exc}") from exc
        return chain, name

    async def remove(self, chain: LegChain, name: str) -> None:
        """Take a plugin out of a leg; returns when it has let go. Raises: KeyError."""
        self.totals.add({name: chain.slot(name).metrics()})
        del chain.specs[name]
        await wait_closed([chain.attached.remove(name)], CLOSE_S)

    def health(self) -> dict[str, Any]:
        """Return what /healthz says of plugins."""
        return self.totals.health(self._worker, self.living_metrics())

    def living_metrics(self) -> list[Mapping[str, PluginMetrics]]:
        """Return what the plugins of those who are here did, chain by chain."""
        return [
            chain.attached.chain.metrics()
            for chains in self._chains.values()
            for chain in chains.values()
        ]

    def stuck_s(self) -> float:
        """Return how long a plugin has held up all others; 0: none does."""
        return stuck_s(self._worker)

    def _put(
        self, member: Member, call_id: str, direction: Direction, specs: Sequence[PluginSpec]
    ) -> LegChain:
        """Make a chain on a leg. Raises: PluginError; RuntimeError when the leg is closed."""
        made = Chain(
            specs,
            stream=direction,
            call_id=call_id,
            source_id=member.source_id,
            on_event=self._tell_soon,
            runtime=self._worker.runtime(),
        )
        attached = self._worker.attach(member.leg, direction, made)
        named = dict(zip(made.names, specs, strict=True))
        chain = self._chains[member][direction] = LegChain(call_id, direction, attached, named)
        return chain

    def _tell_soon(self, event: PluginEvent) -> None:
        """Hear of an event, in whatever thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, event)

    def _tell(self, event: PluginEvent) -> None:
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
        if self.on_event is not None:
            self.on_event(event)
