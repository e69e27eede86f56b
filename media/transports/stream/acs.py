"""Azure Communication Services' audio streaming: JSON and base64 PCM over a WebSocket.

Source: Microsoft's documents on Call Automation audio streaming, and the messages of its SDKs for
.NET, Java and JavaScript, which spell them differently: read in any case, written as .NET does.
"""

from __future__ import annotations

import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..base import RemoteProtocolError
from .dialect import (
    MAX_NAME_CHARS,
    Audio,
    Event,
    Ignored,
    KeyPressed,
    MarkPlayed,
    Started,
    StreamFormat,
    check_format,
    lowered,
    read_base64,
    read_key,
    read_name,
    read_object,
    shown,
)

FRAME_BYTES: Final = {16_000: 640, 24_000: 960}
"""What a message of 20 ms carries at the rates that the service offers."""

STOP_AUDIO: Final = '{"Kind":"StopAudio","AudioData":null,"StopAudio":{}}'
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
OTHER_KINDS: Final = frozenset(
    {"dtmfmetadata", "transcriptionmetadata", "transcriptiondata", "audiostreamingmetadata"}
)
"""Known, and of no use to audio."""


class AcsDialect:
    """The bot's end of a stream of Azure Communication Services."""

    name = "acs"
    marks = False
    resumes = True
    steady = False

    def parse(self, message: str | bytes) -> Event:
        """Read one message of the service; see :class:`~.dialect.Dialect`."""
        members = lowered(read_object(message), "message")
        said = members.get("kind")
        kind = said.lower() if isinstance(said, str) else ""
        if kind == "audiodata":
            return self._audio(lowered(members.get("audiodata"), "audioData"))
        if kind == "audiometadata":
            return _metadata(lowered(members.get("audiometadata"), "audioMetadata"))
        if kind == "dtmfdata":
            body = lowered(members.get("dtmfdata"), "dtmfData")
            speaker = read_name(body.get("participantrawid"), "participantRawID")
            return KeyPressed(read_key(body.get("data")), speaker)
        if kind == "markdata":
            return _mark(lowered(members.get("markdata"), "markData"))
        if kind in OTHER_KINDS:
            return Ignored(kind)
        if not kind:
            raise RemoteProtocolError(f"expected a message with a kind, got {shown(said)}")
        return Ignored("unknown")

    def write_audio(self, payload: bytes) -> str:
        """Write a frame for the service to play, in the negotiated rate."""
        data = binascii.b2a_base64(payload, newline=False).decode()
        return f'{{"Kind":"AudioData","AudioData":{{"Data":"{data}"}},"StopAudio":null}}'

    def write_mark(self, name: str) -> str | None:
        """Return None: marks are in beta, and in .NET's SDK alone."""
        return None

    def write_clear(self) -> str:
        """Write that the service shall drop what it has not played."""
        return STOP_AUDIO

    def _audio(self, body: dict[str, Any]) -> Audio:
        return Audio(
            read_base64(body.get("data"), "audioData.data"),
            read_name(body.get("participantrawid"), "participantRawID"),
            _time_ms(body.get("timestamp")),
            # Absent is not silent: the service leaves it out of audible frames, too.
            body.get("silent", body.get("issilent")) is True,
        )


def _metadata(body: dict[str, Any]) -> Started:
    encoding = body.get("encoding", "PCM")
    rate_hz, channels = body.get("samplerate"), body.get("channels", 1)
    frame_bytes = body.get("length", 0)
    if not isinstance(encoding, str) or encoding.lower() != "pcm":
        raise RemoteProtocolError(f"audioMetadata: expected encoding PCM, got {shown(encoding)}")
    frame_bytes = 0 if frame_bytes is None else frame_bytes
    check_format("audioMetadata", rate_hz, channels, frame_bytes)
    assert isinstance(rate_hz, int)
    subscription_id = read_name(body.get("subscriptionid"), "audioMetadata.subscriptionId")
    return Started(StreamFormat("pcm", rate_hz, frame_bytes), subscription_id)


def _mark(body: dict[str, Any]) -> MarkPlayed:
    name = read_name(body.get("id"), "markData.id", MAX_NAME_CHARS)
    status = body.get("status")
    status = status.lower() if isinstance(status, str) else ""
    if name is None or status not in ("completed", "cancelled", "canceled"):
        raise RemoteProtocolError(
            f"markData: expected an id and a status, got {shown(body.get('status'))}"
        )
    return MarkPlayed(name, status == "completed")


def _time_ms(value: object) -> float | None:
    """Read an ISO 8601 time with up to seven digits of a second; None when there is none."""
    if not isinstance(value, str) or not 10 < len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return (moment - EPOCH) / MILLISECOND
    except OverflowError:
        return None


class AcsService:
    """The service's end, for simulators and tests: spelled as the service does."""

    def __init__(self, rate_hz: int = 16_000, subscription_id: str = "simulated") -> None:
        if rate_hz not in FRAME_BYTES:
            raise ValueError(f"expected a rate of 16000 or 24000 Hz, got {rate_hz}")
        self.format = StreamFormat("pcm", rate_hz, FRAME_BYTES[rate_hz])
        self._subscription_id = subscription_id

    def write_start(self) -> list[str]:
        """Write what comes first on each socket."""
        metadata = {
            "subscriptionId": self._subscription_id,
            "encoding": "PCM",
            "sampleRate": self.format.rate_hz,
            "channels": 1,
            "length": self.format.frame_bytes,
        }
        return [_compact({"kind": "AudioMetadata", "audioMetadata": metadata})]

    def write_audio(
        self, payload: bytes, *, time_ms: float, speaker: str | None = None, silent: bool = False
    ) -> str:
        """Write a frame of a participant, or of the mix."""
        moment = EPOCH + timedelta(milliseconds=time_ms)
        body: dict[str, Any] = {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        if speaker is not None:
            body["participantRawID"] = speaker
        body["data"] = binascii.b2a_base64(payload, newline=False).decode()
        body["silent"] = silent
        return _compact({"kind": "AudioData", "audioData": body})

    def write_key(self, key: str) -> str:
        """Write that somebody pressed *key*."""
        return _compact({"kind": "DtmfData", "dtmfData": {"data": key}})

    def parse(self, message: str | bytes) -> Audio | str | None:
        """Read a bot's message: audio, "clear", or None for what the service would not know.

        Raises: RemoteProtocolError.
        """
        members = lowered(read_object(message), "message")
        said = members.get("kind")
        kind = said.lower() if isinstance(said, str) else ""
        if kind == "audiodata":
            body = lowered(members.get("audiodata"), "AudioData")
            return Audio(read_base64(body.get("data"), "AudioData.Data"))
        return "clear" if kind == "stopaudio" else None


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
