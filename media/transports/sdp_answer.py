"""An offer read into what a leg needs to know of it, and the answer to it written. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias, cast

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import MediaDescription, SessionDescription

from .opus_settings import agreed_bit_rate
from .sdp import AUDIO_CODECS, OPUS, PROFILE, SdpError, check_sdp, codec_names

AUDIO_LEVEL_URI: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
HASH_BYTES: Final = {"sha-512": 64, "sha-384": 48, "sha-256": 32}
"""The digests that count; a peer is held to every one that it offers (RFC 8122 section 5)."""

DEFAULT_BIT_RATE: Final = 32_000
PTIME_MS: Final = 20
MAX_PTIME_MS: Final = 60

_ICE_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
_ICE_PWD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_TOKEN: Final = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,64}")
_EVENTS: Final = ("telephone-event/48000", "telephone-event/8000")

Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
MIRRORED: Final[Mapping[str, Direction]] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a DTLS certificate. ``algorithm`` is one of HASH_BYTES."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What is sent and taken: the same in a re-offer, or it needs a new connection.

    Units:  bit_rate in bit/s.
    """

    codec: str
    payload_type: int
    payload_types: Mapping[int, str]
    """What may be received, by payload type, the sent ones among them."""
    event_type: int | None
    event_clock_hz: int
    level_extension_id: int | None
    bit_rate: int
    fec: bool
    dtx: bool

    @property
    def has_event_clock(self) -> bool:
        """Whether telephone events have the clock of the audio that is sent."""
        return self.event_clock_hz == (48_000 if self.codec == "opus" else 8_000)


@dataclass(frozen=True, slots=True)
class Offer:
    """A far end's offer of one secured audio stream."""

    stream: Stream
    direction: Direction
    """As the far end sees it: ``sendonly`` is a far end that holds us."""
    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    """At least one; the certificate has one of those of each algorithm."""
    setup: Literal["actpass", "active", "passive"]
    mid: str | None
    is_bundled: bool

    @property
    def sends(self) -> bool:
        """Whether the far end says that it sends."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the far end wants to be sent to."""
        return self.direction in ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class Local:
    """Our side of an answer. ``candidates`` are (address, port), best first."""

    session_id: int
    version: int
    ufrag: str
    password: str
    fingerprint: Fingerprint
    is_dtls_client: bool
    candidates: Sequence[tuple[str, int]]
    ssrc: int
    cname: str


def parse_offer(text: str, most_bit_rate: int = DEFAULT_BIT_RATE) -> Offer:
    """Read an offer; *most_bit_rate* is what is sent to a far end that sets no lower one.

    Raises: SdpError saying what was expected; nothing else, whatever comes.
    Source: RFC 8829, RFC 8839 (ICE), RFC 8842 (DTLS), RFC 7587 (Opus), RFC 4733, RFC 6464.
    """
    clean = check_sdp(text)
    try:
        session = SessionDescription.parse(clean)
    except Exception as exc:
        # Broken input is AssertionError, KeyError, ValueError, StopIteration and more there.
        raise SdpError("expected a well-formed session description") from exc
    return _read(session, clean, most_bit_rate)


def _read(session: SessionDescription, clean: str, most_bit_rate: int) -> Offer:
    (media,) = session.media
    if media.port == 0:
        raise SdpError("expected an m-line that is in use, got one with port 0")
    if not media.rtcp_mux:
        raise SdpError("expected a=rtcp-mux: RTP and RTCP on one port")
    assert media.ice is not None
    assert media.dtls is not None
    # Two lite agents would wait for each other's checks for ever.
    if media.ice.iceLite:
        raise SdpError("expected a peer that makes ICE checks, got ice-lite")
    ufrag, password = media.ice.usernameFragment or "", media.ice.password or ""
    if not _ICE_UFRAG.fullmatch(ufrag) or not _ICE_PWD.fullmatch(password):
        raise SdpError("expected ice-ufrag of 4 and ice-pwd of 22 or more ice-chars")
    mid = media.rtp.muxId or None
    if mid is not None and not _TOKEN.fullmatch(mid):
        raise SdpError("expected a token of at most 64 characters as mid")
    return Offer(
        stream=_stream(
            media,
            codec_names(clean.split("\r\n"), [str(pt) for pt in media.fmt]),
            most_bit_rate,
        ),
        direction=cast(Direction, media.direction or "sendrecv"),
        ufrag=ufrag,
        password=password,
        fingerprints=_fingerprints(media),
        setup=_setup(media.dtls.role),
        mid=mid,
        is_bundled=mid is not None
        and any(group.semantic == "BUNDLE" and mid in group.items for group in session.group),
    )


def _setup(role: str) -> Literal["actpass", "active", "passive"]:
    match role:
        case "client":
            return "active"
        case "server":
            return "passive"
        case _:
            return "actpass"


def _fingerprints(media: MediaDescription) -> tuple[Fingerprint, ...]:
    assert media.dtls is not None
    found = []
    for said in media.dtls.fingerprints:
        algorithm = said.algorithm.lower()
        if algorithm not in HASH_BYTES:
            continue
        digest = bytes.fromhex(said.value.replace(":", ""))
        if len(digest) != HASH_BYTES[algorithm]:
            raise SdpError(f"expected {HASH_BYTES[algorithm]} bytes of a {algorithm} fingerprint")
        found.append(Fingerprint(algorithm, digest))
    if not found:
        raise SdpError("expected a fingerprint by sha-256 or stronger")
    return tuple(dict.fromkeys(found))


def _stream(media: MediaDescription, names: Mapping[int, str], most_bit_rate: int) -> Stream:
    audio = {number: name for number, name in names.items() if name in AUDIO_CODECS}
    best = next(name for name in AUDIO_CODECS if name in audio.values())
    payload_type = next(number for number, name in audio.items() if name == best)
    # Events have the clock of what they interrupt, where there is a choice.
    clocks = _EVENTS if best == OPUS else _EVENTS[::-1]
    event_type, event_clock_hz = next(
        (
            (number, int(clock.partition("/")[2]))
            for clock in clocks
            for number, name in names.items()
            if name == clock
        ),
        (None, 0),
    )
    wishes = next((c for c in media.rtp.codecs if c.payloadType == payload_type), None)
    payload_types = {number: AUDIO_CODECS[name] for number, name in audio.items()}
    if event_type is not None:
        payload_types[event_type] = "telephone-event"
    return Stream(
        codec=AUDIO_CODECS[best],
        payload_type=payload_type,
        payload_types=payload_types,
        event_type=event_type,
        event_clock_hz=event_clock_hz,
        level_extension_id=next(
            (
                extension.id
                for extension in media.rtp.headerExtensions
                # One-byte headers have these (RFC 8285 section 4.2).
                if extension.uri == AUDIO_LEVEL_URI and 1 <= extension.id <= 14
            ),
            None,
        ),
        bit_rate=agreed_bit_rate(_wish(wishes, "maxaveragebitrate"), most_bit_rate),
        fec=_wish(wishes, "useinbandfec") == 1,
        dtx=_wish(wishes, "usedtx") == 1,
    )


def _wish(codec: RTCRtpCodecParameters | None, name: str) -> int | None:
    value = None if codec is None else codec.parameters.get(name)
    text = str(value)
    return int(text) if re.fullmatch(r"\d{1,9}", text) else None


def reoffer_problem(before: Offer, after: Offer, is_dtls_client: bool) -> str | None:
    """Say what a re-offer changes that only a new connection can follow; None if nothing."""
    if set(before.fingerprints) != set(after.fingerprints):
        return "certificate"
    if after.setup == ("active" if is_dtls_client else "passive"):
        return "DTLS role"
    old, new = before.stream, after.stream
    is_same = (
        (old.codec, old.payload_type) == (new.codec, new.payload_type)
        and (old.event_type, old.event_clock_hz) == (new.event_type, new.event_clock_hz)
        and old.level_extension_id == new.level_extension_id
        # Fewer than before is no matter: what is not said any more does not come.
        and new.payload_types.items() <= old.payload_types.items()
    )
    return None if is_same else "codecs"


def write_answer(offer: Offer, local: Local) -> str:
    """Write the answer to *offer*: never anything but DTLS-SRTP, never more than was offered.

    Source: RFC 8829 section 5.3.1, RFC 8445 appendix A (lite), RFC 8842 section 5.3.
    """
    stream = offer.stream
    host, port = local.candidates[0]
    numbers = [stream.payload_type, *(n for n in stream.payload_types if n != stream.payload_type)]
    lines = [
        "v=0",
        f"o=- {local.session_id} {local.version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        *([f"a=group:BUNDLE {offer.mid}"] if offer.is_bundled else []),
        f"m=audio {port} {PROFILE} {' '.join(map(str, numbers))}",
        f"c=IN IP{ip_address(host).version} {host}",
        *([f"a=mid:{offer.mid}"] if offer.mid is not None else []),
        f"a={MIRRORED[offer.direction]}",
        "a=rtcp-mux",
        f"a=ptime:{PTIME_MS}",
        f"a=maxptime:{MAX_PTIME_MS}",
        *(
            [f"a=extmap:{stream.level_extension_id} {AUDIO_LEVEL_URI}"]
            if stream.level_extension_id is not None
            else []
        ),
        *(line for number in numbers for line in _codec_lines(stream, number)),
        "a=msid:mixminus audio",
        f"a=ssrc:{local.ssrc} cname:{local.cname}",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.digest.hex(':').upper()}",
        f"a=setup:{'active' if local.is_dtls_client else 'passive'}",
        *(
            f"a=candidate:{1 + place} 1 udp {_host_priority(place)} {address} {port} typ host"
            for place, (address, port) in enumerate(local.candidates)
        ),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"


def _codec_lines(stream: Stream, number: int) -> list[str]:
    match stream.payload_types[number]:
        case "opus":
            # Mono is what is mixed: stereo is taken, and not asked for.
            return [
                f"a=rtpmap:{number} {OPUS}",
                f"a=fmtp:{number} minptime=10;useinbandfec=1",
            ]
        case "telephone-event":
            return [
                f"a=rtpmap:{number} telephone-event/{stream.event_clock_hz}",
                f"a=fmtp:{number} 0-15",
            ]
        case codec:
            return [f"a=rtpmap:{number} {codec.upper()}/8000"]


def _host_priority(place: int) -> int:
    """RFC 8445 section 5.1.2.1: a host candidate's, component 1."""
    return (126 << 24) | ((65_535 - place) << 8) | 255
