"""The RTP that callers send: headers and payloads of many packets written at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.packets import Loop

RTP_BYTES = 12
EXTENSION_BYTES = 8
"""RFC 8285: profile and length, then one element of one byte and two of padding."""
HEADER_BYTES = RTP_BYTES + EXTENSION_BYTES
RTP_PER_FRAME = 960
VERSION_AND_EXTENSION = 0x90
RTCP_TYPES = range(64, 96)
"""RFC 5761 section 4: the payload types that are RTCP when both come to one port."""


@dataclass(frozen=True, slots=True)
class Header:
    """What of a received RTP header this program looks at."""

    sequence: int
    ssrc: int
    payload: bytes


def parse_rtp(datagram: bytes) -> Header:
    """Read an RTP packet: CSRCs, extension and padding are left out of the payload.

    Raises: ValueError when it is none.
    """
    if len(datagram) < RTP_BYTES or datagram[0] >> 6 != 2:
        raise ValueError("expected an RTP packet")
    begin = RTP_BYTES + 4 * (datagram[0] & 15)
    if datagram[0] & 0x10:
        begin += 4 + 4 * int.from_bytes(datagram[begin + 2 : begin + 4], "big")
    end = len(datagram) - (datagram[-1] if datagram[0] & 0x20 else 0)
    if begin > end:
        raise ValueError("expected an RTP packet as long as its header says")
    return Header(
        sequence=int.from_bytes(datagram[2:4], "big"),
        ssrc=int.from_bytes(datagram[8:12], "big"),
        payload=datagram[begin:end],
    )


def is_rtcp(datagram: bytes) -> bool:
    return len(datagram) > 1 and (datagram[1] & 0x7F) in RTCP_TYPES


class Streams:
    """What *most* callers say; a row is one caller's.

    Thread: one at a time. Nothing is encoded here: packets come from loops made before.
    """

    def __init__(self, most: int, loops: dict[str, Loop]) -> None:
        self._names = list(loops)
        lengths = [len(loop.sizes) for loop in loops.values()]
        width = max(loop.payloads.shape[1] for loop in loops.values())
        self._first = np.cumsum([0, *lengths[:-1]])
        self._lengths = np.array(lengths, np.int64)
        self._payloads = np.zeros((sum(lengths), width), np.uint8)
        for first, loop in zip(self._first, loops.values(), strict=True):
            rows, columns = loop.payloads.shape
            self._payloads[first : first + rows, :columns] = loop.payloads
        self._sizes = np.concatenate([loop.sizes for loop in loops.values()])
        self._levels = np.concatenate([loop.levels for loop in loops.values()])
        self._voice = np.zeros(most, np.int64)
        self._at = np.zeros(most, np.int64)
        self._sequence = np.zeros(most, np.int64)
        self._timestamp = np.zeros(most, np.int64)
        self._head = np.zeros((most, HEADER_BYTES), np.uint8)

    @property
    def width(self) -> int:
        return int(self._payloads.shape[1]) + HEADER_BYTES

    def begin(
        self, row: int, voice: str, *, at: int, ssrc: int, payload_type: int, level_id: int
    ) -> None:
        """Let *row* say *voice* from its packet *at* on, under that SSRC."""
        number = self._names.index(voice)
        self._voice[row] = number
        self._at[row] = at % self._lengths[number]
        random = np.random.default_rng(ssrc)
        self._sequence[row] = random.integers(0, 1 << 16)
        self._timestamp[row] = random.integers(0, 1 << 32)
        head = self._head[row]
        head[:2] = VERSION_AND_EXTENSION, payload_type
        head[8:12] = np.frombuffer(ssrc.to_bytes(4, "big"), np.uint8)
        head[12:20] = 0xBE, 0xDE, 0, 1, level_id << 4, 0, 0, 0

    def set_voice(self, row: int, voice: str, at: int) -> None:
        """Say something else from the next packet on."""
        number = self._names.index(voice)
        self._voice[row], self._at[row] = number, at % self._lengths[number]

    def skip(self, periods: int) -> None:
        """Leave out that many packets of everyone; RTP time goes on (RFC 3550 section 5.1)."""
        self._timestamp[:] = (self._timestamp + periods * RTP_PER_FRAME) & 0xFFFFFFFF

    def at_loop_begin(self, rows: slice) -> NDArray[np.int64]:
        """Return those of *rows* whose next packet is their loop's first."""
        begins: NDArray[np.int64] = np.flatnonzero(self._at[rows] == 0) + rows.start
        return begins

    def write_next(self, rows: slice, into: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Write the next packet of each of *rows* into the rows of *into*; return the sizes."""
        voice, at = self._voice[rows], self._at[rows]
        packet = self._first[voice] + at
        head = into[:, :HEADER_BYTES]
        head[:] = self._head[rows]
        head[:, 2:4] = _big_endian(self._sequence[rows], ">u2", 2)
        head[:, 4:8] = _big_endian(self._timestamp[rows], ">u4", 4)
        level = self._levels[packet]
        head[:, 17] = level | np.where(level < 60, 0x80, 0).astype(np.uint8)
        into[:, HEADER_BYTES : self.width] = self._payloads[packet]
        self._sequence[rows] = (self._sequence[rows] + 1) & 0xFFFF
        self._timestamp[rows] = (self._timestamp[rows] + RTP_PER_FRAME) & 0xFFFFFFFF
        self._at[rows] = (at + 1) % self._lengths[voice]
        sizes: NDArray[np.int64] = self._sizes[packet] + HEADER_BYTES
        return sizes


def _big_endian(values: NDArray[np.int64], kind: str, width: int) -> NDArray[np.uint8]:
    return values.astype(kind).view(np.uint8).reshape(-1, width)
