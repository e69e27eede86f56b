"""The receiver by ctypes, with a toy codec, and streams whose samples tell their time."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.native.clib import library
from tests.sim.link import Carrier, Link

HERE = Path(__file__).resolve().parent
SOURCES = (
    "receive.c", "receive_in.c", "jitter.c", "delay.c", "drift.c", "pace.c", "stretch.c", "sound.c",
    "noise.c", "redundancy.c", "ledger.c", "rtp.c", "pcm16k.c", "conceal.c", "memory.c",
)  # fmt: skip
COUNTERS = (
    "packets", "decoded", "late", "duplicate", "malformed", "type", "payload", "source", "overflow",
    "undecodable", "silent", "event", "flushed", "buffered",
    "ticks", "voice", "fec", "concealed", "comfort", "silence", "skipped",
    "decoded_samples", "made_up_samples", "concealed_samples", "inserted_samples",
    "removed_samples", "queued_samples",
    "underruns", "restarts", "target_ms", "delay_ms", "drift_ppb",
)  # fmt: skip
OPUS, PCMU, PCMA, G722, NOISE, EVENT = 111, 0, 8, 9, 13, 101
SILENCE, CONCEALED, SKIPPED, FEC, COMFORT = 1, 2, 4, 8, 16
FRAME, FRAME_NS = 320, 20_000_000
LEVEL_ID = 1
Pcm = NDArray[np.int16]


class Settings(ctypes.Structure):
    _fields_ = (
        ("types", ctypes.c_uint8 * 128),
        ("level_extension_id", ctypes.c_uint8),
        ("silent_dbov", ctypes.c_int8),
        ("cap_ms", ctypes.c_uint16),
    )


class Meta(ctypes.Structure):
    _fields_ = (
        ("timestamp", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("speaker_count", ctypes.c_uint32),
        ("speakers", ctypes.c_uint32 * 8),
    )


class Sim(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("begin", ctypes.c_void_p),
        ("arrival_ns", ctypes.c_void_p),
        ("packets", ctypes.c_int64),
        ("next", ctypes.c_int64),
    )


class Log(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("pcm", "flags", "delay_ms", "target_ms"))


@cache
def toy() -> ctypes.CDLL:
    """The receiver over the toy codec."""
    lib = library(*SOURCES, HERE / "toy_codec.c", HERE / "drive.c")
    return declare(lib)


def declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes what the receiver's functions take."""
    lib.mm_receiver_create.restype = ctypes.c_void_p
    lib.mm_receiver_create.argtypes = [ctypes.POINTER(Settings)]
    lib.mm_receiver_destroy.argtypes = [ctypes.c_void_p]
    lib.mm_receiver_push.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64,
    ]  # fmt: skip
    lib.mm_receiver_pull.argtypes = [
        ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Meta), ctypes.c_void_p,
    ]  # fmt: skip
    lib.mm_receiver_skip.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    lib.mm_receiver_ledger.restype = ctypes.c_void_p
    lib.mm_receiver_ledger.argtypes = [ctypes.c_void_p]
    lib.mm_ledger_holds.argtypes = [ctypes.c_void_p]
    lib.mm_sim_count.restype = ctypes.c_uint64
    lib.mm_sim_count.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.mm_sim_run.restype = ctypes.c_int64
    lib.mm_sim_run.argtypes = [
        ctypes.c_void_p, ctypes.POINTER(Sim), ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(Log),
    ]  # fmt: skip
    return lib


@dataclass
class Heard:
    """What a run gave, tick by tick."""

    pcm: Pcm  # (ticks, 320)
    flags: NDArray[np.uint32]
    delay_ms: NDArray[np.int32]
    target_ms: NDArray[np.int32]

    def share(self, flag: int) -> float:
        return float(np.mean((self.flags & flag) != 0))


class Receiver:
    """One leg's ear, in virtual time."""

    def __init__(
        self, lib: ctypes.CDLL | None = None, *, silent_dbov: int = 0, cap_ms: int = 500
    ) -> None:
        self.lib = lib or toy()
        self.settings = Settings(
            level_extension_id=LEVEL_ID, silent_dbov=silent_dbov, cap_ms=cap_ms
        )
        for payload_type, kind in (
            (OPUS, 1), (PCMU, 2), (PCMA, 3), (G722, 4), (NOISE, 64), (EVENT, 65),
        ):  # fmt: skip
            self.settings.types[payload_type] = kind
        self._memory = self.lib.mm_receiver_create(ctypes.byref(self.settings))
        assert self._memory
        self.now_ns = 0
        self.buffer = np.zeros(FRAME, np.int16)

    def __del__(self) -> None:
        self.lib.mm_receiver_destroy(self._memory)

    def __getattr__(self, name: str) -> int:
        if name not in COUNTERS:
            raise AttributeError(name)
        value = int(self.lib.mm_sim_count(self._memory, COUNTERS.index(name)))
        return value - (1 << 64) if value >> 63 else value

    def counters(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTERS}

    def holds(self) -> bool:
        return bool(self.lib.mm_ledger_holds(self.lib.mm_receiver_ledger(self._memory)))

    def push(self, datagram: bytes, at_ns: int | None = None) -> None:
        self.lib.mm_receiver_push(
            self._memory, datagram, len(datagram), self.now_ns if at_ns is None else at_ns
        )

    def pull(self) -> tuple[int, Pcm]:
        """Return the flags and samples of this tick; time goes on by 20 ms."""
        meta = Meta()
        self.lib.mm_receiver_pull(
            self._memory, self.now_ns, ctypes.byref(meta), self.buffer.ctypes.data
        )
        self.now_ns += FRAME_NS
        assert self.holds(), self.counters()
        return int(meta.flags), self.buffer.copy()

    def skip(self, ticks: int) -> None:
        self.lib.mm_receiver_skip(self._memory, ticks)
        self.now_ns += ticks * FRAME_NS

    def run(self, packets: Iterable[tuple[int, bytes]], ticks: int) -> Heard:
        """Push *packets*, each (arrival_ns, datagram) in order of arrival, over *ticks* ticks."""
        listed = list(packets)
        data = b"".join(datagram for _, datagram in listed)
        begin = np.cumsum([0, *(len(datagram) for _, datagram in listed)], dtype=np.int64)
        arrival = np.array([at for at, _ in listed] or [0], np.int64)
        keep: Any = ctypes.create_string_buffer(data, len(data) or 1)
        sim = Sim(ctypes.addressof(keep), begin.ctypes.data, arrival.ctypes.data, len(listed), 0)
        heard = Heard(
            np.zeros((ticks, FRAME), np.int16),
            np.zeros(ticks, np.uint32),
            np.zeros(ticks, np.int32),
            np.zeros(ticks, np.int32),
        )
        log = Log(
            *(a.ctypes.data for a in (heard.pcm, heard.flags, heard.delay_ms, heard.target_ms))
        )
        failed = self.lib.mm_sim_run(
            self._memory, ctypes.byref(sim), self.now_ns, ticks, ctypes.byref(log)
        )
        assert failed == -1, (failed, self.counters())
        self.now_ns += ticks * FRAME_NS
        assert sim.next == len(listed), "packets beyond the last tick"
        return heard


def rtp(
    payload: bytes, sequence: int, timestamp: int, *, payload_type: int = PCMU, ssrc: int = 1,
    level: int | None = None,
) -> bytes:  # fmt: skip
    """Return a packet; *level* in dBov, RFC 6464."""
    first = 0x80 if level is None else 0x90
    header = struct.pack(
        "!BBHII", first, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    )
    if level is not None:
        header += struct.pack("!HHBBxx", 0xBEDE, 1, LEVEL_ID << 4, -level & 127)
    return header + payload


def spoken(first_sample: int, samples: int) -> Pcm:
    """Samples that tell the millisecond at which they were spoken, from 1000 on, to 30 s."""
    return ((np.arange(first_sample, first_sample + samples) // 16) % 30_000 + 1000).astype(
        np.int16
    )


def stream(
    packets: int, *, samples: int = FRAME, first_sequence: int = 65_000,
    first_timestamp: int = 2**32 - 90_000, start_ns: int = 3_000_000, ppm: float = 0,
    ssrc: int = 1, begin: int = 0,
) -> Iterator[tuple[int, bytes]]:  # fmt: skip
    """Yield (sent_ns, datagram): what was spoken up to then; the sender's clock is *ppm* fast."""
    for n in range(begin, begin + packets):
        sent_ns = start_ns + round((n + 1) * samples * 62_500 / (1 + ppm * 1e-6))
        payload = spoken(n * samples, samples).tobytes()
        yield (
            sent_ns,
            rtp(payload, first_sequence + n, first_timestamp + n * samples // 2, ssrc=ssrc),
        )


def through(
    link: Link, packets: Iterable[tuple[int, bytes]], seed: int = 1
) -> list[tuple[int, bytes]]:
    """Carry (sent_ns, datagram) over *link*."""
    sent = list(packets)
    # What a packet of Opus at 32 kb/s weighs with RTP, UDP and IP, not the toy's 640 bytes.
    carried = Carrier(link, seed).carry([at for at, _ in sent], [120] * len(sent))
    return [(at, sent[index][1]) for at, index in carried]


def delays_ms(heard: Heard, first_ns: int = 0, start_ns: int = 3_000_000) -> NDArray[np.float64]:
    """Return how long ago the first sample of each tick of voice was spoken; else NaN."""
    ticks = np.arange(len(heard.flags))
    now_ms = (first_ns + ticks * FRAME_NS - start_ns) / 1e6
    spoken_ms = heard.pcm[:, 0].astype(float) - 1000
    late: NDArray[np.float64] = (now_ms - spoken_ms) % 30_000
    late[(heard.flags != 0) | (heard.pcm.min(axis=1) < 1000)] = np.nan
    return late
