"""How a conversation reaches its parties: what carries a caller's audio, a bot's, a gateway's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.platform import MediaPlatform
from mixminus.media.quality import StreamQuality
from mixminus.media.transports.base import Transport

from .phones import RtpScript
from .settings import ServiceSettings


class MovableTransport(Transport, Protocol):
    """A transport that can carry another leg from now on."""

    def move(self, leg: Leg) -> None:
        """Carry *leg* in the place of the one before, which is left as it is."""


class CallerTransport(MovableTransport, Protocol):
    """A transport that answers a caller's SDP offer."""

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer and return the answer. Raises: SdpError."""

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until media can flow. Raises: TimeoutError, ConnectionError."""


@runtime_checkable
class PacketTransport(Protocol):
    """A transport whose packets pass through the engine: what it tells beside the audio."""

    on_tone: Callable[[str], None]
    """Called with each key (0-9, *, #, A-D) that the far end presses, at its beginning."""
    on_media: Callable[[bool], None]
    """Called with False when nothing comes that is expected, with True when it is back."""
    expects_media: bool

    def queue_tone(self, key: str, duration_ms: int = 100, pause_ms: int = 50) -> bool:
        """Send *key* as a telephone event; False: the far end takes none."""

    def quality(self) -> StreamQuality | None:
        """Return what was measured so far; None before there is anything to measure."""


@runtime_checkable
class AddressedTransport(Protocol):
    """A transport that knows where its packets go."""

    @property
    def far_address(self) -> tuple[str, int] | None:
        """The far end's address and port now; None before they are known."""


@runtime_checkable
class RestartableTransport(Protocol):
    """A transport that the far end may go on with from other addresses."""

    @property
    def closed(self) -> Any:
        """As every transport's."""

    def can_restart(self, offer_sdp: str) -> bool:
        """Say whether *offer_sdp* goes on with this connection: then answer() takes it."""

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer and return the answer. Raises: SdpError, ConnectionError."""


class PhoneLine(Protocol):
    """A port of ours for one call with a telephone behind a gateway."""

    def carry(self, leg: Leg) -> MovableTransport:
        """Carry *leg* to and from the gateway; once."""

    async def close(self) -> None:
        """End what carries the leg, and let go of the port. Again is no error."""


async def no_phone_line(script: RtpScript) -> PhoneLine:
    """Refuse a line to a gateway, where there is no RTP."""
    raise ConnectionError(f"nothing here reaches {script.host}:{script.port} by RTP")


def nothing_to_say() -> Mapping[str, Any]:
    """Say nothing of these edges."""
    return {}


@dataclass(frozen=True, slots=True)
class MediaEdges:
    """How a conference reaches its parties; tests put others in their place."""

    make_caller: Callable[[Leg], CallerTransport]
    connect_link: Callable[[Leg, MediaSessionDescriptor], Awaitable[Transport]]
    open_phone_line: Callable[[RtpScript], Awaitable[PhoneLine]] = no_phone_line
    """Raises: OSError when there is no such line."""
    health: Callable[[], Mapping[str, Any]] = nothing_to_say
    """What /healthz says of them: JSON types."""


MakeEdges: TypeAlias = Callable[
    [MediaPlatform, ServiceSettings, Path], AbstractAsyncContextManager[MediaEdges]
]
"""Opens the edges of a service, from its platform, settings and CA file, until it ends.

Raises: MediaPortError on entering.
"""
