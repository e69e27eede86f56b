"""A chain: plugins of one stream, one after the other, none of which can spoil it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..pcm import AudioFrame, Pcm
from .config import PluginSpec
from .contract import BUDGET_MS, PluginFactory, Stream, store_nothing
from .errors import PluginError
from .events import EventKind, OnEvent, PluginEvent, PluginMetrics
from .local import LocalSlot, described, spawn_here, spawn_thread
from .meter import OwnTimeMeter
from .slot import Slot, context_of
from .tap import TapSlot

if TYPE_CHECKING:
    from ..watchdog import Watchdog
    from .isolated.children import Children
    from .isolated.slot import ProcessSlot

log = logging.getLogger("mixminus.media.plugins")

BUDGET_NS: Final = int(BUDGET_MS * 1e6)
CLOSE_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a chain in a call has that one offline has not: a loop for taps, children, threads."""

    loop: asyncio.AbstractEventLoop
    children: Children
    watchdog: Watchdog | None = None


class Chain:
    """Plugins of one stream in their order. Offline unless a *runtime* is given.

    A plugin that raises or gives back no frame is passed by for that frame, one that takes too much
    of its own time for the next ones; with three such frames in a second it is disabled. The others
    go on with the frame as it was. All that happens is told to *on_event*, from any thread.
    Raises: PluginError on a spec that is wrong; then nothing of the chain is left.
    Thread: :meth:`process` one at a time; all else any.
    """

    def __init__(
        self,
        specs: Sequence[PluginSpec] = (),
        *,
        stream: Stream = "inbound",
        call_id: str = "offline",
        source_id: int | None = None,
        on_event: OnEvent | None = None,
        runtime: Runtime | None = None,
        may_store: Callable[[int], bool] = store_nothing,
    ) -> None:
        self.stream, self.call_id, self.source_id = stream, call_id, source_id
        self._on_event = on_event
        self._runtime = runtime
        self._watchdog = None if runtime is None else runtime.watchdog
        self._may_store = may_store
        self._own_children: Children | None = None
        self._slots: tuple[Slot, ...] = ()
        self._lock = threading.Lock()
        self._meter: OwnTimeMeter | None = None
        self._is_closed = False
        self._blamed = False
        self.spent_ns = 0
        """What its plugins took of this thread's time with the last frame, by themselves."""
        self.needs_wait = False
        """Whether a frame may have to wait for another process."""
        self.only_listens = True
        """Whether nothing here changes what is heard."""
        try:
            for spec in specs:
                self.add(spec)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The plugins' names in their order."""
        return tuple(slot.name for slot in self._slots)

    @property
    def latency_samples(self) -> int:
        """By how much the output is behind the input, as the plugins in use say."""
        return sum(slot.latency_samples for slot in self._slots if slot.is_live)

    def add(
        self,
        plugin: PluginSpec | PluginFactory | str,
        *,
        index: int | None = None,
        name: str = "",
        **config: Any,
    ) -> Slot:
        """Put a plugin at the end, or before the one at *index*; frames reach it once it is open.

        A name that is taken gets a number. ``opened`` of what is returned tells when, or why not.
        Raises: PluginError; RuntimeError when the chain is closed.
        """
        spec = (
            plugin
            if isinstance(plugin, PluginSpec)
            else PluginSpec(plugin, self.stream, config, name=name)
        )
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the chain is closed")
            slot = self._make(spec, self._free_name(spec.name))
            slots = list(self._slots)
            slots.insert(len(slots) if index is None else index, slot)
            self._take(slots)
        slot.open()
        return slot

    def remove(self, name: str) -> None:
        """Take a plugin out and close it. Raises: KeyError when there is none of that name."""
        slot = self.slot(name)
        with self._lock:
            self._take([other for other in self._slots if other is not slot])
        slot.close()

    def bypass(self, name: str, on: bool = True) -> None:
        """Let frames go past a plugin, or through it again, also when it was disabled."""
        slot = self.slot(name)
        slot.is_bypassed = on
        if not on:
            slot.enable()

    def set(self, name: str, **parameters: Any) -> None:
        """Change parameters of a plugin from its next frame on.

        Raises: PluginConfigError with the field's name; KeyError when there is none of that name.
        """
        self.slot(name).set(parameters)

    def slot(self, name: str) -> Slot:
        """Return a plugin's place. Raises: KeyError when there is none of that name."""
        for slot in self._slots:
            if slot.name == name:
                return slot
        raise KeyError(f"no plugin {name!r} here: there are {', '.join(self.names) or 'none'}")

    def metrics(self) -> dict[str, PluginMetrics]:
        """Return what became of the frames, by the plugin's name. Thread: any."""
        return {slot.name: slot.metrics() for slot in self._slots}

    def process(self, frame: AudioFrame) -> Pcm:
        """Return what the chain makes of *frame*, waiting for children where there are some.

        Shape:  frame (320,) int16; the result the same, valid until the next call.
        """
        if not self.needs_wait:
            return self._run(frame)
        steps = self.steps(frame)
        try:
            while True:
                next(steps).wait()
        except StopIteration as done:
            result: Pcm = done.value
            return result

    def steps(self, frame: AudioFrame) -> Generator[ProcessSlot, None, Pcm]:
        """Work on *frame* until a child has to be waited for; go on when it is resumed.

        Yields the place of the plugin whose child works on it; what has not come when the generator
        is resumed has missed this frame. Returns what the chain makes of it.
        """
        from .isolated.slot import ProcessSlot

        meter = self._get_meter()
        original = frame
        used: list[Slot] = []
        for slot in self._slots:
            if isinstance(slot, ProcessSlot):
                if not slot.offer(frame):
                    continue
                yield slot
                pcm = slot.take(frame)
            else:
                pcm = self._step(slot, frame, meter, used)
            if pcm is not frame:
                frame = described(pcm, original)
        self._judge(used)
        return frame

    def note_missed(self, frames: int) -> None:
        """Hear that *frames* of what was made came too late to be heard.

        If no plugin was to blame, Python or the machine was: counted, and nothing is disabled.
        """
        was_blamed, self._blamed = self._blamed, False
        if was_blamed:
            return
        for slot in self._slots:
            # A child's answer says itself whose fault its delay was.
            if slot.is_live and isinstance(slot, LocalSlot) and not isinstance(slot, TapSlot):
                slot.stalled("its frame came too late to be heard", frames)

    def close(self) -> None:
        """Close all plugins; offline, wait until they have let go. Again is no error."""
        for future in self.begin_close():
            if self._runtime is None:
                wait_for([future], CLOSE_LIMIT_S)
        if self._own_children is not None:
            self._own_children.close()

    def begin_close(self) -> list[Future[None]]:
        """Close all plugins; what is returned is done when each has let go."""
        with self._lock:
            self._is_closed = True
            slots, self._slots = self._slots, ()
        for slot in slots:
            slot.close()
        return [slot.closed for slot in slots]

    def _run(self, frame: AudioFrame) -> Pcm:
        meter = self._get_meter()
        original = frame
        used: list[Slot] = []
        for slot in self._slots:
            pcm = self._step(slot, frame, meter, used)
            if pcm is not frame:
                frame = described(pcm, original)
        self._judge(used)
        return frame

    def _step(self, slot: Slot, frame: AudioFrame, meter: OwnTimeMeter, used: list[Slot]) -> Pcm:
        if not slot.is_live:
            slot.went_past()
            return frame
        if isinstance(slot, TapSlot):
            slot.hear(frame)
            return frame
        assert isinstance(slot, LocalSlot)
        used.append(slot)
        if self._watchdog is None:
            return slot.run(frame, meter)
        self._watchdog.enter(slot.name)
        try:
            return slot.run(frame, meter)
        finally:
            self._watchdog.leave()

    def _judge(self, used: list[Slot]) -> None:
        """Blame those who took more than their share, if together they took too long."""
        spent_ns = self.spent_ns = sum([slot.own_ns for slot in used])
        if spent_ns <= BUDGET_NS:
            return
        share_ns = BUDGET_NS // len(used)
        for slot in used:
            if slot.own_ns > share_ns:
                slot.overran(share_ns)
                self._blamed = True

    def _get_meter(self) -> OwnTimeMeter:
        meter = self._meter
        if meter is None or meter.thread != threading.get_ident():
            meter = self._meter = OwnTimeMeter.of_this_thread()
        return meter

    def _make(self, spec: PluginSpec, name: str) -> Slot:
        slot: Slot | None = None

        def is_over() -> bool:
            # What it says while it is being closed is still heard: the last words, a file's name.
            return slot.closed.done() if isinstance(slot, LocalSlot) else self._is_closed

        context = context_of(
            name,
            self.stream,
            self.call_id,
            self.source_id,
            self._tell,
            is_over,
            self._may_store,
        )
        if spec.isolation == "process":
            from .isolated.slot import ProcessSlot

            return ProcessSlot(spec, name, context, self._tell, self._get_children())
        made = spec.make(name)
        spawn = spawn_here if self._runtime is None else spawn_thread
        if made.is_listener:
            loop = None if self._runtime is None else self._runtime.loop
            slot = TapSlot(made, context, self._tell, spawn, loop)
        else:
            slot = LocalSlot(made, context, self._tell, spawn)
        return slot

    def _get_children(self) -> Children:
        if self._runtime is not None:
            return self._runtime.children
        if self._own_children is None:
            from .isolated.children import Children

            self._own_children = Children()
        return self._own_children

    def _take(self, slots: list[Slot]) -> None:
        self.only_listens = all(isinstance(slot, TapSlot) for slot in slots)
        # A child's slot says that of itself; the import of its module is for those who have one.
        self.needs_wait = any(not isinstance(slot, LocalSlot) for slot in slots)
        for slot in slots:
            slot.share_ns = BUDGET_NS // len(slots)
        self._slots = tuple(slots)

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.names:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _tell(self, kind: EventKind, plugin: str, detail: str, value: Any) -> None:
        if self._on_event is not None:
            self._on_event(
                PluginEvent(kind, plugin, self.stream, self.call_id, self.source_id, detail, value)
            )


def open_chain(specs: Sequence[PluginSpec], **options: Any) -> Chain:
    """Make a chain and wait until its plugins are open: what raises there, raises here.

    Raises: PluginError.
    """
    chain = Chain(specs, **options)
    try:
        for name in chain.names:
            expect_open(chain.slot(name))
    except BaseException:
        chain.close()
        raise
    return chain


def expect_open(slot: Slot, timeout_s: float = 60.0) -> None:
    """Wait until a plugin is open. Raises: PluginError when it cannot be, or TimeoutError."""
    error = slot.opened.exception(timeout_s)
    if error is not None:
        raise PluginError(f"plugin {slot.name} was not opened: {error}") from error
