"""Plugins in the calls of a bot host: on each speaker, on the mix, on what the bot says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from mixminus.media.bridge import Leg
from mixminus.media.pcm import AudioFrame
from mixminus.media.platform import MediaPlatform
from mixminus.media.plugins.attached import AttachedChain, Source
from mixminus.media.plugins.chain import Chain
from mixminus.media.plugins.config import Isolation, PluginSpec
from mixminus.media.plugins.contract import PluginFactory, Stream
from mixminus.media.plugins.errors import PluginError
from mixminus.media.plugins.events import PluginEvent, PluginMetrics
from mixminus.media.plugins.slot import Slot
from mixminus.media.plugins.worker import PluginWorker, wait_closed
from mixminus.media.session import Listener, MediaSession

from ..plugin_settings import expect_streams, validate_all
from ..plugin_totals import PluginTotals, describe_metrics, stuck_s

log = logging.getLogger("mixminus.control.host")

STREAMS: Final[tuple[Stream, ...]] = ("speaker", "mix", "own")
OPEN_S: Final = 60.0
"""How long a plugin may take to open (a model to load)."""
CLOSE_S: Final = 5.0

OnEvent = Callable[[PluginEvent], None]


class HostPlugins:
    """The plugins of one host: those of its settings, and the worker that all calls share.

    Raises: PluginError on entering, when one of the settings is wrong; it names the field.
    Thread: the loop's.
    """

    chain_type: type[Chain] = Chain

    def __init__(
        self,
        platform: MediaPlatform,
        specs: Sequence[PluginSpec] = (),
        *,
        worker: PluginWorker | None = None,
    ) -> None:
        self._platform = platform
        self._worker = worker
        self.specs = tuple(specs)
        self.totals = PluginTotals()
        self.on_event: OnEvent | None = None
        """Called, on the loop, with all that happens to plugins and that they emit."""
        self._calls: set[CallPlugins] = set()

    async def __aenter__(self) -> Self:
        """Look at each plugin of the settings: no call has begun yet."""
        try:
            expect_streams(self.specs, STREAMS)
            await validate_all(self.specs)
        except PluginError:
            await self._end_worker()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """End the worker and all child processes; the calls are over."""
        await self._end_worker()

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    @property
    def worker(self) -> PluginWorker:
        """The worker that all calls share; made when it is first wanted."""
        if self._worker is None:
            self._worker = PluginWorker.of(self._platform)
        return self._worker

    def of_call(
        self, call_id: str, session: MediaSession, may_store: Callable[[int], bool]
    ) -> CallPlugins:
        """Return the plugins of one call, those of the settings in use."""
        plugins = CallPlugins(self, call_id, session, may_store)
        self._calls.add(plugins)
        return plugins

    def health(self) -> dict[str, Any]:
        """Return what /healthz says of plugins."""
        return self.totals.health(self.worker, self.living_metrics())

    def living_metrics(self) -> list[Mapping[str, PluginMetrics]]:
        """Return what the plugins of living calls did, stream by stream."""
        return [metrics for call in self._calls for _, metrics in call.all_metrics()]

    def stuck_s(self) -> float:
        """Return how long a plugin has held up all others; 0: none does."""
        return 0.0 if self._worker is None else stuck_s(self._worker)

    def add_totals(self, metrics: Mapping[str, PluginMetrics]) -> None:
        """Keep the counts of a stream that is over."""
        self.totals.add(metrics)

    def forget(self, call: CallPlugins) -> None:
        """Keep the counts of a call that is over."""
        if call in self._calls:
            self._calls.discard(call)
            for _, metrics in call.all_metrics():
                self.totals.add(metrics)


@dataclass(slots=True)
class _Entry:
    """A plugin of a call, on however many streams it is by now."""

    spec: PluginSpec
    is_bypassed: bool = False


@dataclass(slots=True)
class _Line:
    """One stream of a call and its chain."""

    stream: Stream
    source_id: int | None
    attached: AttachedChain


@dataclass(slots=True, eq=False)
class CallPlugins:
    """The plugins of one call, changed while it runs: ``call.plugins``.

    A plugin on ``"speaker"`` is made anew for each person who speaks. Names are the call's own.
    Thread: the loop's.
    """

    _host: HostPlugins
    _call_id: str
    _session: MediaSession
    _may_store: Callable[[int], bool]
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _lines: dict[tuple[Stream, int | None], _Line] = field(default_factory=dict)
    _listeners: list[OnEvent] = field(default_factory=list)
    _closing: list[Any] = field(default_factory=list)
    _unclaim: Callable[[], None] | None = None
    _unwatch: Callable[[], None] | None = None
    _is_closed: bool = False
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def start(self) -> None:
        """Use what the settings name. Once."""
        self._unwatch = self._session.on_speaker(self._speaker_changed)
        for spec in self._host.specs:
            try:
                self._enter(spec)
            except PluginError as exc:
                # It was right when the host started: a file that has changed, a child too many.
                log.error("call %s: %s", self._call_id, exc)  # noqa: TRY400

    def __iter__(self) -> Iterator[PluginSpec]:
        """Iterate over what is in use, in order."""
        return iter([entry.spec for entry in self._entries.values()])

    def on_event(self, listener: OnEvent) -> Callable[[], None]:
        """Call *listener* with all that happens to plugins and that they emit; return what ends it.

        It is called on the loop. What it raises is logged, and nobody else's.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def add(
        self,
        plugin: PluginSpec | PluginFactory | str,
        *,
        on: Stream = "speaker",
        config: Mapping[str, Any] | None = None,
        isolation: Isolation = "none",
        name: str = "",
    ) -> str:
        """Use a plugin from now on, after those that are there; return its name.

        Returns when it is open on every stream that there is now.
        Raises: PluginError, PluginConfigError with the field's name; RuntimeError after the call.
        """
        spec = (
            plugin
            if isinstance(plugin, PluginSpec)
            else PluginSpec(plugin, on, config or {}, isolation, name)
        )
        expect_streams([spec], STREAMS)
        await validate_all([spec])
        if self._is_closed:
            raise RuntimeError("the call is over: its plugins are closed")
        entered, slots = self._enter(spec)
        try:
            async with asyncio.timeout(OPEN_S):
                await asyncio.gather(*(asyncio.wrap_future(slot.opened) for slot in slots))
        except Exception as exc:
            # The boundary to someone else's code: what its open raised is why it is not used.
            if entered in self._entries:
                await self.remove(entered)
            raise PluginError(f"plugin {entered} was not opened: {exc}") from exc
        return entered

    async def remove(self, name: str) -> None:
        """Use a plugin no more; returns when it has let go. Raises: KeyError."""
        entry = self._entry(name)
        del self._entries[name]
        lines = [
            line
            for line in self._lines.values()
            if line.stream == entry.spec.on and name in line.attached.chain.names
        ]
        for line in lines:
            self._host.add_totals({name: line.attached.chain.metrics()[name]})
        futures = [line.attached.remove(name) for line in lines]
        if not any(entry.spec.on == "speaker" for entry in self._entries.values()):
            self._drop_claim()
        await wait_closed(futures, CLOSE_S)

    def bypass(self, name: str, on: bool = True) -> None:
        """Let frames go past a plugin, or through it again, also if it was disabled.

        Raises: KeyError.
        """
        self._entry(name).is_bypassed = on
        for chain in self._chains_with(name):
            chain.bypass(name, on)

    def set(self, name: str, **parameters: Any) -> None:
        """Change parameters of a plugin, on all its streams, from their next frames on.

        Raises: PluginConfigError with the field's name; KeyError.
        """
        entry = self._entry(name)
        changed = replace(entry.spec, config={**entry.spec.config, **parameters})
        if changed.isolation == "none":
            changed.make(name)
        for chain in self._chains_with(name):
            chain.set(name, **parameters)
        entry.spec = changed

    def is_bypassed(self, name: str) -> bool:
        """Say whether frames go past a plugin because it is set so. Raises: KeyError."""
        return self._entry(name).is_bypassed

    def is_disabled(self, name: str) -> bool:
        """Say whether a plugin was taken out of use on any of its streams. Raises: KeyError."""
        self._entry(name)
        return any(chain.slot(name).is_disabled for chain in self._chains_with(name))

    def metrics(self, name: str) -> dict[int | None, PluginMetrics]:
        """Return what a plugin did, by the source id of each speaker, or None for the one stream.

        Raises: KeyError.
        """
        stream = self._entry(name).spec.on
        return {
            source_id: line.attached.chain.metrics()[name]
            for (on, source_id), line in self._lines.items()
            if on == stream and name in line.attached.chain.names
        }

    def all_metrics(self) -> list[tuple[_Line, dict[str, PluginMetrics]]]:
        """Return what all plugins did, stream by stream."""
        return [(line, line.attached.chain.metrics()) for line in self._lines.values()]

    def describe(self) -> list[dict[str, Any]]:
        """Return what the admin API shows: each plugin on each stream."""
        return [
            {
                "name": name,
                "on": line.stream,
                "sourceId": line.source_id,
                **describe_metrics(metrics),
            }
            for line, chain in self.all_metrics()
            for name, metrics in chain.items()
        ]

    async def close(self) -> None:
        """Take all plugins out and wait until they have let go. Again is no error."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._unwatch is not None:
            self._unwatch()
        self._host.forget(self)
        for line in self._lines.values():
            self._closing += line.attached.close()
        self._drop_claim()
        await wait_closed(self._closing, CLOSE_S)

    # ---- streams ---------------------------------------------------------------------------------

    def _enter(self, spec: PluginSpec) -> tuple[str, list[Slot]]:
        name, number = spec.name, 1
        while name in self._entries:
            number += 1
            name = f"{spec.name}-{number}"
        spec = replace(spec, name=name)
        if spec.on == "speaker" and self._unclaim is None:
            self._unclaim = self._session.want_speakers()
        lines = [
            self._lines.get((spec.on, source_id)) or self._open_line(spec.on, source_id, leg)
            for source_id, leg in self._legs(spec.on)
        ]
        slots = [line.attached.add(spec) for line in lines]
        self._entries[name] = _Entry(spec)
        return name, slots

    def _legs(self, stream: Stream) -> list[tuple[int | None, Leg]]:
        legs = self._session.legs
        if stream == "speaker":
            return list(legs.speakers.items())
        return [(None, legs.application)]

    def _open_line(self, stream: Stream, source_id: int | None, leg: Leg) -> _Line:
        worker = self._host.worker
        chain = self._host.chain_type(
            stream=stream,
            call_id=self._call_id,
            source_id=source_id,
            on_event=self._tell_soon,
            runtime=worker.runtime(),
            may_store=self._may_store,
        )
        if stream == "mix":
            attached = worker.attach(leg, "outbound", chain, listen=self._listen_to_mix)
        else:
            attached = worker.attach(leg, "inbound", chain)
        line = self._lines[stream, source_id] = _Line(stream, source_id, attached)
        return line

    def _listen_to_mix(self) -> Source:
        return _MixSource(self._session.listen(speakers=False))

    def _speaker_changed(self, source_id: int, leg: Leg, is_open: bool) -> None:
        if not is_open:
            line = self._lines.pop(("speaker", source_id), None)
            if line is not None:
                self._host.add_totals(line.attached.chain.metrics())
                self._closing = [future for future in self._closing if not future.done()]
                self._closing += line.attached.close()
            return
        entries = [entry for entry in self._entries.values() if entry.spec.on == "speaker"]
        if not entries:
            return
        line = self._open_line("speaker", source_id, leg)
        for entry in entries:
            try:
                slot = line.attached.add(entry.spec)
            except PluginError as exc:
                log.error("call %s: %s", self._call_id, exc)  # noqa: TRY400
                continue
            slot.is_bypassed = entry.is_bypassed

    def _chains_with(self, name: str) -> list[Chain]:
        chains = [line.attached.chain for line in self._lines.values()]
        return [chain for chain in chains if name in chain.names]

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            there = ", ".join(self._entries) or "none"
            raise KeyError(f"no plugin {name!r} in this call: there are {there}")
        return self._entries[name]

    def _drop_claim(self) -> None:
        unclaim, self._unclaim = self._unclaim, None
        if unclaim is not None:
            unclaim()

    # ---- events ----------------------------------------------------------------------------------

    def _tell_soon(self, event: PluginEvent) -> None:
        """Hear of an event, in whatever thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, event)

    def _tell(self, event: PluginEvent) -> None:
        if event.kind in ("error", "overrun", "disabled", "restarted"):
            log.warning(
                "call %s: plugin %s on %s: %s: %s",
                self._call_id,
                event.plugin,
                event.stream,
                event.kind,
                event.detail,
            )
        if self._host.on_event is not None:
            self._host.on_event(event)
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                # The boundary to the bot's code: the other listeners hear it all the same.
                log.exception("call %s: a listener to plugins failed", self._call_id)


class _MixSource:
    """The mix, for who only listens."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def read(self) -> AudioFrame | None:
        """Return the next frame, or None when none waits."""
        frame = self._listener.read_nowait()
        return None if frame is None else frame.mixed

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
