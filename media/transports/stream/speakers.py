"""What comes in: one playout for the mix, and one for each speaker that comes apart."""

from __future__ import annotations

from typing import Final

from ...bridge import Leg
from ...pcm import FLAG_SILENCE, FRAME_SAMPLES, FRAME_TICKS
from ...peer import Peer, PeerSettings
from ...platform import MediaPlatform
from ..base import SpeakerLegs
from .dialect import Audio, StreamFormat
from .framing import FrameReader, MediaTime

STREAM_PEER: Final = PeerSettings(payload_types={0: "pcm16k"}, codec=None, secure=False)
"""Frames come in as they are, and this peer is never sent to: a WebSocket is no datagram."""

FIRST_SPEAKER_ID: Final = 16
"""Speakers have names here, not numbers; below are the session's own legs."""
MAX_SPEAKERS: Final = 32
"""ACS sends four at a time; who was longest quiet makes room for one more."""
MAX_NAMES: Final = 1024
"""Speakers of one stream in all its time: each is remembered, here and by who listens."""
OPENED_A_TICK: Final = 8
"""Speakers who are let in at once: each costs milliseconds of the loop, which is for all calls."""
TICKS_A_MS: Final = 10_000


class Inlet:
    """One speaker's audio, or the mix, on its way into a leg. Thread: the loop's."""

    def __init__(self, platform: MediaPlatform, leg: Leg, form: StreamFormat) -> None:
        self._leg = leg
        self._reader = FrameReader(form)
        self._time = MediaTime()
        self._sequence = 0
        self._timestamp_samples = 0
        self.heard_at = 0
        """When audio last came, in ticks of the engine's clock."""
        self.reframed = 0
        self.paused_frames = 0
        self.peer: Peer = platform.make_peer(STREAM_PEER)
        leg.attach(self.peer)

    def set_format(self, form: StreamFormat) -> None:
        """Take audio in another format from now on; the timeline goes on."""
        self._reader = FrameReader(form)

    def take(self, audio: Audio, now: int) -> int:
        """Hand over what came; return how many frames it made."""
        if not self._reader.is_whole(audio.payload):
            self.reframed += 1
        frames = self._reader.push(audio.payload)
        self.heard_at = now
        if not frames:
            return 0
        paused = self._time.place(len(frames), audio.time_ms, now / TICKS_A_MS)
        self.paused_frames += paused
        self._timestamp_samples += paused * FRAME_SAMPLES
        flags = FLAG_SILENCE if audio.silent else 0
        for frame in frames:
            self.peer.push(
                frame,
                sequence=self._sequence,
                timestamp_samples=self._timestamp_samples,
                flags=flags,
            )
            self._sequence += 1
            self._timestamp_samples += FRAME_SAMPLES
        return len(frames)


class Inlets:
    """The mix's inlet, and the speakers' by the far end's names for them.

    A name keeps its source id for as long as the stream lives, also when its leg made room for
    another's and came back. Thread: the loop's.
    """

    def __init__(
        self, platform: MediaPlatform, leg: Leg, speakers: SpeakerLegs, form: StreamFormat
    ) -> None:
        self._platform = platform
        self._speakers = speakers
        self._form = form
        self._mixed = Inlet(platform, leg, form)
        self._ids: dict[str, int] = {}
        self._inlets: dict[str, Inlet] = {}
        self.displaced = 0
        self.refused_frames = 0
        """Messages with audio of speakers who were too many."""
        self._opening_since, self._may_open = 0, OPENED_A_TICK

    @property
    def has_speakers(self) -> bool:
        """Whether any speaker came apart so far."""
        return bool(self._ids)

    @property
    def inlets(self) -> tuple[Inlet, ...]:
        """All that is open now: the mix's, and then the speakers'."""
        return (self._mixed, *self._inlets.values())

    def source_ids(self) -> dict[str, int]:
        """Return the source ids of the speakers by their names."""
        return dict(self._ids)

    def set_format(self, form: StreamFormat) -> None:
        """Take audio in another format from now on."""
        if form == self._form:
            return
        self._form = form
        for inlet in self.inlets:
            inlet.set_format(form)

    def expect(self, speaker: str) -> None:
        """Open the leg of a speaker before anything is heard of them."""
        self._inlet(speaker)

    def take(self, audio: Audio, now: int) -> int:
        """Hand over what came; return how many frames it made."""
        if now - self._opening_since >= FRAME_TICKS:
            self._opening_since, self._may_open = now, OPENED_A_TICK
        inlet = self._mixed if audio.speaker is None else self._inlet(audio.speaker)
        if inlet is None:
            self.refused_frames += 1
            return 0
        return inlet.take(audio, now)

    def _inlet(self, name: str) -> Inlet | None:
        """Return a speaker's inlet, made now if there is none; None: too many came, or at once."""
        inlet = self._inlets.get(name)
        if inlet is not None:
            return inlet
        if not self._may_open or (name not in self._ids and len(self._ids) >= MAX_NAMES):
            return None
        self._may_open -= 1
        if len(self._inlets) >= MAX_SPEAKERS:
            self._displace()
        source_id = self._ids.setdefault(name, FIRST_SPEAKER_ID + len(self._ids))
        leg = self._speakers.open_speaker(source_id, name)
        inlet = self._inlets[name] = Inlet(self._platform, leg, self._form)
        return inlet

    def _displace(self) -> None:
        quietest = min(self._inlets, key=lambda name: self._inlets[name].heard_at)
        del self._inlets[quietest]
        self._speakers.close_speaker(self._ids[quietest])
        self.displaced += 1
