"""A chain at its place: where its frames come from, and where they go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from ..pcm import AudioFrame, Pcm
from ..ring import FrameRing
from .chain import Chain
from .config import PluginSpec
from .slot import Slot

if TYPE_CHECKING:
    from .worker import PluginWorker

Direction: TypeAlias = Literal["inbound", "outbound"]


class PortCounters(Protocol):
    """How a port fares: frames offered, results taken, results that were not there in time."""

    @property
    def missed(self) -> int:
        """Ticks that went on with the dry frame."""


class Port(Protocol):
    """A leg's way through a chain: frames as they are, and what the chain makes of them."""

    @property
    def dry(self) -> FrameRing:
        """What the worker reads."""

    @property
    def wet(self) -> FrameRing:
        """What the worker writes, with the dry frame's timestamp."""

    def counters(self) -> PortCounters:
        """Return the counts so far."""

    def close(self) -> None:
        """Let frames go straight on."""


class LegTap(Protocol):
    """A copy of what a leg says."""

    ring: FrameRing

    def close(self) -> None:
        """Get no more."""


class PluginLeg(Protocol):
    """A leg, as far as plugins are concerned."""

    def insert(self, direction: Direction, slots: int = 8) -> Port:
        """Lead its frames through a chain."""

    def tap(self, slots: int = 16) -> LegTap:
        """Copy what it says."""


class Source(Protocol):
    """Frames for who only listens."""

    def read(self) -> AudioFrame | None:
        """Return the next frame, or None when none waits. Thread: the worker's."""

    def close(self) -> None:
        """Get no more."""


class TapSource:
    """A leg's tap as a source."""

    def __init__(self, tap: LegTap) -> None:
        self._tap = tap

    def read(self) -> AudioFrame | None:
        """Return the next frame, or None when none waits."""
        return self._tap.ring.read()

    def close(self) -> None:
        """Get no more."""
        self._tap.close()


MISSED_FRAMES: Final = 10
"""How often a port is asked what it missed: asking costs as much as a plugin that does nothing."""


class Lane:
    """One chain with the two ends that its frames come from and go to."""

    def __init__(self, chain: Chain, port: Port | None, source: Source | None) -> None:
        self.chain = chain
        self._port, self._source = port, source
        self._missed: int | None = None
        self._frames = 0

    @property
    def only_listens(self) -> bool:
        """Whether nothing comes back from it."""
        return self._port is None

    def next_frame(self, catch_up_frames: int) -> AudioFrame | None:
        """Return the frame that is next; of a long queue the newest *catch_up_frames* are kept."""
        if self._port is None:
            return None if self._source is None else self._source.read()
        dry = self._port.dry
        if dry.depth_frames > catch_up_frames:
            dry.skip_to(catch_up_frames)
        frame = dry.read()
        if frame is not None and self._frames % MISSED_FRAMES == 0:
            self._note_missed(self._port.counters().missed)
        self._frames += frame is not None
        return frame

    def give_back(self, pcm: Pcm, frame: AudioFrame) -> None:
        """Let the bridge have what became of *frame*."""
        if self._port is not None:
            self._port.wet.write(pcm, frame.timestamp)

    def close(self) -> None:
        """Let go of both ends."""
        if self._port is not None:
            self._port.close()
        if self._source is not None:
            self._source.close()

    def _note_missed(self, missed: int) -> None:
        if self._missed is not None and missed > self._missed:
            self.chain.note_missed(missed - self._missed)
        self._missed = missed


class AttachedChain:
    """A chain on a leg. Made by ``PluginWorker.attach``; change it here while it is attached.

    An empty chain costs nothing, one that only listens no delay: the leg's way is changed when what
    is in the chain asks for it.
    Thread: the loop's.
    """

    def __init__(
        self,
        worker: PluginWorker,
        leg: PluginLeg,
        direction: Direction,
        chain: Chain,
        listen: Callable[[], Source] | None,
    ) -> None:
        self._worker, self._leg, self._direction = worker, leg, direction
        self.chain = chain
        self._listen = listen
        self._lane: Lane | None = None
        self._is_closed = False
        self._refresh()

    def add(self, plugin: PluginSpec, *, index: int | None = None) -> Slot:
        """Put a plugin into the chain. Raises: PluginError; RuntimeError when closed."""
        slot = self.chain.add(plugin, index=index)
        self._refresh()
        return slot

    def remove(self, name: str) -> Future[None]:
        """Take a plugin out; what is returned is done when it has let go. Raises: KeyError."""
        slot = self.chain.slot(name)
        self.chain.remove(name)
        self._refresh()
        return slot.closed

    def close(self) -> list[Future[None]]:
        """Let the leg's frames go straight on and close all plugins. Again is no error.

        What is returned is done when each plugin has let go.
        """
        if self._is_closed:
            return []
        self._is_closed = True
        self._set_lane(None)
        return self.chain.begin_close()

    def _refresh(self) -> None:
        if not self.chain.names:
            self._set_lane(None)
        elif self.chain.only_listens and self._listen is not None:
            if self._lane is None or not self._lane.only_listens:
                self._set_lane(None)
                self._set_lane(Lane(self.chain, None, self._listen()))
        elif self._lane is None or self._lane.only_listens:
            self._set_lane(None)
            self._set_lane(Lane(self.chain, self._leg.insert(self._direction), None))

    def _set_lane(self, lane: Lane | None) -> None:
        old, self._lane = self._lane, lane
        if old is not None:
            self._worker.remove_lane(old)
            old.close()
        if lane is not None:
            self._worker.add_lane(lane)
