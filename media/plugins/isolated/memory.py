"""The memory that a child shares with its host: one place a stream, one writer at a time.

A place's ``asked`` is the host's, ``answered`` the child's. As long as they differ the child owns
the place, else the host does. The eventfd that is written after each of the two orders the writes.
"""

from __future__ import annotations

import mmap
import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...pcm import FRAME_SAMPLES, AudioFrame, Pcm

PLACES: Final = 256
"""Streams that one child serves."""
MESSAGE_BYTES: Final = 240
MAX_SPEAKERS: Final = 8

CHANGED, UNCHANGED, FAILED, LEFT = 1, 2, 3, 4
"""What became of a frame in the child; ``LEFT``: nothing, nobody works on it any more."""

PLACE: Final = np.dtype(
    [
        ("asked", np.uint64),
        ("answered", np.uint64),
        ("timestamp", np.int64),
        ("own_ns", np.int64),
        ("flags", np.uint32),
        ("outcome", np.uint32),
        ("speaker_count", np.uint32),
        ("speakers", np.uint32, (MAX_SPEAKERS,)),
        ("message_bytes", np.uint32),
        ("message", np.uint8, (MESSAGE_BYTES,)),
        ("given", np.int16, (FRAME_SAMPLES,)),
        ("made", np.int16, (FRAME_SAMPLES,)),
    ],
    align=True,
)


class SharedPlaces:
    """All places, over a file descriptor of anonymous memory that the two processes share."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, PLACE.itemsize * PLACES)
        places: NDArray[Any] = np.frombuffer(self._memory, PLACE)
        self.asked: NDArray[np.uint64] = places["asked"]
        self.answered: NDArray[np.uint64] = places["answered"]
        self._places = places

    @staticmethod
    def create() -> int:
        """Make the memory; return its descriptor."""
        descriptor = os.memfd_create("mixminus-plugin", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, PLACE.itemsize * PLACES)
        return descriptor

    def place(self, index: int) -> Place:
        """Return one stream's place."""
        return Place(self, self._places[index : index + 1], index)

    def waiting(self) -> NDArray[np.intp]:
        """Return the places that the child has to answer."""
        return np.flatnonzero(self.asked != self.answered)

    def leave(self, places: NDArray[np.intp]) -> None:
        """Answer for whoever should have, and will not: what stands there is of frames before."""
        self._places["outcome"][places] = LEFT
        self.answered[places] = self.asked[places]


class Place:
    """One stream's place: views of its members, made once."""

    def __init__(self, places: SharedPlaces, place: NDArray[Any], index: int) -> None:
        self._asked, self._answered, self._index = places.asked, places.answered, index
        self._place = place
        self._given: Pcm = place["given"][0]
        self._made: Pcm = place["made"][0]
        self._message: NDArray[np.uint8] = place["message"][0]

        self._serving = np.uint64(0)

    # The host's side.

    @property
    def last_number(self) -> int:
        """The number of the last request, whoever's it was."""
        return int(self._asked[self._index])

    def ask(self, number: int, frame: AudioFrame) -> None:
        """Give *frame* to the child as request *number*, which is not the last one's."""
        self._given[:] = frame
        speakers = frame.active_speakers[:MAX_SPEAKERS]
        place = self._place
        place["timestamp"] = frame.timestamp
        place["flags"] = frame.frame_flags
        place["speaker_count"] = len(speakers)
        if speakers:
            place["speakers"][0, : len(speakers)] = speakers
        self._asked[self._index] = number

    def is_answered(self, number: int) -> bool:
        """Say whether request *number* is answered."""
        return int(self._answered[self._index]) == number

    def answer(self) -> tuple[int, int, str]:
        """Return the outcome, the plugin's own time in ns, and what it failed with."""
        place = self._place
        outcome, message = int(place["outcome"][0]), ""
        if outcome == LEFT:
            return LEFT, 0, ""
        if outcome == FAILED:
            length = min(int(place["message_bytes"][0]), MESSAGE_BYTES)
            message = self._message[:length].tobytes().decode(errors="replace")
        return outcome, int(place["own_ns"][0]), message

    def made(self) -> Pcm:
        """Return a copy of the frame that came back."""
        return self._made.copy()

    # The child's side.

    def given(self) -> AudioFrame:
        """Return a copy of the frame that was given."""
        place = self._place
        self._serving = self._asked[self._index]
        count = min(int(place["speaker_count"][0]), MAX_SPEAKERS)
        speakers = tuple(int(source_id) for source_id in place["speakers"][0, :count])
        return AudioFrame.of(
            self._given.copy(), int(place["timestamp"][0]), int(place["flags"][0]), speakers
        )

    def reply(self, outcome: int, own_ns: int, *, pcm: Pcm | None = None, why: str = "") -> None:
        """Answer the frame that :meth:`given` returned last."""
        place = self._place
        if pcm is not None:
            self._made[:] = pcm
        if outcome == FAILED:
            said = why.encode()[:MESSAGE_BYTES]
            self._message[: len(said)] = np.frombuffer(said, np.uint8)
            place["message_bytes"] = len(said)
        place["outcome"] = outcome
        place["own_ns"] = own_ns
        self._answered[self._index] = self._serving
