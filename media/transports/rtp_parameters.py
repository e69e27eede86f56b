"""What two ends of a plain RTP leg agreed upon. No IO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from ..peer import PeerSettings

RTP_CODECS: Final = ("opus", "g722", "pcmu", "pcma")
"""What a plain RTP leg can speak, best first."""

MAX_PAYLOAD_TYPE: Final = 127
RTCP_TYPES: Final = range(64, 96)
"""Payload types that would look like RTCP on a shared port (RFC 5761 section 4)."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpParameters:
    """What a plain RTP leg sends, what it takes, and where its far end is.

    codec, payload_type: what is sent: "opus", "g722", "pcmu" or "pcma"; event_type: of the tones,
    None where they were not agreed upon. ``received_types``: what each payload type that is taken
    carries ("comfort-noise" and "telephone-event" too); when empty, the same as is sent.
    remote: the far end's numeric address; None: not known yet. ``learn_address``: the sender of the
    first packet that is RTP of an agreed payload type is the far end, in place of *remote*; nobody
    else ever is. Anyone who can reach the port can be that first one: only for networks where that
    is known to be right.
    Units:  bit_rate in bits a second (Opus alone, as are complexity 0 to 10, fec and dtx).
    Raises: ValueError saying what was expected.
    """

    codec: str
    payload_type: int
    remote: Address | None = None
    event_type: int | None = None
    learn_address: bool = False
    level_extension_id: int | None = None
    bit_rate: int = 32_000
    complexity: int = 5
    fec: bool = True
    dtx: bool = False
    received_types: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no leg can be made of."""
        if self.codec not in RTP_CODECS:
            raise ValueError(f"expected one of {', '.join(RTP_CODECS)}, got {self.codec!r}")
        for number in (self.payload_type, self.event_type, *self.received_types):
            if number is not None and (not 0 <= number <= MAX_PAYLOAD_TYPE or number in RTCP_TYPES):
                raise ValueError(f"expected payload types 0 to 63 and 96 to 127, got {number}")
        if self.payload_type == self.event_type:
            raise ValueError(f"expected another payload type for tones than {self.payload_type}")
        if self.remote is not None:
            normal_address(self.remote)

    def taken_types(self) -> dict[int, str]:
        """Return what each payload type that is taken carries."""
        if self.received_types:
            return dict(self.received_types)
        taken = {self.payload_type: self.codec}
        if self.event_type is not None:
            taken[self.event_type] = "telephone-event"
        return taken

    def peer_settings(self) -> PeerSettings:
        """Return the same for the engine."""
        return PeerSettings(
            payload_types=self.taken_types(),
            codec=self.codec,
            payload_type=self.payload_type,
            event_type=self.event_type,
            level_extension_id=self.level_extension_id,
            secure=False,
            bit_rate=self.bit_rate,
            complexity=self.complexity,
            fec=self.fec,
            dtx=self.dtx,
        )


def normal_address(address: Address) -> Address:
    """Return *address* as a port tells it: numeric, one spelling for each.

    Raises: ValueError when it is no numeric address with a port that can be sent to.
    """
    host, port = address
    try:
        parsed = ip_address(host)
    except ValueError:
        raise ValueError(f"expected a numeric IP address, got {host[:60]!r}") from None
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if not 0 < port < 65_536:
        raise ValueError(f"expected a port of 1 to 65535, got {port}")
    if parsed.is_multicast or parsed.is_unspecified:
        raise ValueError(f"expected the address of one host, got {host}")
    return str(parsed), port
