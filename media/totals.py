"""What all legs of a platform have counted together, from the start on: for operators."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from . import _native
from .ring import FrameRing
from .tally import Tally

if TYPE_CHECKING:
    from .bridge import Bridge, Leg, PluginPort, Tap
    from .peer import Peer
    from .port import MediaPort


LEG_COUNTS: Final = (
    *("ticks", "late", "trimmed", "flushed", "underruns"),
    *("source_lapped", "render_lapped"),
)
PEER_COUNTS: Final = (
    *("ticks", "received", "lost", "late", "flushed", "underruns", "lapped"),
    *("duplicate", "malformed", "other_type", "bad_payload", "strange_source", "overflow"),
    "undecodable",
    *("srtp_short", "srtp_forged", "srtp_replayed", "srtp_refused", "srtp_failed"),
    *("sent_packets", "sent_octets"),
)
PORT_COUNTS: Final = (
    *("routed", "stun", "dtls", "dtls_stranger", "media_stranger", "junk", "oversize"),
    *("unreadable", "lapped", "unfetched", "send_failed"),
)
SESSION_COUNTS: Final = (
    *("received", "silence_skipped", "unread", "sent", "silence_unsent", "refused", "no_room"),
    *("cleared", "listener_missed"),
)
LINK_COUNTS: Final = (
    *("frames_in", "frames_out", "speaker_frames_in", "speaker_frames_out"),
    *("dropped_stale", "dropped_control", "missing", "out_of_order", "other_epoch"),
    *("other_stream", "unknown_kind", "malformed", "lost", "resumed"),
)
STREAM_COUNTS: Final = (
    *("frames_in", "frames_out", "early", "malformed", "ignored", "refused_speakers"),
    *("reconnects", "dropped_stale", "dropped_ahead", "unsent"),
)


class MediaTotals:
    """The tallies of one platform. Legs and all that belongs to them enter themselves.

    ``legs`` has what came of frames in the rings of legs, ``peers`` what came of packets and of the
    ticks of legs that have one, ``taps`` copies that were not read in time, ``plugin_ports`` frames
    offered to plugins, ``ports`` datagrams, ``sessions`` what bots read and sent, ``links`` and
    ``streams`` frames of media links and telephony streams.
    Thread: the loop's.
    """

    def __init__(self) -> None:
        self.legs = Tally(*LEG_COUNTS)
        self.peers = Tally(*PEER_COUNTS)
        self.taps = Tally("lapped")
        self.plugin_ports = Tally("offered", "taken", "missed")
        self.ports = Tally(*PORT_COUNTS)
        self.sessions = Tally(*SESSION_COUNTS)
        self.links = Tally(*LINK_COUNTS)
        self.streams = Tally(*STREAM_COUNTS)
        self._bridges: weakref.WeakSet[Bridge] = weakref.WeakSet()

    def open_legs(self) -> Iterator[Leg]:
        """Iterate over the legs that are in a bridge now."""
        for bridge in tuple(self._bridges):
            yield from bridge.legs

    @property
    def open_bridges(self) -> int:
        """How many bridges have legs now."""
        return sum(bool(bridge.legs) for bridge in tuple(self._bridges))

    # For bridges, legs, peers and ports.

    def add_bridge(self, bridge: Bridge) -> None:
        """Know a bridge, and so its legs."""
        self._bridges.add(bridge)

    def add_leg(self, leg: Leg, native: _native.Leg) -> None:
        """Count a leg's frames, also those that go before anybody took them."""
        self.legs.follow(leg, partial(_read_leg, native, leg.source, leg.render))

    def add_tap(self, tap: Tap) -> None:
        """Count what a tap's reader was too late for."""
        self.taps.follow(tap, partial(_read_ring, tap.ring))

    def add_plugin_port(self, port: PluginPort, native: _native.Insert) -> None:
        """Count the frames offered to a plugin."""
        self.plugin_ports.follow(port, native.counters)

    def add_peer(self, peer: Peer, native: _native.Peer) -> None:
        """Count a far end's packets and ticks."""
        self.peers.follow(peer, native.counters)

    def add_port(self, port: MediaPort, native: _native.Port) -> None:
        """Count a port's datagrams."""
        self.ports.follow(port, native.counters)


def _read_leg(native: _native.Leg, source: FrameRing, render: FrameRing) -> Mapping[str, int]:
    # What was skipped before what explains it: a moment's difference is then one too few.
    source_skipped, render_lapped = source.counters().skipped, _lapped(render)
    counts = native.counters()
    explained = counts["late"] + counts["flushed"] + source.dropped_frames
    del counts["target_frames"]  # What is now, and nothing that adds up.
    return {
        **counts,
        "source_lapped": max(0, source_skipped - explained),
        "render_lapped": render_lapped,
    }


def _read_ring(ring: FrameRing) -> Mapping[str, int]:
    return {"lapped": _lapped(ring)}


def _lapped(ring: FrameRing) -> int:
    """Return how many frames went that their reader did not drop by itself."""
    return max(0, ring.counters().skipped - ring.dropped_frames)
