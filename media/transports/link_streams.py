"""The streams of a media link: a leg's frames in records, and records in a leg's playout."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..bridge import Leg
from ..pcm import FRAME_SAMPLES, FRAME_TICKS, KNOWN_FLAGS
from ..peer import Peer, PeerSettings
from ..platform import MediaPlatform
from .base import SpeakerLegs
from .link_frames import (
    KIND_AUDIO,
    SILENT_PAYLOAD,
    THE_CALL,
    U32,
    U64,
    Record,
    pack,
)

MAX_STREAMS: Final = 256
"""Speakers of one link. A far end could name four thousand million, and each costs a leg."""

OPENED_A_TICK: Final = 8
"""Streams that begin at once; of more the next frames are waited for. To open and close a leg takes
a millisecond of the loop, and a message could ask for nine hundred."""

IDLE_NS: Final = 5_000_000_000
"""Both ends send 50 messages a second, so 5 s without one is a dead far end, or speaker."""

LINK_PEER: Final = PeerSettings(payload_types={0: "pcm16k"}, codec=None, secure=False)
"""Frames come in as they are, and this peer is never sent to: a WebSocket is no datagram."""


class Timeline:
    """Numbers the ticks of what one end sends: the same in all its streams, sent or not."""

    def __init__(self) -> None:
        self._first_timestamp: int | None = None

    def audio(
        self,
        epoch: int,
        stream: int,
        timestamp: int,
        flags: int,
        speakers: tuple[int, ...],
        payload: bytes,
    ) -> bytes:
        """Pack one frame. One of zeros goes without its payload."""
        if self._first_timestamp is None:
            self._first_timestamp = timestamp
        return pack(
            Record(
                KIND_AUDIO,
                flags & KNOWN_FLAGS,
                THE_CALL,
                epoch,
                stream,
                # One number a tick of the timeline: a dropped frame leaves a hole that is seen.
                (timestamp - self._first_timestamp) // FRAME_TICKS & U32,
                timestamp & U64,
                speakers,
                b"" if payload == SILENT_PAYLOAD else payload,
            )
        )


class InStream:
    """One stream of the far end, in order, into the peer of the leg that plays it."""

    def __init__(self, peer: Peer, counts: Counter[str], counted_as: str) -> None:
        self.peer = peer
        self.pushed_frames = 0
        """Frames given to the playout so far."""
        self._counts, self._counted_as = counts, counted_as
        self._next_sequence: int | None = None

    def restart(self) -> None:
        """Expect another beginning: the far end is another process."""
        self._next_sequence = None

    def take(self, record: Record) -> None:
        """Give an audio record to the playout; what goes backwards is counted and dropped."""
        sequence = record.sequence
        if self._next_sequence is not None:
            ahead = (sequence - self._next_sequence) & U32
            if ahead > U32 // 2:
                # A WebSocket keeps order; to the playout a step back would be another stream.
                self._counts["out_of_order"] += 1
                return
            self._counts["missing"] += ahead
        self._next_sequence = (sequence + 1) & U32
        self._counts[self._counted_as] += 1
        self.pushed_frames += 1
        self.peer.push(
            record.payload or SILENT_PAYLOAD,
            sequence=sequence,
            # Sequence counts the sender's ticks, sent or not: media time without a clock's wobble.
            timestamp_samples=sequence * FRAME_SAMPLES & U32,
            flags=record.flags & KNOWN_FLAGS,
            speakers=record.speakers,
        )

    @property
    def played_frames(self) -> int:
        """How many of the frames given to the playout have left it again, played or dropped."""
        counts = self.peer.counters()
        return counts["packets"] + counts["lapped"] - counts["buffered"]


class SpeakerStreams:
    """The streams of single speakers, each into a leg that the session opens for it.

    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, legs: SpeakerLegs, counts: Counter[str]) -> None:
        self._platform, self._legs, self._counts = platform, legs, counts
        self._streams: dict[int, InStream] = {}
        self._heard_ns: dict[int, int] = {}
        self._now_ns = self._looked_ns = 0
        self._may_open = OPENED_A_TICK

    def __len__(self) -> int:
        return len(self._streams)

    def take(self, record: Record) -> None:
        """Take an audio record of a speaker, who is known from then on."""
        stream = self._streams.get(record.stream)
        if stream is None:
            stream = self._open(record.stream)
            if stream is None:
                self._counts["other_stream"] += 1
                return
        self._heard_ns[record.stream] = self._now_ns
        stream.take(record)

    def end(self, stream_id: int) -> None:
        """Let a speaker go. One who is not there is no error."""
        if self._streams.pop(stream_id, None) is not None:
            del self._heard_ns[stream_id]
            self._legs.close_speaker(stream_id)

    def end_all(self) -> None:
        """Let all speakers go."""
        for stream_id in tuple(self._streams):
            self.end(stream_id)

    def restart(self, *, is_other: bool) -> None:
        """Go on after a break, in which nobody could be heard; *is_other*: from another process."""
        for stream_id, stream in self._streams.items():
            self._heard_ns[stream_id] = self._now_ns
            if is_other:
                stream.restart()

    def pass_time(self, passed_ns: int) -> None:
        """Let those go of whom nothing came for 5 s: their goodbye was lost."""
        self._now_ns += passed_ns
        self._may_open = OPENED_A_TICK
        if self._now_ns - self._looked_ns > IDLE_NS:
            self._looked_ns = self._now_ns
            for stream_id, heard_ns in tuple(self._heard_ns.items()):
                if self._now_ns - heard_ns > IDLE_NS:
                    self.end(stream_id)

    def _open(self, stream_id: int) -> InStream | None:
        if len(self._streams) >= MAX_STREAMS or not self._may_open:
            return None
        self._may_open -= 1
        try:
            leg = self._legs.open_speaker(stream_id)
            peer = attach_peer(self._platform, leg)
        except RuntimeError:
            return None  # The session has just ended.
        stream = InStream(peer, self._counts, "speaker_frames_in")
        self._streams[stream_id] = stream
        return stream


def attach_peer(platform: MediaPlatform, leg: Leg) -> Peer:
    """Give *leg* the playout of a link's stream. Raises: RuntimeError when the leg is closed."""
    peer = platform.make_peer(LINK_PEER)
    leg.attach(peer)
    return peer
