"""What a session description must say before anything else looks at it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MAX_SDP_BYTES: Final = 64 * 1024
MAX_LINE_BYTES: Final = 2048
MAX_LINES: Final = 512
"""Browsers write some 60 for one audio stream; parsing takes time by the square of them."""
MAX_CANDIDATES: Final = 64
PROFILE: Final = "UDP/TLS/RTP/SAVPF"
STRONG_HASHES: Final = frozenset({"sha-256", "sha-384", "sha-512"})

OPUS: Final = "opus/48000/2"
AUDIO_CODECS: Final[Mapping[str, str]] = MappingProxyType(
    {OPUS: "opus", "g722/8000": "g722", "pcmu/8000": "pcmu", "pcma/8000": "pcma"}
)
"""What we speak, by its rtpmap, best first. G.722 says 8 kHz (RFC 3551 section 4.5.2)."""

STATIC_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {0: "pcmu/8000", 8: "pcma/8000", 9: "g722/8000"}
)
"""Payload types that need no rtpmap (RFC 3551 section 6)."""

_FINGERPRINT: Final = re.compile(r"a=fingerprint:(\S+) [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+$")
_RTPMAP: Final = re.compile(r"a=rtpmap:(\d{1,3}) (\S+)$")


class SdpError(ValueError):
    """A session description that is not taken; the message never quotes it."""


def check_sdp(text: str, *, opus_only: bool = False) -> str:
    """Return *text*, cleaned of host-name candidates, if it describes one secured audio stream.

    Raises: SdpError saying what was expected. Never on unknown attributes.
    Source: RFC 8866, RFC 8829 section 5.1.2 (profile), RFC 8122 (fingerprints), RFC 7587 (Opus).

    It must offer a codec that we speak; with *opus_only* Opus.

    Anything but DTLS-SRTP is refused: a peer that offers plain RTP would get plain RTP. Candidates
    that are mDNS names would open a multicast socket to be looked up; their peer's own checks reach
    us and say its address (RFC 8445 section 7.3.1.3), so nothing is lost with them.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SDP_BYTES:
        raise SdpError(f"expected at most {MAX_SDP_BYTES} bytes of SDP")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines[0] != "v=0":
        raise SdpError("expected SDP, which begins with v=0")
    if len(lines) > MAX_LINES:
        raise SdpError(f"expected at most {MAX_LINES} lines of SDP, got {len(lines)}")
    # Other readers of SDP end a line at a lone CR, a form feed and more: they must see ours.
    if any(line.splitlines() not in ([line], []) for line in lines):
        raise SdpError("expected SDP lines that end with CRLF alone")
    if any(len(line) > MAX_LINE_BYTES for line in lines):
        raise SdpError(f"expected SDP lines of at most {MAX_LINE_BYTES} characters")
    fields = _check_media(lines)
    _check_security(lines)
    known = (OPUS,) if opus_only else tuple(AUDIO_CODECS)
    if not set(codec_names(lines, fields[3:]).values()) & set(known):
        raise SdpError(f"expected {' or '.join(known)} among the codecs")
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    if len(candidates) > MAX_CANDIDATES:
        raise SdpError(f"expected at most {MAX_CANDIDATES} candidates, got {len(candidates)}")
    return "\r\n".join(line for line in lines if not _is_named_candidate(line)) + "\r\n"


def codec_names(lines: list[str], payload_types: list[str]) -> dict[int, str]:
    """Return, for each of the m-line's payload types, its rtpmap in lower case.

    Without those that would be taken for RTCP on a shared port (RFC 5761 section 4).
    """
    mapped = {
        int(match[1]): match[2].lower().removesuffix("/1")
        for line in lines
        if (match := _RTPMAP.match(line))
    }
    numbers = [int(number) for number in payload_types if re.fullmatch(r"\d{1,3}", number)]
    names = {number: mapped.get(number, STATIC_TYPES.get(number)) for number in numbers}
    return {
        number: name
        for number, name in names.items()
        if name is not None and number < 128 and not 64 <= number < 96
    }


def _check_media(lines: list[str]) -> list[str]:
    media = [line[2:].split() for line in lines if line.startswith("m=")]
    if len(media) != 1 or media[0][:1] != ["audio"]:
        kinds = ", ".join(fields[0][:20] for fields in media[:4] if fields) or "none"
        raise SdpError(f"expected exactly one m-line, audio, got {kinds}")
    profile = media[0][2] if len(media[0]) > 3 else "none"
    if profile != PROFILE:
        raise SdpError(f"expected the profile {PROFILE}, got {profile[:40]}")
    return media[0]


def _check_security(lines: list[str]) -> None:
    prints = [line for line in lines if line.startswith("a=fingerprint:")]
    found = [match for line in prints if (match := _FINGERPRINT.match(line))]
    if not found or len(found) != len(prints):
        raise SdpError("expected a DTLS certificate fingerprint")
    if not any(match[1].lower() in STRONG_HASHES for match in found):
        raise SdpError("expected a fingerprint by sha-256 or stronger")
    if not any(line.startswith("a=setup:") for line in lines):
        raise SdpError("expected a=setup, the DTLS role")
    for attribute in ("a=ice-ufrag:", "a=ice-pwd:"):
        if not any(line.startswith(attribute) for line in lines):
            raise SdpError(f"expected {attribute[2:-1]}, the ICE credentials")


def _is_named_candidate(line: str) -> bool:
    if not line.startswith("a=candidate:"):
        return False
    fields = line.split()
    return len(fields) > 4 and not re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", fields[4])
