"""Bridges: legs mixed together, each hearing all others and never itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import _native
from .pcm import FRAME_MS
from .peer import Peer
from .ring import FrameRing


@dataclass(frozen=True, slots=True)
class LegCounters:
    """What became of a leg's ticks and frames.

    ``ticks`` = ``voice`` + ``silence`` + ``concealed`` + ``skipped``.
    Of the source's frames: ``source_written`` = played + ``late`` + ``trimmed`` + ``source_lapped``
    + waiting. Both are exact once no tick is under way; a count taken within one is a frame apart.
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
    underruns: int
    target_frames: int
    source_written: int
    source_lapped: int
    render_written: int
    render_read: int
    render_lapped: int


class Leg:
    """One party's media in one bridge. Made by :meth:`Bridge.add_leg`."""

    def __init__(self, bridge: Bridge, leg: _native.Leg) -> None:
        self._bridge: Bridge | None = bridge
        self._leg = leg
        self._peer: Peer | None = None
        self.source_id = leg.source_id
        self.source = FrameRing._over(leg.source)
        self.render = FrameRing._over(leg.render)

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
            source_lapped=source.skipped - counts["late"],
            render_written=render.written,
            render_read=render.read,
            render_lapped=render.skipped,
        )

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

    def __init__(self, bridge: _native.Bridge) -> None:
        self._bridge: _native.Bridge | None = bridge
        self._legs: list[Leg] = []

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
