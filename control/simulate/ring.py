"""Ring a bot as a telephony service does: a file in, what the bot says out, in real time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mixminus.media.pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import WavWriter
from mixminus.media.transports.base import RemoteProtocolError
from mixminus.media.transports.message_socket import ClientSocket, SocketClosedError
from mixminus.media.transports.stream import Audio, StreamFormat, connect_socket
from mixminus.media.transports.stream.dialect import MarkPlayed
from mixminus.media.transports.stream.framing import FrameReader, FrameWriter

from .playback import Playback
from .report import SimulationReport, echo_of
from .services import Service, unix_ms

OUTAGE_S: Final = 0.5
"""How long a service takes to open another socket."""
KEYS_AFTER_S: Final = 1.0
KEY_EVERY_S: Final = 0.4
TICKS_PER_S: Final = 1000 // FRAME_MS
TAIL_S: Final = 1.0
"""What the bot may still say after the file, if no duration was given."""


@dataclass(frozen=True, slots=True)
class RingOptions:
    """What a simulated call is like.

    ``speakers`` are what is said, one array a speaker, (n,) int16 at 16 kHz; apart or, without
    ``is_unmixed``, added up.
    """

    url: str
    speakers: Sequence[Pcm]
    duration_s: float | None = None
    is_unmixed: bool = False
    keys: str = ""
    reconnect_after_s: float | None = None
    heard_file: Path | None = None

    @property
    def seconds(self) -> float:
        """How long the call lasts, unless the bot ends it."""
        longest = max(pcm.size for pcm in self.speakers) / SAMPLE_RATE_HZ
        return self.duration_s or longest + TAIL_S


async def ring(
    service: Service,
    options: RingOptions,
    ssl_context: ssl.SSLContext,
    *,
    on_second: Callable[[float], None] | None = None,
) -> SimulationReport:
    """Make one call, and return what came of it. *on_second* is told each second that has passed.

    Raises: StreamError when the bot cannot be reached; OSError when the file cannot be written.
    """
    call = _Call(service, options, ssl_context, on_second)
    try:
        await call.run()
    finally:
        await call.close()
    return call.report()


class _Call:
    def __init__(
        self,
        service: Service,
        options: RingOptions,
        ssl_context: ssl.SSLContext,
        on_second: Callable[[float], None] | None,
    ) -> None:
        self._service, self._options, self._ssl = service, options, ssl_context
        self._on_second = on_second
        self._ticks = round(options.seconds * 1000 / FRAME_MS)
        self._sources = _sources(options, self._ticks)
        self._writers = [FrameWriter(service.format) for _ in self._sources]
        self._reader = FrameReader(service.format)
        self._playback = Playback()
        self._heard: list[Pcm] = []
        self._socket: ClientSocket | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._ended: str | None = None
        self._close_code: int | None = None
        self._messages: list[str] = []
        self._sent = self._received = self._reframed = self._malformed = 0
        self._clears = self._marks = self._reconnects = 0
        self._latest_s = 0.0

    async def run(self) -> None:
        await self._connect()
        loop = asyncio.get_running_loop()
        begin_s, begin_ms = loop.time(), unix_ms()
        back_at: int | None = None
        drop_at = _tick_of(self._options.reconnect_after_s)
        keys = {
            round((KEYS_AFTER_S + n * KEY_EVERY_S) * 1000 / FRAME_MS): key
            for n, key in enumerate(self._options.keys)
        }
        for tick in range(self._ticks):
            due_s = begin_s + tick * FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self._latest_s = max(self._latest_s, loop.time() - due_s)
            if self._on_second is not None and tick % TICKS_PER_S == 0:
                self._on_second(tick / TICKS_PER_S)
            if tick == drop_at:
                await self._drop()
                back_at = tick + _tick_of(OUTAGE_S, 1)
            if tick == back_at:
                await self._connect()
                self._reconnects += 1
                back_at = None
            self._play()
            if self._socket is None:
                if back_at is None:
                    break
                continue
            if tick in keys:
                self._messages.append(self._service.write_key(keys[tick]))
            self._say(tick, begin_ms + tick * FRAME_MS)
            await self._flush()

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            stop = self._service.write_stop()
            try:
                if stop is not None:
                    await socket.send(stop)
            except SocketClosedError as exc:
                self._ended = str(exc)
            await socket.close()
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.gather(self._receiver, return_exceptions=True)

    def report(self) -> SimulationReport:
        heard = np.concatenate(self._heard) if self._heard else np.zeros(0, np.int16)
        if self._options.heard_file is not None:
            with WavWriter(self._options.heard_file) as file:
                file.write(heard)
        played = np.clip(np.sum(self._sources, axis=0, dtype=np.int32), -32768, 32767)
        reference = _through(self._service.format, played.astype(np.int16).reshape(-1))
        playback = self._playback
        return SimulationReport(
            service=self._service.name,
            call_id=self._service.call_id,
            stream_id=self._service.stream_id,
            seconds=len(self._heard) * FRAME_MS / 1000,
            sent_frames=self._sent,
            received_frames=self._received,
            reframed=self._reframed,
            malformed=self._malformed,
            gaps=playback.gaps,
            longest_gap_ms=playback.longest_gap_ms,
            most_waiting_ms=playback.most_waiting_frames * FRAME_MS,
            clears=self._clears,
            marks=self._marks,
            reconnects=self._reconnects,
            sender_late_ms=self._latest_s * 1000,
            echo=echo_of(reference, heard),
            ended_by_bot=self._ended,
            close_code=self._close_code,
        )

    async def _connect(self) -> None:
        url = self._options.url
        headers = self._service.headers(url)
        self._socket = await connect_socket(url, ssl_context=self._ssl, headers=headers)
        self._receiver = asyncio.create_task(self._receive(self._socket), name="simulator receive")
        self._messages[:0] = self._service.write_start()

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            return
        socket.drop()
        if self._receiver is not None:
            await asyncio.gather(self._receiver, return_exceptions=True)
        self._playback.clear()

    def _say(self, tick: int, time_ms: float) -> None:
        is_unmixed = self._options.is_unmixed
        for number, (frames, writer) in enumerate(zip(self._sources, self._writers, strict=True)):
            payload = writer.push(frames[tick].tobytes())
            speaker = number + 1 if is_unmixed else None
            self._messages.append(self._service.write_audio(payload, time_ms, speaker))
            self._sent += 1

    def _play(self) -> None:
        pcm, marks = self._playback.tick()
        self._heard.append(pcm)
        self._answer(marks)

    def _answer(self, marks: Sequence[str]) -> None:
        answers = [self._service.write_mark(name) for name in marks]
        self._messages += [answer for answer in answers if answer is not None]

    async def _flush(self) -> None:
        messages, self._messages = self._messages, []
        socket = self._socket
        if socket is None:
            return
        try:
            for message in messages:
                await socket.send(message)
        except SocketClosedError as exc:
            self._lose(socket, exc)

    async def _receive(self, socket: ClientSocket) -> None:
        while True:
            try:
                message = await socket.receive()
            except SocketClosedError as exc:
                self._lose(socket, exc)
                return
            try:
                self._take(self._service.parse(message))
            except RemoteProtocolError:
                self._malformed += 1

    def _take(self, said: Audio | MarkPlayed | str | None) -> None:
        if isinstance(said, Audio):
            self._reframed += not self._reader.is_whole(said.payload)
            for frame in self._reader.push(said.payload):
                self._received += 1
                self._playback.push(np.frombuffer(frame, np.int16))
        elif isinstance(said, MarkPlayed):
            self._marks += 1
            self._playback.mark(said.name)
        elif said == "clear":
            self._clears += 1
            self._answer(self._playback.clear())
        else:
            self._malformed += 1

    def _lose(self, socket: ClientSocket, exc: SocketClosedError) -> None:
        if self._socket is socket:
            self._socket = None
            self._ended, self._close_code = str(exc), exc.code


def _sources(options: RingOptions, ticks: int) -> list[Pcm]:
    """Return what each speaker says in each tick: (ticks, 320) int16; added up unless apart."""
    samples = ticks * FRAME_SAMPLES
    padded = []
    for pcm in options.speakers:
        said = np.zeros(samples, np.int16)
        said[: min(pcm.size, samples)] = pcm[:samples]
        padded.append(said)
    if not options.is_unmixed:
        total = np.sum(padded, axis=0, dtype=np.int32)
        padded = [np.clip(total, -32768, 32767).astype(np.int16)]
    return [said.reshape(ticks, FRAME_SAMPLES) for said in padded]


def _through(form: StreamFormat, pcm: Pcm) -> Pcm:
    """Return *pcm* as a stream of that format carries it, and brings it back."""
    writer, reader = FrameWriter(form), FrameReader(form)
    back = [
        np.frombuffer(frame, np.int16)
        for start in range(0, pcm.size, FRAME_SAMPLES)
        for frame in reader.push(writer.push(pcm[start : start + FRAME_SAMPLES].tobytes()))
    ]
    return np.concatenate(back) if back else np.zeros(0, np.int16)


def _tick_of(seconds: float | None, least: int = 0) -> int:
    """Return the number of the tick at *seconds*; -1 for never."""
    return -1 if seconds is None else max(least, round(seconds * 1000 / FRAME_MS))
