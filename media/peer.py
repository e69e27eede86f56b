"""The far end of a leg that RTP reaches: what it speaks, how well it is heard."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from . import _native
from .libraries import codec_libraries
from .quality import StreamQuality

if TYPE_CHECKING:
    from .bridge import Leg
    from .port import MediaPort

KEYS: Final = "0123456789*#ABCD"
"""Telephone events 0 to 15 by the key that makes them (RFC 4733 section 3.2)."""

TONE_VOLUME: Final = 10
"""-10 dBm0: what telephones send."""

MAX_SSRC: Final = 2**32 - 1
OPUS_CLOCK_KHZ: Final = 48
MAX_PAYLOAD_TYPE: Final = 127
MAX_CAP_MS: Final = 65_535
MIN_BIT_RATE: Final = 6_000
MAX_BIT_RATE: Final = 510_000
"""What libopus takes (RFC 6716 section 2.1.1)."""

MAX_COMPLEXITY: Final = 10
MAX_LEVEL_ID: Final = 14
"""Of one-byte header extensions, which are what is agreed upon (RFC 8285 section 4.2)."""

SRTP_KEY_BYTES: Final = {1: 30, 7: 28}
"""Key and salt by profile: AES128_CM_SHA1_80 (RFC 5764), AEAD_AES_128_GCM (RFC 7714)."""

GCM: Final = 7
EVENT: Final = "telephone-event"
NOISE: Final = "comfort-noise"
DISCARDED: Final = (
    "late",
    "duplicate",
    "malformed",
    "other_type",
    "bad_payload",
    "strange_source",
    "overflow",
    "undecodable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """What was agreed upon with a far end.

    ``payload_types`` says what each received payload type carries: a codec (``opus``, ``pcmu``,
    ``pcma``, ``g722``, ``pcm16k``), ``telephone-event`` or ``comfort-noise``. ``codec`` and
    ``payload_type`` are what is sent; without a codec the leg hears through its render ring.
    Units:  bit_rate in bit/s, 6,000 to 510,000; complexity 0 to 10; level_extension_id 1 to 14, as
            negotiated (RFC 8285 section 4.2), None for no levels;
            event_clock_khz of received telephone events, None for the sent codec's.
    """

    payload_types: Mapping[int, str]
    codec: str | None
    payload_type: int = 0
    event_type: int | None = None
    event_clock_khz: int | None = None
    level_extension_id: int | None = None
    secure: bool = True
    bit_rate: int = 32_000
    complexity: int = 5
    fec: bool = True
    dtx: bool = False
    cap_ms: int = 500
    ssrc: int = field(default_factory=lambda: secrets.randbits(32) or 1)
    cname: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Tone:
    """A key that the far end pressed (``ended`` False), or let go of again, after *duration_ms*."""

    key: str
    ended: bool
    duration_ms: int


class Peer:
    """The far end of one leg at a time: from ``MediaPlatform.make_peer`` to ``Leg.attach``.

    Thread: the loop's; the engine's own threads do the rest.
    Source: native/peer.h.
    """

    def __init__(self, peer: _native.Peer, settings: PeerSettings) -> None:
        self._peer = peer
        self._leg: Leg | None = None
        self._keyed = False
        self.settings = settings

    @classmethod
    def make(cls, engine: _native.Engine, settings: PeerSettings) -> Peer:
        """Make a peer in *engine*.

        Raises: ValueError on a codec that is not known or not to be had, or a number out of range.
        """
        _check("ssrc", settings.ssrc, 0, MAX_SSRC)
        _check("payload_type", settings.payload_type, 0, MAX_PAYLOAD_TYPE)
        _check("event_type", settings.event_type or 0, 0, MAX_PAYLOAD_TYPE)
        _check("event_clock_khz", settings.event_clock_khz or 0, 0, OPUS_CLOCK_KHZ)
        _check("cap_ms", settings.cap_ms, 0, MAX_CAP_MS)
        _check("bit_rate", settings.bit_rate, MIN_BIT_RATE, MAX_BIT_RATE)
        _check("complexity", settings.complexity, 0, MAX_COMPLEXITY)
        if settings.level_extension_id is not None:
            _check("level_extension_id", settings.level_extension_id, 1, MAX_LEVEL_ID)
        codec = len(_native.CODECS) if settings.codec is None else _codec(settings.codec)
        clock_khz = settings.event_clock_khz
        if clock_khz is None:
            clock_khz = OPUS_CLOCK_KHZ if settings.codec == "opus" else 8
        peer = engine.make_peer(
            _types(settings.payload_types),
            settings.cname,
            settings.ssrc,
            sequence=secrets.randbits(15),
            timestamp=secrets.randbits(31),
            secure=settings.secure,
            codec=codec,
            payload_type=settings.payload_type,
            event_type=settings.event_type or 0,
            event_clock_khz=clock_khz,
            level_extension_id=settings.level_extension_id or 0,
            cap_ms=settings.cap_ms,
            bit_rate=settings.bit_rate,
            complexity=settings.complexity,
            fec=settings.fec,
            dtx=settings.dtx,
        )
        return cls(peer, settings)

    @property
    def is_attached(self) -> bool:
        """Whether it is the far end of a leg that is in a bridge now."""
        return self._leg is not None

    @property
    def ssrc(self) -> int:
        """What its RTP packets are known by at the far end."""
        return self.settings.ssrc

    def set_destination(self, port: MediaPort | None, address: tuple[str, int] | None) -> None:
        """Send through *port* to *address* from the next tick on; None and None: to nobody.

        Raises: ValueError on an address that is none, or of another family than the port's;
                RuntimeError when the port is closed.
        """
        if port is None or address is None:
            self._peer.set_destination(None)
        else:
            self._peer.set_destination(port._port, address[0], address[1])

    def set_keys(self, profile: int, *, receive: bytes, send: bytes) -> None:
        """Take the SRTP keys: *receive* is what the far end protects with, key and salt in a row.

        Raises: ValueError when there are keys already, on a profile that is not known or that this
                libsrtp lacks, and on keys of another length than the profile's.
        Source: RFC 5764 section 4.2.
        """
        if self._keyed:
            raise ValueError("expected keys once, got a second pair")
        if profile not in SRTP_KEY_BYTES:
            known = " or ".join(map(str, SRTP_KEY_BYTES))
            raise ValueError(f"profile: expected {known}, got {profile}")
        for name, key in (("receive", receive), ("send", send)):
            if len(key) != SRTP_KEY_BYTES[profile]:
                raise ValueError(
                    f"{name}: expected {SRTP_KEY_BYTES[profile]} bytes of key and salt, "
                    f"got {len(key)}"
                )
        libraries = codec_libraries()
        if profile == GCM and libraries.srtp is not None and not libraries.has_gcm:
            raise ValueError(f"profile: expected a libsrtp with AES-GCM for {GCM}, got one without")
        self._peer.set_keys(profile, receive, send)
        self._keyed = True

    def push(
        self,
        pcm: bytes,
        *,
        sequence: int,
        timestamp_samples: int,
        flags: int = 0,
        speakers: Sequence[int] = (),
    ) -> None:
        """Take a frame of a media link, as if it were a packet that came now.

        Shape:  640 bytes of Pcm16K, or none for a silent frame.
        Units:  timestamp_samples at 16 kHz, modulo 2**32 as sequence.
        Raises: ValueError on another length, or without a payload type for ``pcm16k``.
        """
        self._peer.push(
            pcm, sequence & 0xFFFF_FFFF, timestamp_samples & 0xFFFF_FFFF, flags, speakers
        )

    def heard(self) -> None:
        """Note that the far end is there: an authenticated check, a keep-alive."""
        self._peer.heard()

    @property
    def last_heard_ns(self) -> int:
        """When anything last came from the far end (CLOCK_MONOTONIC); 0 for never."""
        return self._peer.last_heard_ns()

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        """Send a key as RFC 4733 event; False when that cannot be.

        So it is when none were agreed upon, when too many wait, when it would last under 20 ms, and
        when it or its pause would last over a minute.
        Raises: ValueError when *key* is not one of 0-9, *, #, A-D.
        """
        event = KEYS.find(key.upper()) if len(key) == 1 else -1
        if event < 0:
            raise ValueError(f"expected one of {KEYS}, got {key!r}")
        return self._peer.queue_tone(event, TONE_VOLUME, duration_ms, pause_ms)

    def read_tones(self) -> list[Tone]:
        """Return the keys pressed and let go of since the last call; other events are left out."""
        tones = []
        while (tone := self._peer.read_tone()) is not None:
            event, _, ended, duration_ms = tone
            if event < len(KEYS):
                tones.append(Tone(KEYS[event], ended, duration_ms))
        return tones

    def say_bye(self) -> None:
        """Tell the far end, with the next tick, that this is over (RFC 3550 section 6.6)."""
        self._peer.say_bye()

    def counters(self) -> dict[str, int]:
        """Return all counts of native/peer.h and native/ledger.h. Thread: any; a moment old."""
        return self._peer.counters()

    def quality(self) -> StreamQuality:
        """Return what is known of both directions. Thread: any; a fraction of a second old."""
        count = self._peer.counters()
        far = count["far_reports"] > 0
        heard = count["received"] > 0
        return StreamQuality(
            codec=self.settings.codec or next(iter(self.settings.payload_types.values()), ""),
            received_packets=count["received"],
            lost_packets=count["lost"],
            discarded_packets=sum(count[name] for name in DISCARDED),
            jitter_ms=count["jitter_us"] / 1000 if heard else None,
            round_trip_ms=count["round_trip_us"] / 1000 if count["round_trips"] else None,
            far_loss_ratio=count["far_lost_256ths"] / 256 if far else None,
            far_jitter_ms=count["far_jitter_us"] / 1000 if far else None,
            sent_packets=count["sent_packets"],
            sent_octets=count["sent_octets"],
            ticks=count["ticks"],
            voice_ticks=count["voice_ticks"],
            fec_ticks=count["fec_ticks"],
            concealed_ticks=count["concealed_ticks"],
            comfort_ticks=count["comfort_ticks"],
            silence_ticks=count["silence_ticks"],
            skipped_ticks=count["skipped_ticks"],
            delay_ms=float(count["delay_ms"]) if heard else None,
            target_ms=float(count["target_ms"]) if heard else None,
            drift_ppm=count["drift_ppb"] / 1000 if heard else None,
        )


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name}: expected {least} to {most}, got {value}")


def _codec(name: str) -> int:
    if name not in _native.CODECS:
        raise ValueError(f"expected a codec of {', '.join(_native.CODECS)}, got {name!r}")
    return _native.CODECS.index(name)


def _types(payload_types: Mapping[int, str]) -> bytes:
    types = bytearray(128)
    for number, name in payload_types.items():
        if not 0 <= number < len(types):
            raise ValueError(f"expected payload types from 0 to 127, got {number}")
        if name == EVENT:
            types[number] = _native.TYPE_EVENT
        elif name == NOISE:
            types[number] = _native.TYPE_NOISE
        else:
            types[number] = 1 + _codec(name)
    return bytes(types)
