"""Offer and answer for plain RTP (RTP/AVP), as SIP gateways write and read them. No IO.

Never WebRTC's: what names a certificate or TLS is refused here, as RTP/AVP is refused there.
Source: RFC 8866 (SDP), RFC 3264 (offer and answer), RFC 3551 (RTP/AVP and its payload types),
RFC 7587 (Opus), RFC 4733 (telephone-event), RFC 6464 (audio level), RFC 5761 and RFC 3605 (RTCP).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, cast

from .opus_settings import agreed_bit_rate
from .rtp_parameters import RTCP_TYPES, RTP_CODECS, Address, RtpParameters, normal_address
from .sdp import AUDIO_CODECS, MAX_LINE_BYTES, MAX_SDP_BYTES, SdpError, codec_names

PROFILE: Final = "RTP/AVP"
MAX_MEDIA: Final = 16
PTIME_MS: Final = 20
"""What we send, always; we take up to MAX_PTIME_MS."""
MAX_PTIME_MS: Final = 60
LEVEL_URI: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
LEVEL_ID: Final = 1
MAX_LEVEL_ID: Final = 14
NOISE_TYPE: Final = 13
BIT_RATE: Final = 32_000
OPUS_FMTP: Final = "useinbandfec=1;maxplaybackrate=16000;sprop-maxcapturerate=16000"
EVENTS_FMTP: Final = "0-16"

RTPMAPS: Final = {codec: rtpmap for rtpmap, codec in AUDIO_CODECS.items()}
OFFERED_TYPES: Final = {"opus": 111, "g722": 9, "pcmu": 0, "pcma": 8}
EVENT_TYPES: Final = {48_000: 110, 8000: 101}

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

_TOKEN: Final = re.compile(r"[A-Za-z0-9._/+-]{1,64}")
_FMTP: Final = re.compile(r"a=fmtp:(\d{1,3}) (.+)")
_EXTMAP: Final = re.compile(r"a=extmap:(\d{1,3})(?:/\w+)? (\S+)")
_MS: Final = re.compile(r"a=(ptime|maxptime):(\d{1,5})(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What an offer and its answer come to, seen from this end.

    ``parameters`` are for ``RtpEndpoint.connect``; their remote is None where the far end has said
    0.0.0.0 (an old way to hold). Whether that address may be sent to is for the caller to say.
    ``rtcp_mux`` is whether the far end takes RTCP on its RTP port.
    """

    parameters: RtpParameters
    sends: bool
    receives: bool
    ptime_ms: int | None
    rtcp_mux: bool


def write_offer(
    address: Address,
    codecs: Sequence[str] = RTP_CODECS,
    *,
    direction: Direction = "sendrecv",
    session_id: int | None = None,
    version: int = 1,
) -> str:
    """Write an offer of *codecs*, best first, for media to *address*.

    Raises: ValueError on no codec or one that is not ours, and on an address that is not numeric.
    A later offer of the same dialogue repeats *session_id*, with *version* one higher.
    """
    if not codecs or not set(codecs) <= set(RTP_CODECS) or len(set(codecs)) != len(codecs):
        raise ValueError(f"expected some of {', '.join(RTP_CODECS)}, got {', '.join(codecs)}")
    types = {OFFERED_TYPES[codec]: RTPMAPS[codec] for codec in codecs}
    for clock_hz in sorted({_clock_hz(codec) for codec in codecs}, reverse=True):
        types[EVENT_TYPES[clock_hz]] = f"telephone-event/{clock_hz}"
    if any(_clock_hz(codec) == 8000 for codec in codecs):
        types[NOISE_TYPE] = "cn/8000"
    audio = _audio_lines(address, types, direction, level_id=LEVEL_ID, rtcp_mux=True)
    return _write(address, [audio], session_id, version)


def answer_offer(
    offer: str,
    address: Address,
    codecs: Collection[str] = RTP_CODECS,
    *,
    direction: Direction = "sendrecv",
    session_id: int | None = None,
    version: int = 1,
) -> tuple[str, Negotiated]:
    """Answer *offer* with the first of its codecs that is among *codecs*, for media to *address*.

    Raises: SdpError when it is no offer of plain RTP audio that we can take; ValueError on our own
            address. All other media of the offer are refused in the answer.
    """
    far = _parse(offer)
    type_, codec = _first_common(far, codecs)
    events = {number for number in far.events if number != type_}
    event_type = _event_type(far, codec)
    taken = {type_: RTPMAPS[codec]}
    taken |= {number: far.types[number] for number in far.types if number in events}
    if far.types.get(NOISE_TYPE) == "cn/8000" and _clock_hz(codec) == 8000:
        taken[NOISE_TYPE] = "cn/8000"
    sends, receives = _directions(far, direction)
    audio = _audio_lines(
        address,
        taken,
        _direction(sends=sends, receives=receives),
        level_id=far.level_id,
        rtcp_mux=far.rtcp_mux,
    )
    sections = [audio if i == far.index else [line] for i, line in enumerate(far.refusals)]
    parameters = _parameters(far, type_, codec, event_type, far.level_id, _kinds(taken))
    negotiated = Negotiated(parameters, sends, receives, far.ptime_ms, far.rtcp_mux)
    return _write(address, sections, session_id, version), negotiated


def parse_answer(answer: str, *, offer: str) -> Negotiated:
    """Return what the far end's *answer* to our *offer* comes to.

    Raises: SdpError when it is no answer of plain RTP audio to that offer, or refuses it.
    """
    ours, far = _parse(offer), _parse(answer)
    if len(far.refusals) != len(ours.refusals) or far.index != ours.index:
        raise SdpError(f"expected an answer to {len(ours.refusals)} m-lines, audio with a port")
    offered = {codec for codec in map(AUDIO_CODECS.get, ours.types.values()) if codec}
    type_, codec = _first_common(far, offered)
    level_id = far.level_id if far.level_id == ours.level_id else None
    sends, receives = _directions(far, ours.direction)
    # We take what we offered, under our numbers; we send under theirs.
    parameters = _parameters(
        far, type_, codec, _event_type(far, codec), level_id, _kinds(ours.types)
    )
    return Negotiated(parameters, sends, receives, far.ptime_ms, far.rtcp_mux)


# ---- what a description says ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Description:
    """The audio of one side; ``refusals`` are its m-lines as an answer would refuse them."""

    index: int
    refusals: tuple[str, ...]
    address: Address | None
    types: dict[int, str]
    fmtp: dict[int, dict[str, str]]
    direction: Direction
    ptime_ms: int | None
    level_id: int | None
    rtcp_mux: bool

    @property
    def events(self) -> dict[int, int]:
        """Clock of each payload type of telephone events."""
        clocks = {48_000: "telephone-event/48000", 8000: "telephone-event/8000"}
        return {n: hz for n, name in self.types.items() for hz, of in clocks.items() if name == of}


def _parse(text: str) -> _Description:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SDP_BYTES:
        raise SdpError(f"expected at most {MAX_SDP_BYTES} bytes of SDP")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines[0] != "v=0":
        raise SdpError("expected SDP, which begins with v=0")
    if any(len(line) > MAX_LINE_BYTES for line in lines):
        raise SdpError(f"expected SDP lines of at most {MAX_LINE_BYTES} characters")
    if any(char < " " and char != "\t" for line in lines for char in line):
        raise SdpError("expected SDP without control characters")
    starts = [i for i, line in enumerate(lines) if line.startswith("m=")]
    if not 0 < len(starts) <= MAX_MEDIA:
        raise SdpError(f"expected 1 to {MAX_MEDIA} m-lines, got {len(starts)}")
    m_lines = [_m_line(lines[start]) for start in starts]
    if any("TLS" in fields[2] for fields in m_lines) or any(
        line.startswith("a=fingerprint:") for line in lines
    ):
        raise SdpError("expected plain RTP, got a description of WebRTC (DTLS-SRTP)")
    index = next((i for i, fields in enumerate(m_lines) if _is_audio(fields)), None)
    if index is None:
        seen = ", ".join(f"{fields[0]} {fields[2]} to port {fields[1]}" for fields in m_lines[:4])
        raise SdpError(f"expected audio of {PROFILE} with a port, got {seen}")
    end = starts[index + 1] if index + 1 < len(starts) else len(lines)
    return _describe(index, m_lines, lines[: starts[0]], lines[starts[index] + 1 : end])


def _m_line(line: str) -> list[str]:
    fields = line[2:].split()
    if len(fields) < 4 or not all(_TOKEN.fullmatch(field) for field in fields[:4]):
        raise SdpError("expected m-lines of media, port, profile and formats")
    if not re.fullmatch(r"\d{1,5}(/\d{1,5})?", fields[1]):
        raise SdpError("expected a port number in each m-line")
    return fields


def _is_audio(fields: list[str]) -> bool:
    return fields[0] == "audio" and fields[2] == PROFILE and int(fields[1].split("/")[0]) > 0


def _describe(
    index: int, m_lines: list[list[str]], session: list[str], media: list[str]
) -> _Description:
    own = m_lines[index]
    fmtp = {}
    for line in media:
        if match := _FMTP.fullmatch(line):
            pairs = (part.partition("=") for part in match[2].split(";"))
            fmtp[int(match[1])] = {name.strip().lower(): value.strip() for name, _, value in pairs}
    times = {match[1]: int(match[2]) for line in media if (match := _MS.match(line))}
    if times.get("maxptime", PTIME_MS) < PTIME_MS:
        raise SdpError(f"expected packets of {PTIME_MS} ms to be allowed")
    types = {number: _one_spelling(name) for number, name in codec_names(media, own[3:]).items()}
    types |= (
        {NOISE_TYPE: "cn/8000"} if str(NOISE_TYPE) in own[3:] and NOISE_TYPE not in types else {}
    )
    return _Description(
        index=index,
        refusals=tuple(f"m={f[0]} 0 {f[2]} {f[3]}" for f in m_lines),
        address=_address(session, media, int(own[1].split("/")[0])),
        types={number: name for number, name in types.items() if number not in RTCP_TYPES},
        fmtp=fmtp,
        direction=_last_direction(media) or _last_direction(session) or "sendrecv",
        ptime_ms=times.get("ptime"),
        level_id=_level_id(media),
        rtcp_mux="a=rtcp-mux" in media,
    )


def _one_spelling(rtpmap: str) -> str:
    """One channel needs not be said and is by some; G.722's clock is 8 kHz whatever it samples."""
    return "g722/8000" if rtpmap == "g722/16000" else rtpmap.removesuffix("/1")


def _address(session: list[str], media: list[str], port: int) -> Address | None:
    said = [line for part in (media, session) for line in part if line.startswith("c=")]
    if not said:
        raise SdpError("expected c=, the address that media go to")
    fields = said[0][2:].split()
    if len(fields) != 3 or fields[0] != "IN" or fields[1] not in ("IP4", "IP6"):
        raise SdpError("expected c=IN IP4 or IP6 and an address")
    try:
        parsed = ip_address(fields[2])
        found = None if parsed.is_unspecified else normal_address((fields[2], port))
    except ValueError:
        raise SdpError("expected the numeric address of one host, and a port") from None
    if parsed.version != int(fields[1][2]):
        raise SdpError(f"expected an address of {fields[1]}")
    return found


def _last_direction(lines: list[str]) -> Direction | None:
    said = [line[2:] for line in lines if line[:2] == "a=" and line[2:] in DIRECTIONS]
    return cast(Direction, said[-1]) if said else None


def _level_id(media: list[str]) -> int | None:
    for line in media:
        match = _EXTMAP.match(line)
        if match and match[2] == LEVEL_URI and 0 < int(match[1]) <= MAX_LEVEL_ID:
            return int(match[1])
    return None


# ---- what two descriptions come to ---------------------------------------------------------------


def _first_common(far: _Description, codecs: Collection[str]) -> tuple[int, str]:
    for number, rtpmap in far.types.items():
        codec = AUDIO_CODECS.get(rtpmap)
        if codec in codecs and codec is not None:
            return number, codec
    wanted = " or ".join(RTPMAPS[codec] for codec in RTP_CODECS if codec in codecs)
    raise SdpError(f"expected {wanted or 'a codec'} among the codecs")


def _event_type(far: _Description, codec: str) -> int | None:
    """Tones are sent on the audio's clock (RFC 4733 section 2.1), or not at all."""
    return next((n for n, hz in far.events.items() if hz == _clock_hz(codec)), None)


def _clock_hz(codec: str) -> int:
    return int(RTPMAPS[codec].split("/")[1])


def _directions(far: _Description, ours: Direction) -> tuple[bool, bool]:
    """Whether we send, whether we receive."""
    far_receives = far.direction in ("sendrecv", "recvonly") and far.address is not None
    far_sends = far.direction in ("sendrecv", "sendonly")
    return (
        far_receives and ours in ("sendrecv", "sendonly"),
        far_sends and ours in ("sendrecv", "recvonly"),
    )


def _direction(*, sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _kinds(types: dict[int, str]) -> dict[int, str]:
    """Return what the engine calls each payload type; one that it does not know is not taken."""
    names = {**AUDIO_CODECS, "cn/8000": "comfort-noise"}
    names |= {f"telephone-event/{clock_hz}": "telephone-event" for clock_hz in EVENT_TYPES}
    return {number: names[name] for number, name in types.items() if name in names}


def _parameters(
    far: _Description,
    type_: int,
    codec: str,
    event_type: int | None,
    level_id: int | None,
    taken: dict[int, str],
) -> RtpParameters:
    fmtp = far.fmtp.get(type_, {}) if codec == "opus" else {}
    most = fmtp.get("maxaveragebitrate", "")
    wish = int(most) if re.fullmatch(r"\d{1,9}", most) else None
    return RtpParameters(
        codec=codec,
        payload_type=type_,
        remote=far.address,
        event_type=event_type,
        level_extension_id=level_id,
        bit_rate=agreed_bit_rate(wish, BIT_RATE),
        # What the far end cannot use would cost it quality at the same bit rate.
        fec=codec == "opus" and fmtp.get("useinbandfec") == "1",
        received_types=taken,
    )


# ---- writing -------------------------------------------------------------------------------------


def _audio_lines(
    address: Address,
    types: dict[int, str],
    direction: Direction,
    *,
    level_id: int | None,
    rtcp_mux: bool,
) -> list[str]:
    spelled = {"pcmu/8000": "PCMU/8000", "pcma/8000": "PCMA/8000", "g722/8000": "G722/8000"}
    port = normal_address(address)[1]
    lines = [f"m=audio {port} {PROFILE} {' '.join(map(str, types))}"]
    for number, name in types.items():
        if number == NOISE_TYPE:
            continue  # needs none, and FFmpeg takes one for the codec of the whole stream
        lines.append(f"a=rtpmap:{number} {spelled.get(name, name)}")
        if name == RTPMAPS["opus"]:
            lines.append(f"a=fmtp:{number} {OPUS_FMTP}")
        elif name.startswith("telephone-event/"):
            lines.append(f"a=fmtp:{number} {EVENTS_FMTP}")
    lines += [f"a=ptime:{PTIME_MS}", f"a=maxptime:{MAX_PTIME_MS}"]
    if level_id is not None:
        lines.append(f"a=extmap:{level_id} {LEVEL_URI}")
    # There is one port: RTCP comes to it whether it is said so in the new way or in the old.
    lines += ["a=rtcp-mux"] * rtcp_mux + [f"a=rtcp:{port}", f"a={direction}"]
    return lines


def _write(
    address: Address, sections: Iterable[list[str]], session_id: int | None, version: int
) -> str:
    host = normal_address(address)[0]
    where = f"IN IP{ip_address(host).version} {host}"
    number = secrets.randbits(62) if session_id is None else session_id
    lines = ["v=0", f"o=- {number} {version} {where}", "s=-", f"c={where}", "t=0 0"]
    for section in sections:
        lines += section
    return "\r\n".join(lines) + "\r\n"
