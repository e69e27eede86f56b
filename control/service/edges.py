"""How a conversation reaches its parties: what carries a caller's audio, and a bot's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.transports.base import Transport


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


@dataclass(frozen=True, slots=True)
class MediaEdges:
    """How a conference reaches its parties; tests put others in their place."""

    make_caller: Callable[[Leg], CallerTransport]
    connect_link: Callable[[Leg, MediaSessionDescriptor], Awaitable[Transport]]
