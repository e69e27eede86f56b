"""Twilio Media Streams: JSON and base64 mu-law of 8 kHz over a WebSocket.

Source: Twilio's documents, "Media Streams - WebSocket messages".
"""

from __future__ import annotations

import binascii
import json
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
    Stopped,
    StreamFormat,
    check_format,
    check_mark_name,
    lowered,
    read_base64,
    read_key,
    read_name,
    read_object,
    shown,
)

ENCODING: Final = "audio/x-mulaw"
FORMAT: Final = StreamFormat("mulaw", 8_000, 160)
LISTEN_PARAMETER: Final = "mixminus"
"""A custom parameter of that name, with the value ``listen``: nothing is to be sent."""
MAX_PARAMETERS: Final = 64
MAX_TRACKS: Final = 2
TRACKS: Final = ("inbound", "outbound")
MAX_TIME_MS: Final = 2**53


class TwilioDialect:
    """The bot's end of a stream of Twilio's."""

    name = "twilio"
    marks = True
    resumes = False
    steady = True

    def __init__(self) -> None:
        self._stream_id: str | None = None
        self._tracks: tuple[str, ...] = ()

    def parse(self, message: str | bytes) -> Event:
        """Read one message of Twilio's; see :class:`~.dialect.Dialect`."""
        members = lowered(read_object(message), "message")
        kind = members.get("event")
        if not isinstance(kind, str) or not kind:
            raise RemoteProtocolError(f"expected a message with an event, got {shown(kind)}")
        match kind:
            case "media":
                return self._media(lowered(members.get("media"), "media"))
            case "start":
                return self._start(members)
            case "dtmf":
                body = lowered(members.get("dtmf"), "dtmf")
                return KeyPressed(read_key(body.get("digit")))
            case "mark":
                body = lowered(members.get("mark"), "mark")
                name = read_name(body.get("name"), "mark.name", MAX_NAME_CHARS)
                if name is None:
                    raise RemoteProtocolError("mark: expected a name, got none")
                # The same answer comes for what was played and for what a clear dropped.
                return MarkPlayed(name, None)
            case "stop":
                return Stopped("Twilio stopped the stream")
            case "connected":
                return Ignored("connected")
            case _:
                return Ignored("unknown")

    def write_audio(self, payload: bytes) -> str:
        """Write a frame of mu-law for Twilio to play."""
        data = binascii.b2a_base64(payload, newline=False).decode()
        return f'{{"event":"media","streamSid":{self._sid()},"media":{{"payload":"{data}"}}}}'

    def write_mark(self, name: str) -> str | None:
        """Write a mark.

        Raises: ValueError on a name that is empty or too long.
        """
        check_mark_name(name)
        mark = json.dumps({"name": name}, separators=(",", ":"))
        return f'{{"event":"mark","streamSid":{self._sid()},"mark":{mark}}}'

    def write_clear(self) -> str:
        """Write that Twilio shall drop what it has not played."""
        return f'{{"event":"clear","streamSid":{self._sid()}}}'

    def _sid(self) -> str:
        if self._stream_id is None:
            raise RuntimeError("the stream has not started: there is no streamSid yet")
        return json.dumps(self._stream_id)

    def _start(self, members: dict[str, Any]) -> Started:
        body = lowered(members.get("start"), "start")
        form = lowered(body.get("mediaformat", {}), "start.mediaFormat")
        encoding = form.get("encoding", ENCODING)
        if encoding != ENCODING:
            raise RemoteProtocolError(f"start: expected {ENCODING}, got {shown(encoding)}")
        rate_hz = form.get("samplerate", FORMAT.rate_hz)
        if rate_hz != FORMAT.rate_hz:
            raise RemoteProtocolError(f"start: expected {FORMAT.rate_hz} Hz, got {shown(rate_hz)}")
        check_format("start", rate_hz, form.get("channels", 1), FORMAT.frame_bytes)
        sid = body.get("streamsid", members.get("streamsid"))
        stream_id = read_name(sid, "start.streamSid")
        if stream_id is None:
            raise RemoteProtocolError("start: expected a streamSid, got none")
        tracks = body.get("tracks") or ["inbound"]
        if not isinstance(tracks, list) or not all(track in TRACKS for track in tracks):
            raise RemoteProtocolError(f"start: expected tracks of {TRACKS}, got {shown(tracks)}")
        self._stream_id = stream_id
        self._tracks = tuple(dict.fromkeys(tracks))
        parameters = _parameters(body.get("customparameters"))
        # Only <Connect><Stream> takes audio, and it has one track. <Start><Stream> with one track
        # looks the same, so who writes the TwiML says so.
        takes_audio = len(self._tracks) == 1 and parameters.get(LISTEN_PARAMETER) != "listen"
        return Started(
            FORMAT,
            stream_id,
            read_name(body.get("callsid"), "start.callSid"),
            self._tracks if len(self._tracks) > 1 else (),
            parameters,
            takes_audio,
        )

    def _media(self, body: dict[str, Any]) -> Audio:
        track = body.get("track", "inbound")
        if track not in TRACKS:
            raise RemoteProtocolError(f"media: expected a track of {TRACKS}, got {shown(track)}")
        return Audio(
            read_base64(body.get("payload"), "media.payload"),
            track if len(self._tracks) > 1 else None,
            _time_ms(body.get("timestamp")),
        )


def _parameters(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    texts = [(name, text) for name, text in value.items() if isinstance(text, str)]
    return {name[:MAX_NAME_CHARS]: text[:MAX_NAME_CHARS] for name, text in texts[:MAX_PARAMETERS]}


def _time_ms(value: object) -> float | None:
    """Read milliseconds since the stream's start, which Twilio writes as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_TIME_MS:
        return None
    return float(value)


class TwilioService:
    """Twilio's end, for simulators and tests."""

    format = FORMAT

    def __init__(
        self,
        *,
        stream_id: str = "MZ00000000000000000000000000000000",
        call_id: str = "CA00000000000000000000000000000000",
        parameters: dict[str, str] | None = None,
    ) -> None:
        self._stream_id, self._call_id = stream_id, call_id
        self._parameters = parameters or {}
        self._sequence = 0
        self._chunk = 0
        self._started_ms: float | None = None

    def write_start(self) -> list[str]:
        """Write what comes first on a socket."""
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        start = {
            "streamSid": self._stream_id,
            "accountSid": "AC00000000000000000000000000000000",
            "callSid": self._call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": ENCODING, "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        return [_compact(connected), self._message("start", start)]

    def write_audio(
        self, payload: bytes, *, time_ms: float, speaker: str | None = None, silent: bool = False
    ) -> str:
        """Write a frame of the caller's; Twilio tells no speakers and no silence."""
        self._started_ms = time_ms if self._started_ms is None else self._started_ms
        self._chunk += 1
        body = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(round(time_ms - self._started_ms)),
            "payload": binascii.b2a_base64(payload, newline=False).decode(),
        }
        return self._message("media", body)

    def write_key(self, key: str) -> str:
        """Write that the caller pressed *key*."""
        return self._message("dtmf", {"track": "inbound_track", "digit": key})

    def write_mark(self, name: str) -> str:
        """Answer a mark."""
        return self._message("mark", {"name": name})

    def write_stop(self) -> str:
        """Write that the call is over."""
        return self._message("stop", {"callSid": self._call_id})

    def parse(self, message: str | bytes) -> Audio | MarkPlayed | str | None:
        """Read a bot's message: audio, a mark to be answered, "clear", or None for others.

        Raises: RemoteProtocolError, also for another stream's.
        """
        members = lowered(read_object(message), "message")
        kind = members.get("event")
        if kind not in ("media", "mark", "clear"):
            return None
        if members.get("streamsid") != self._stream_id:
            raise RemoteProtocolError(
                f"expected streamSid {self._stream_id}, got {shown(members.get('streamsid'))}"
            )
        if kind == "media":
            body = lowered(members.get("media"), "media")
            return Audio(read_base64(body.get("payload"), "media.payload"))
        if kind == "mark":
            name = lowered(members.get("mark"), "mark").get("name")
            return MarkPlayed(read_name(name, "mark.name", MAX_NAME_CHARS) or "", None)
        return "clear"

    def _message(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return _compact(
            {
                "event": event,
                "sequenceNumber": str(self._sequence),
                "streamSid": self._stream_id,
                event: body,
            }
        )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
