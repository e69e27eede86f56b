"""Bridges: legs mixed together, each hearing all others and never itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from . import _native
from .pcm import FRAME_MS
from .peer import Peer
from .ring import FrameRing
from .totals import MediaTotals

Direction: TypeAlias = Literal["inbound", "outbound"]
DIRECTIONS: Final = ("inbound", "outbound")
"""In the order of enum mm_direction (native/insert.h)."""


@dataclass(frozen=True, slots=True)
class LegCounters:
    """What became of a leg's ticks and frames.

    ``ticks`` = ``voice`` + ``silence`` + ``concealed`` + ``skipped``.
    Of the source's frames: ``source_written`` = played + ``late`` + ``trimmed`` + ``flushed``
    + ``source_lapped`` + waiting. Both are exact once no tick is under way; a count taken within
    one is a frame apart.
    With a peer, its packets stand for frames (``Peer.counters`` has all of its ledger): what
    redundancy gave back is voice, comfort noise is silence, and nothing is trimmed but stretched.
    """

    ticks: int
    voice: int
    silence: int
    concealed: int
    skipped: int
    late: int
    trimmed: int
    flushed: int
    underruns: int
    target_frames: int
    source_written: int
    source_lapped: int
    render_written: int
    render_read: int
    render_lapped: int


SILENCE_DBOV: Final = -127
"""What a meter shows of silence."""


@dataclass(frozen=True, slots=True)
class LegMeter:
    """How loud a leg is: what its far end says, and what it hears.

    Units:  dBov (RFC 6464): power against a square wave at full scale, 0 to -127, the loudest of
            the last eight frames (160 ms).
    """

    inbound_dbov: int
    outbound_dbov: int


SILENT: Final = LegMeter(SILENCE_DBOV, SILENCE_DBOV)


class Tap:
    """A copy of every frame that one leg says. Made by :meth:`Leg.tap`.

    One frame a tick: what the mix is made of, so that the sum of all taps is the mix and their
    timestamps, the tick's, lie on one line. Flagged silent while nobody is audible in it, skipped
    where the engine left a tick out; ``active_speakers`` is the leg's ``source_id`` while it is
    audible (of a relay: who its frames say).
    Thread: one reads the ring; all else from the loop's.
    """

    def __init__(self, tap: _native.Tap) -> None:
        self._tap = tap
        self.source_id = tap.source_id
        self.ring = FrameRing._over(tap.ring)

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more: closed, or its leg is. What waits can be read."""
        return self._tap.ended

    def close(self) -> None:
        """Get no more frames, from the next tick on. Again is no error.

        Raises: RuntimeError when the tick thread stands still; then the tap stays as it is.
        """
        self._tap.close()


@dataclass(frozen=True, slots=True)
class PluginPortCounters:
    """Frames offered to a plugin, taken back in time, and missed: the dry frame went on.

    ``offered`` = ``taken`` + ``missed``, once no tick is under way.
    """

    offered: int
    taken: int
    missed: int


class PluginPort:
    """Where a plugin takes part in what one leg says or hears. Made by :meth:`Leg.insert`.

    At an edge of the tick the frame is written to ``dry``, and ``MediaPlatform.edge_fileno()``
    becomes readable. What is written to ``wet`` with the dry frame's timestamp before the next
    edge (5 ms later; 10 ms for a leg that hears in a bridge without inbound ports) goes on instead
    of it; its samples count, what is known of the frame stays. What comes later is never played.
    Ticks that the engine left out are not offered: timestamps show the gap.
    Thread: one reads ``dry`` and writes ``wet``; all else from the loop's.
    """

    def __init__(self, insert: _native.Insert) -> None:
        self._insert = insert
        self.dry = FrameRing._over(insert.dry)
        self.wet = FrameRing._over(insert.wet)

    @property
    def ended(self) -> bool:
        """Whether no frame will be offered any more: closed, or its leg is."""
        return self._insert.ended

    def counters(self) -> PluginPortCounters:
        """Return the counts so far. Thread: any; a moment old."""
        return PluginPortCounters(**self._insert.counters())

    def close(self) -> None:
        """Let frames pass by, from the next tick on. Again is no error.

        Raises: RuntimeError when the tick thread stands still; then the port stays as it is.
        """
        self._insert.close()


class Leg:
    """One party's media in one bridge. Made by :meth:`Bridge.add_leg`."""

    def __init__(self, bridge: Bridge, leg: _native.Leg) -> None:
        self._bridge: Bridge | None = bridge
        self._leg = leg
        self._peer: Peer | None = None
        self._totals = bridge._totals
        self.source_id = leg.source_id
        self.source = FrameRing._over(leg.source)
        self.render = FrameRing._over(leg.render)
        self._totals.add_leg(self, leg)

    @property
    def peer(self) -> Peer | None:
        """The far end that RTP reaches, if this leg has one."""
        return self._peer

    @property
    def heard_frames(self) -> int:
        """How much has come from the far end so far: frames, or a peer's packets."""
        if self._peer is not None:
            return self._peer.counters()["packets"]
        return self.source.counters().written

    def attach(self, peer: Peer | None) -> None:
        """Hear and be heard through *peer* from now on, None: through the rings again.

        A peer that another leg has is taken from it; the far end notices nothing.
        Raises: RuntimeError when the leg is closed; ValueError when the peer is another engine's.
        """
        before = None if peer is None else peer._leg
        self._leg.attach(None if peer is None else peer._peer)
        if before is not None:
            before._peer = None
        if self._peer is not None:
            self._peer._leg = None
        self._peer = peer
        if peer is not None:
            peer._leg = self

    def insert(self, direction: Direction, slots: int = 8) -> PluginPort:
        """Let a plugin change what this leg says (inbound) or hears (outbound), from the next tick.

        Units:  slots of each ring, in frames, a power of two.
        Raises: ValueError on another number or direction; RuntimeError when the leg is closed, or
                has a port of that direction.

        All legs of a bridge with an inbound port are mixed at t + 5 ms instead of t, a leg with an
        outbound port is sent its frame at t + 10 ms and no longer shares its encoder. A tick that
        begins more than 5 ms late waits for no plugin. Other bridges notice nothing.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"expected inbound or outbound, got {direction!r}")
        native = self._leg.insert(DIRECTIONS.index(direction), slots)
        port = PluginPort(native)
        self._totals.add_plugin_port(port, native)
        return port

    def flush(self) -> None:
        """Drop what waits to be heard from this leg's far end (barge-in).

        At the next tick the frame that is due fades out within 5 ms, then there is silence, and
        nothing is concealed. What is written, or pushed, after this call is played.
        Raises: RuntimeError when the leg is closed.
        """
        self._leg.flush()

    def tap(self, slots: int = 16) -> Tap:
        """Hear what this leg says, from the next tick on, without any part in the call.

        Units:  slots of the ring, in frames, a power of two: how late a reader may come.
        Raises: ValueError on another number; RuntimeError when the leg is closed or has four taps.
        The tap lasts until it is closed, or the leg.
        """
        tap = Tap(self._leg.tap(slots))
        self._totals.add_tap(tap)
        return tap

    def counters(self) -> LegCounters:
        """Return the counts so far, also after the leg was closed. Thread: any."""
        if self._peer is not None:
            return self._peer_counters(self._peer)
        counts = self._leg.counters()
        source, render = self.source.counters(), self.render.counters()
        return LegCounters(
            **counts,
            source_written=source.written,
            # The playout drops late frames by skipping them in the ring; trimmed ones it has read.
            source_lapped=source.skipped - counts["late"] - counts["flushed"],
            render_written=render.written,
            render_read=render.read,
            render_lapped=render.skipped,
        )

    def meter(self) -> LegMeter:
        """Return how loud this leg is: what it says, whoever hears it, and what it hears.

        A meter runs while it is read: two seconds after the last reading it stops, and the first
        reading then says silence. Any number of readers see the same.
        Thread: any. Cost: below 1 us here, and nothing on the tick while nobody reads.
        """
        return LegMeter(*self._leg.meter()) if self._bridge is not None else SILENT

    def close(self) -> None:
        """Take this leg out of its bridge from the next tick on. Again is no error."""
        if self._bridge is not None:
            self._bridge._remove(self)
            self._gone()

    def _gone(self) -> None:
        self._bridge = None
        if self._peer is not None:
            self._peer._leg = None

    def _peer_counters(self, peer: Peer) -> LegCounters:
        counts = peer.counters()
        render = self.render.counters()
        return LegCounters(
            ticks=counts["ticks"],
            voice=counts["voice_ticks"] + counts["fec_ticks"],
            silence=counts["silence_ticks"] + counts["comfort_ticks"],
            concealed=counts["concealed_ticks"],
            skipped=counts["skipped_ticks"],
            late=counts["late"],
            trimmed=0,
            flushed=counts["flushed"],
            underruns=counts["underruns"],
            target_frames=-(-counts["target_ms"] // FRAME_MS),
            source_written=counts["packets"],
            source_lapped=counts["lapped"],
            render_written=render.written,
            render_read=render.read,
            render_lapped=render.skipped,
        )


class Bridge:
    """Legs that are mixed together by the tick thread. Made by ``MediaPlatform.create_bridge``.

    Thread: one at a time (the loop's).
    Source: RFC 7667 section 3.4 (topology of a media mixer).
    """

    def __init__(self, bridge: _native.Bridge, totals: MediaTotals | None = None) -> None:
        self._bridge: _native.Bridge | None = bridge
        self._legs: list[Leg] = []
        self._totals = totals or MediaTotals()
        self._totals.add_bridge(self)

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The legs now in this bridge, in the order in which they came."""
        return tuple(self._legs)

    def add_leg(
        self,
        source_id: int,
        *,
        target_frames: int = 1,
        max_target_frames: int = 5,
        source_slots: int = 16,
        render_slots: int = 16,
        relay: bool = False,
        paced: bool = False,
    ) -> Leg:
        """Add a leg that is mixed from the next tick on.

        Units:  target_frames, max_target_frames: playout depth of the source at the start, and at
                most, in frames of 20 ms. Slots are a power of two.
        Raises: ValueError on numbers out of range; RuntimeError when the bridge is closed.

        ``relay`` says that the source's frames carry who speaks (a mixed stream from elsewhere);
        else the leg's own ``source_id`` is announced while it is loud. ``paced`` says that the
        source's writer looks at its depth and keeps frames waiting on purpose (a file, a bot ahead
        of the call); else what waits beyond the target is delay, and dropped.
        """
        leg = Leg(
            self,
            self._open().add_leg(
                source_id,
                source_slots,
                render_slots,
                target_frames,
                max_target_frames,
                relay,
                paced,
            ),
        )
        self._legs.append(leg)
        return leg

    def meters(self) -> dict[Leg, LegMeter]:
        """Return how loud each leg is, as :meth:`Leg.meter` does."""
        return {leg: LegMeter(*leg._leg.meter()) for leg in self._legs}

    def set_sources(self, listener: Leg, sources: Sequence[Leg] | None) -> None:
        """Say whom *listener* hears; None is everyone but itself.

        Raises: ValueError when a leg is not in this bridge.
        """
        self.set_routes({listener: sources})

    def set_routes(self, routes: Mapping[Leg, Sequence[Leg] | None]) -> None:
        """Say whom each of several listeners hears, all from the same tick on.

        Raises: ValueError when a leg is not in this bridge; then nothing changed.
        """
        self._open().set_routes(
            [
                (listener._leg, None if sources is None else [leg._leg for leg in sources])
                for listener, sources in routes.items()
            ]
        )

    def close(self) -> None:
        """Take out all legs and stop mixing. Again is no error."""
        bridge, self._bridge = self._bridge, None
        if bridge is None:
            return
        for leg in self._legs:
            leg._gone()
        self._legs.clear()
        bridge.close()

    def _open(self) -> _native.Bridge:
        if self._bridge is None:
            raise RuntimeError("the bridge is closed")
        return self._bridge

    def _remove(self, leg: Leg) -> None:
        self._open().remove_leg(leg._leg)
        self._legs.remove(leg)
