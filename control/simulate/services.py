"""The services that are simulated: how each proves itself, and what its messages are."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Final, Protocol

from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.stream import AcsService, Audio, StreamFormat, TwilioService
from mixminus.media.transports.stream.dialect import MarkPlayed

from ..host.stream_auth import twilio_signature
from ..host.streams import CONNECTION_ID_HEADER, CORRELATION_ID_HEADER
from .keys import SimulatorKeys

PARTICIPANT: Final = "8:acs:51a17a7e-0000-4000-8000-000000000000_{:08d}"
"""The raw id of a simulated speaker."""


class Service(Protocol):
    """A telephony service's end of one call."""

    name: str
    format: StreamFormat
    call_id: str
    stream_id: str | None
    """What the host knows the call by, if that is not ``call_id``."""
    comes_back: bool
    """Whether it opens another socket when one was lost."""

    def headers(self, url: str) -> Mapping[str, str]:
        """Return what goes with the next handshake."""

    def write_start(self) -> list[str]:
        """Return the first messages of a socket."""

    def write_audio(self, payload: bytes, time_ms: float, speaker: int | None) -> str:
        """Write 20 ms of a speaker, or of the mix; time_ms is Unix time."""

    def write_key(self, key: str) -> str:
        """Write that a key was pressed."""

    def write_mark(self, name: str) -> str | None:
        """Answer a mark, if the service does."""

    def write_stop(self) -> str | None:
        """Write that the call is over, if the service says so."""

    def parse(self, message: str | bytes) -> Audio | MarkPlayed | str | None:
        """Read what the bot sends.

        Raises: RemoteProtocolError.
        """


class SimulatedAcs:
    """Azure Communication Services' end of a call."""

    name = "acs"
    stream_id: str | None = None
    comes_back = True

    def __init__(
        self, keys: SimulatorKeys, *, rate_hz: int, audience: str, token: str | None = None
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._token = token
        self._service = AcsService(rate_hz)
        self.format = self._service.format
        self.call_id = str(uuid.uuid4())
        self._correlation_id = str(uuid.uuid4())

    def headers(self, url: str) -> Mapping[str, str]:
        """Return a new token's, and the call's ids."""
        token = self._token or self._keys.acs_token(audience=self._audience)
        return {
            "Authorization": f"Bearer {token}",
            CONNECTION_ID_HEADER: self.call_id,
            CORRELATION_ID_HEADER: self._correlation_id,
        }

    def write_start(self) -> list[str]:
        """Return the metadata."""
        return self._service.write_start()

    def write_audio(self, payload: bytes, time_ms: float, speaker: int | None) -> str:
        """Write a frame of a speaker, or of the mix."""
        name = None if speaker is None else PARTICIPANT.format(speaker)
        return self._service.write_audio(
            payload, time_ms=time_ms, speaker=name, silent=not any(payload)
        )

    def write_key(self, key: str) -> str:
        """Write a key."""
        return self._service.write_key(key)

    def write_mark(self, name: str) -> str | None:
        """Return None: this service has no marks."""
        return None

    def write_stop(self) -> str | None:
        """Return None: this service only closes the socket."""
        return None

    def parse(self, message: str | bytes) -> Audio | MarkPlayed | str | None:
        """Read what the bot sends."""
        return self._service.parse(message)


class SimulatedTwilio:
    """Twilio's end of a call."""

    name = "twilio"
    comes_back = False

    def __init__(self, keys: SimulatorKeys, *, caller: str = "+15555550123") -> None:
        self._auth_token = keys.twilio_auth_token
        self.call_id = f"CA{secrets.token_hex(16)}"
        self.stream_id: str | None = f"MZ{secrets.token_hex(16)}"
        self._service = TwilioService(
            stream_id=self.stream_id,
            call_id=self.call_id,
            parameters={"From": caller},
        )
        self.format = self._service.format

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the signature."""
        return {"X-Twilio-Signature": twilio_signature(url, self._auth_token)}

    def write_start(self) -> list[str]:
        """Return "connected" and "start"."""
        return self._service.write_start()

    def write_audio(self, payload: bytes, time_ms: float, speaker: int | None) -> str:
        """Write a frame of the caller."""
        if speaker is not None:
            raise RemoteProtocolError("Twilio sends one caller, not speakers")
        return self._service.write_audio(payload, time_ms=time_ms)

    def write_key(self, key: str) -> str:
        """Write a key."""
        return self._service.write_key(key)

    def write_mark(self, name: str) -> str | None:
        """Answer a mark."""
        return self._service.write_mark(name)

    def write_stop(self) -> str | None:
        """Write that the call is over."""
        return self._service.write_stop()

    def parse(self, message: str | bytes) -> Audio | MarkPlayed | str | None:
        """Read what the bot sends."""
        return self._service.parse(message)


def unix_ms() -> float:
    """Return the time of day in milliseconds, as services stamp audio."""
    return time.time() * 1000.0
