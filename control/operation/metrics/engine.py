"""What a media engine tells: ticks, legs, frames, packets, datagrams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from mixminus.media import _native
from mixminus.media.bridge import Leg
from mixminus.media.peer import Peer
from mixminus.media.platform import MediaPlatform
from mixminus.media.tally import Totals

from .families import Families

OUTCOMES: Final = ("voice", "fec", "concealed", "comfort", "silence", "skipped")
FLOW: Final = ("mixed", "received", "rendered", "dropped")
DISCARDED: Final = (
    *("duplicate", "malformed", "other_type", "bad_payload"),
    *("strange_source", "overflow", "undecodable"),
)
"""Why a packet that came in time is not decoded (native/ledger.h), but for what needs no decoding:
silence and telephone events."""
SRTP: Final = ("short", "forged", "replayed", "refused", "failed")
DATAGRAMS: Final = (
    *("routed", "stun", "dtls", "dtls_stranger"),
    *("media_stranger", "junk", "oversize", "unreadable"),
)
LINK_DROPS: Final = (
    *("dropped_stale", "dropped_control", "missing", "out_of_order"),
    *("other_epoch", "other_stream", "unknown_kind", "malformed"),
)
STREAM_DROPS: Final = (
    *("dropped_stale", "dropped_ahead", "unsent", "refused_speakers"),
    *("malformed", "ignored", "early"),
)
LOOKED_AT: Final = (
    *("jitter_us", "delay_ms", "target_ms", "round_trip_us", "round_trips"),
    *("far_reports", "far_lost_256ths"),
)
RINGS: Final = "rings"
SHARES_S: Final = 2.0
"""What busy shares are about: as those that admission goes by."""


class EngineSource:
    """Tells of one platform, whatever its legs are for. Thread: the loop's."""

    def __init__(self, platform: MediaPlatform) -> None:
        self._platform = platform
        self._peers: Totals = platform.totals.peers.totals()
        self._legs: Totals = platform.totals.legs.totals()
        self._heard: list[Mapping[str, int]] = []

    def __eq__(self, other: object) -> bool:
        """Say whether it is the same engine's: two roles may share one."""
        return isinstance(other, EngineSource) and other._platform is self._platform

    def __hash__(self) -> int:
        """Hash as compared."""
        return hash(id(self._platform))

    async def prepare(self) -> None:
        """Ask all legs, a few at a time."""
        heard: list[Mapping[str, int]] = []

        def look(peer: object, counts: Mapping[str, int]) -> None:
            # Who is in no bridge any more has no delay either.
            if isinstance(peer, Peer) and peer.is_attached and counts["received"]:
                heard.append({name: counts[name] for name in LOOKED_AT})

        totals = self._platform.totals
        self._peers, self._legs = await totals.peers.gather(look), await totals.legs.gather()
        self._heard = heard

    def settle(self) -> None:
        """Look at the ticks before the logs forget them."""
        self._platform.lateness_totals.take()
        self._platform.tick_time_totals.take()

    def collect(self, families: Families) -> None:
        """Say what the engine has counted."""
        self._collect_shares(families)
        self._collect_ticks(families)
        self._collect_legs(families)
        self._collect_frames(families)
        self._collect_packets(families)
        self._collect_datagrams(families)
        self._collect_sessions(families)
        self._collect_transports(families)

    def _collect_shares(self, families: Families) -> None:
        recent = self._platform.recent(SHARES_S)
        for of, share in (
            ("tick_thread", max(recent.tick_thread_shares, default=0.0)),
            ("packet_thread", recent.packet_thread_share),
            ("loop", recent.loop_share),
            ("process", recent.process_share),
        ):
            families.state("mixminus_busy_ratio", share, of=of)

    def _collect_ticks(self, families: Families) -> None:
        platform = self._platform
        counts = platform.tick_counts()
        families.state("mixminus_engine_info", 1, scheduling=platform.scheduling, isa=_native.isa())
        families.gauge("mixminus_tick_threads", platform.tick_threads)
        families.count("mixminus_ticks_total", counts["ticks"])
        families.count("mixminus_ticks_late_total", counts["late_ticks"])
        families.count("mixminus_ticks_skipped_total", counts["skipped_ticks"])
        families.count("mixminus_tick_busy_seconds_total", counts["busy_ns"] / 1e9)
        families.histogram("mixminus_tick_lateness_seconds", platform.lateness_totals.take())
        families.histogram("mixminus_tick_duration_seconds", platform.tick_time_totals.take())
        families.count("mixminus_datagrams_sent_total", counts["datagrams_sent"])
        families.count(
            "mixminus_datagrams_dropped_total", counts["datagrams_dropped"], reason="unsent"
        )

    def _collect_legs(self, families: Families) -> None:
        legs = list(self._platform.totals.open_legs())
        codecs = Counter({RINGS: 0})
        codecs.update(_codec(leg) for leg in legs)
        for codec, count in codecs.items():
            families.gauge("mixminus_legs", count, codec=codec)
        families.gauge("mixminus_bridges", self._platform.totals.open_bridges)
        heard = self._heard
        told = [counts for counts in heard if counts["far_reports"]]
        for name, values in (
            ("mixminus_jitter_seconds", [c["jitter_us"] / 1e6 for c in heard]),
            ("mixminus_playout_delay_seconds", [c["delay_ms"] / 1e3 for c in heard]),
            ("mixminus_playout_target_seconds", [c["target_ms"] / 1e3 for c in heard]),
            (
                "mixminus_round_trip_seconds",
                [c["round_trip_us"] / 1e6 for c in heard if c["round_trips"]],
            ),
            ("mixminus_far_loss_ratio", [c["far_lost_256ths"] / 256 for c in told]),
        ):
            families.stats(name, values)

    def _collect_frames(self, families: Families) -> None:
        totals = self._platform.totals
        legs, peers, ports = self._legs, self._peers, totals.plugin_ports.totals()
        flow = self._platform.flow()
        for outcome in OUTCOMES:
            families.count("mixminus_playout_frames_total", getattr(flow, outcome), outcome=outcome)
        for kind in FLOW:
            families.count("mixminus_bridge_frames_total", getattr(flow, kind), kind=kind)
        for reason, count in (
            ("late", legs["late"] + peers["late"]),
            ("trimmed", legs["trimmed"]),  # A peer's delay is taken back by stretching.
            ("flushed", legs["flushed"] + peers["flushed"]),
        ):
            families.count("mixminus_playout_frames_dropped_total", count, reason=reason)
        families.count("mixminus_underruns_total", legs["underruns"] + peers["underruns"])
        sessions = totals.sessions.totals()
        for ring, count in (
            ("source", legs["source_lapped"]),
            ("render", legs["render_lapped"]),
            ("tap", totals.taps.totals()["lapped"]),
            ("packets", peers["lapped"]),
            ("port", totals.ports.totals()["lapped"]),
            ("bot", sessions["unread"]),
            ("listener", sessions["listener_missed"]),
        ):
            families.count("mixminus_ring_frames_dropped_total", count, ring=ring)
        for outcome in ("taken", "missed"):
            families.count("mixminus_plugin_port_frames_total", ports[outcome], outcome=outcome)

    def _collect_packets(self, families: Families) -> None:
        peers = self._peers
        families.count("mixminus_packets_received_total", peers["received"])
        families.count("mixminus_packets_lost_total", peers["lost"])
        for reason in DISCARDED:
            families.count("mixminus_packets_discarded_total", peers[reason], reason=reason)
        families.count("mixminus_packets_sent_total", peers["sent_packets"])
        families.count("mixminus_packets_sent_bytes_total", peers["sent_octets"])
        for reason in SRTP:
            families.count("mixminus_srtp_refused_total", peers[f"srtp_{reason}"], reason=reason)

    def _collect_datagrams(self, families: Families) -> None:
        ports = self._platform.totals.ports.totals()
        for kind in DATAGRAMS:
            families.count("mixminus_datagrams_received_total", ports[kind], kind=kind)
        for reason in ("lapped", "unfetched", "send_failed"):
            families.count("mixminus_datagrams_dropped_total", ports[reason], reason=reason)

    def _collect_sessions(self, families: Families) -> None:
        tally = self._platform.totals.sessions
        counts = tally.totals()
        families.gauge("mixminus_media_sessions", len(tally))
        for direction, name, shortened in (
            ("heard", "received", "silence_skipped"),
            ("said", "sent", "silence_unsent"),
        ):
            families.count("mixminus_bot_frames_total", counts[name], direction=direction)
            families.count(
                "mixminus_bot_frames_shortened_total", counts[shortened], direction=direction
            )
        for reason, name in (("inactive", "refused"), ("no_room", "no_room")):
            families.count("mixminus_bot_frames_refused_total", counts[name], reason=reason)

    def _collect_transports(self, families: Families) -> None:
        totals = self._platform.totals
        links, streams = totals.links.totals(), totals.streams.totals()
        self._collect_transport(families, "link", links, LINK_DROPS)
        self._collect_transport(families, "stream", streams, STREAM_DROPS)
        families.gauge("mixminus_transports", len(totals.links), transport="link")
        families.gauge("mixminus_transports", len(totals.streams), transport="stream")
        families.count("mixminus_transport_disconnects_total", links["lost"], transport="link")
        for transport, count in (("link", links["resumed"]), ("stream", streams["reconnects"])):
            families.count("mixminus_transport_reconnects_total", count, transport=transport)

    def _collect_transport(
        self, families: Families, transport: str, counts: Mapping[str, int], drops: tuple[str, ...]
    ) -> None:
        for direction in ("in", "out"):
            count = sum(counts.get(f"{kind}frames_{direction}", 0) for kind in ("", "speaker_"))
            families.count(
                "mixminus_transport_frames_total", count, transport=transport, direction=direction
            )
        for reason in drops:
            families.count(
                "mixminus_transport_frames_dropped_total",
                counts[reason],
                transport=transport,
                reason=reason.removeprefix("dropped_"),
            )


def _codec(leg: Leg) -> str:
    if leg.peer is None:
        return RINGS
    settings = leg.peer.settings
    # What is never sent to, as a media link's, has the codec that it hears.
    return settings.codec or next(iter(settings.payload_types.values()), "none")
