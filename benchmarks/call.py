"""One direction of a call in virtual time: our encoder, a link, our receiver, reports back."""

from __future__ import annotations

import ctypes
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.peers import EVERY_SOURCE
from tests.sim.receiver import (
    COMFORT,
    CONCEALED,
    COUNTERS,
    FEC,
    FRAME,
    FRAME_NS,
    SILENCE,
    SKIPPED,
    Heard,
    Receiver,
    declare,
)

from benchmarks.way import Way

Pcm = NDArray[np.int16]

BIT_RATE = 32_000
COMPLEXITY = 5
PHASE_NS = 7_000_000  # the sender's ticks are not when ours are
TRANSPORT_BYTES = 28  # IP and UDP: what a narrow link carries beside RTP
RTP_BYTES = 12  # no extension is agreed upon here
TAIL_TICKS = 60
WINDOW_NS = 5_000_000_000
HERE = Path(__file__).resolve().parent


@cache
def codecs() -> kit.Codecs:
    """The native parts, built once a process as they are in the tree."""
    drive = HERE.parent / "tests" / "sim" / "drive.c"
    found = kit.Codecs(*map(str, EVERY_SOURCE), str(drive), str(HERE / "network.c"))
    lib = declare(found.lib)
    lib.bench_end_create.restype = ctypes.c_void_p
    lib.bench_end_create.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint8]
    lib.bench_end_destroy.argtypes = [ctypes.c_void_p]
    lib.bench_end_receive.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64,
    ]  # fmt: skip
    lib.bench_end_pull.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 3]
    lib.bench_end_send.restype = ctypes.c_size_t
    lib.bench_end_send.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    lib.bench_end_datagram.restype = ctypes.c_void_p
    lib.bench_end_datagram.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_void_p] * 2]
    lib.bench_end_count.restype = ctypes.c_uint64
    lib.bench_end_count.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return found


class End:
    """One end of a call: a peer, what it is told to say, and its tick."""

    def __init__(self, ssrc: int, bit_rate: int = BIT_RATE, complexity: int = COMPLEXITY) -> None:
        self._lib = codecs().lib
        self._end = self._lib.bench_end_create(ssrc, bit_rate, complexity)
        assert self._end, "no memory, or no libopus"
        self._size, self._is_rtcp = ctypes.c_size_t(), ctypes.c_int()

    def __del__(self) -> None:
        self._lib.bench_end_destroy(self._end)

    def receive(self, datagram: bytes, arrival_ns: int) -> None:
        self._lib.bench_end_receive(self._end, datagram, len(datagram), arrival_ns)

    def pull(self, now_ns: int, heard: Heard, tick: int) -> None:
        """Play one tick; its samples, flags and delay go into *heard*."""
        holds = self._lib.bench_end_pull(
            self._end, now_ns, heard.pcm[tick].ctypes.data, heard.flags[tick:].ctypes.data,
            heard.delay_ms[tick:].ctypes.data,
        )  # fmt: skip
        assert holds, (tick, self.counters())

    def send(self, frame: Pcm | None, now_ns: int) -> list[tuple[bool, bytes]]:
        """Say *frame*, or only report; return the datagrams, each with whether it is RTCP."""
        pcm = None if frame is None else frame.ctypes.data
        return [self._datagram(n) for n in range(self._lib.bench_end_send(self._end, pcm, now_ns))]

    def _datagram(self, index: int) -> tuple[bool, bytes]:
        size, is_rtcp = ctypes.byref(self._size), ctypes.byref(self._is_rtcp)
        at = self._lib.bench_end_datagram(self._end, index, size, is_rtcp)
        return bool(self._is_rtcp.value), ctypes.string_at(at, self._size.value)

    def counters(self) -> dict[str, int]:
        return {name: self._lib.bench_end_count(self._end, n) for n, name in enumerate(COUNTERS)}


@dataclass
class Spoken:
    """What was sent, and what of it came through."""

    payloads: list[bytes]
    sent_ns: list[int]
    arrived: list[tuple[int, int]]  # (arrival_ns, which packet)

    @property
    def lost(self) -> set[int]:
        return set(range(len(self.payloads))) - {index for _, index in self.arrived}


@dataclass
class Call:
    """What a call came to."""

    said: Spoken
    heard: Heard
    counters: dict[str, int]
    delay_ms: NDArray[
        np.float64
    ]  # (ticks,): from sending to being mixed; NaN where no voice is played

    @property
    def lost_ratio(self) -> float:
        return len(self.said.lost) / len(self.said.payloads)

    @property
    def _flags(self) -> NDArray[np.uint32]:
        """Of the ticks from the first of voice to the last."""
        voice = np.flatnonzero(self.heard.flags == 0)
        return self.heard.flags[voice[0] : voice[-1] + 1]

    @property
    def concealed_ratio(self) -> float:
        return float(np.mean((self._flags & CONCEALED) != 0))

    @property
    def fec_ratio(self) -> float:
        return float(np.mean((self._flags & FEC) != 0))

    @property
    def neither(self) -> int:
        """Ticks that were neither played nor concealed."""
        return int(np.count_nonzero(self._flags & (SILENCE | COMFORT | SKIPPED)))

    def percentile_ms(self, percent: float) -> float:
        """One way, from sending to being mixed."""
        return float(np.nanpercentile(self.delay_ms, percent))

    def added_ms(self, percent: float) -> float:
        """What of it is ours: over the quickest packet of the last five seconds."""
        played = self.heard.delay_ms[np.isfinite(self.delay_ms)] - FRAME_NS / 1e6
        return float(np.percentile(played, percent))


def call(pcm: Pcm, link: Link, seed: int) -> Call:
    """Speak *pcm* (samples,) to a far end that listens, over *link* both ways.

    What the far end reports comes back over the same kind of link and switches redundancy, as it
    does in a host. The ledger is checked in each tick.
    """
    caller, listener = End(1), End(2, bit_rate=0)
    there, back = (Way(link, n, more_bytes=TRANSPORT_BYTES) for n in (seed, seed + 1000))
    frames = np.ascontiguousarray(pcm).reshape(-1, FRAME)
    said = Spoken([], [], [])
    ticks = len(frames) + TAIL_TICKS
    heard, unheard = (
        Heard(np.zeros((ticks, FRAME), np.int16), np.zeros(ticks, np.uint32),
              np.zeros(ticks, np.int32), np.zeros(ticks, np.int32)) for _ in range(2)
    )  # fmt: skip
    for tick in range(ticks):
        now_ns = (tick + 1) * FRAME_NS  # the peer's clocks have 0 for never
        for at, datagram in there.take(now_ns):
            listener.receive(datagram, at)
        listener.pull(now_ns, heard, tick)
        for _, datagram in listener.send(None, now_ns):
            back.put(datagram, now_ns)
        if tick >= len(frames):
            continue
        now_ns += PHASE_NS
        for at, datagram in back.take(now_ns):
            caller.receive(datagram, at)
        caller.pull(now_ns, unheard, tick)
        for is_rtcp, datagram in caller.send(frames[tick], now_ns):
            arrivals = there.put(datagram, now_ns)
            if not is_rtcp:
                said.arrived += [(at, len(said.payloads)) for at in arrivals]
                said.payloads.append(datagram[RTP_BYTES:])
                said.sent_ns.append(now_ns)
    assert len(said.payloads) == len(frames), (len(said.payloads), len(frames))
    return Call(said, heard, listener.counters(), one_way_ms(said, heard))


def one_way_ms(said: Spoken, heard: Heard) -> NDArray[np.float64]:
    """From sending to being mixed, for each tick.

    The ledger's delay, without the frame itself that is in it, counts from the quickest packet of
    the last five seconds; which that is, is kept here as delay.c keeps it.
    """
    least = np.full(len(heard.flags), np.nan)
    slots: deque[list[float]] = deque()  # (begin_ns, least of the slot in ms)
    for at, n in sorted(said.arrived):
        while slots and at - slots[0][0] > WINDOW_NS:
            slots.popleft()
        path_ms = (at - said.sent_ns[n]) / 1e6
        if not slots or at - slots[-1][0] >= FRAME_NS:
            slots.append([at, path_ms])
        slots[-1][1] = min(slots[-1][1], path_ms)
        least[-(-at // FRAME_NS) - 1 :] = min(slot[1] for slot in slots)
    delay = heard.delay_ms - FRAME_NS / 1e6 + least
    delay[heard.flags != 0] = np.nan
    return np.asarray(delay, np.float64)


def ideal(said: Spoken) -> Pcm:
    """Decode all that came, however late; take the rest from the packet after, or make it up."""
    decoder, lost = codecs().decoder(kit.OPUS), said.lost
    out: list[Pcm] = []
    for n, payload in enumerate(said.payloads):
        pcm: Pcm | None = None
        if n not in lost:
            pcm = decoder.decode(payload)
        elif n + 1 < len(said.payloads) and n + 1 not in lost:
            pcm = decoder.decode_fec(said.payloads[n + 1])
        pcm = decoder.conceal() if pcm is None else pcm
        assert pcm is not None
        out.append(pcm)
    return np.concatenate(out)


@dataclass
class Drift:
    neither: int  # ticks neither played nor concealed, from the first of voice on
    underruns: int  # after the first minute, as all here
    overruns: int  # packets that came too late or had no room
    concealed: int
    delay_range_ms: int
    drift_ppm: float


class _DriftRun(ctypes.Structure):
    _fields_ = (
        ("payloads", ctypes.c_void_p),
        ("begin", ctypes.c_void_p),
        ("packets", ctypes.c_int64),
        ("ppm", ctypes.c_double),
        ("ticks", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in (
            "neither", "underruns_first_minute", "delay_least_ms", "delay_most_ms", "broken_tick",
        )),
    )  # fmt: skip


def drift(pcm: Pcm, ppm: float, hours: float) -> Drift:
    """Send *pcm* over and over for *hours* of virtual time, by a clock that is *ppm* fast."""
    return drift_of(
        codecs().encoder(kit.OPUS, (BIT_RATE, COMPLEXITY, 0, 0, 0)).frames(pcm), ppm, hours
    )


def drift_of(packets: list[bytes], ppm: float, hours: float) -> Drift:
    """Send these Opus payloads over and over, as ``drift`` does."""
    begin = np.cumsum([0, *map(len, packets)], dtype=np.int64)
    payloads: Any = ctypes.create_string_buffer(b"".join(packets))
    run = _DriftRun(
        ctypes.addressof(payloads), begin.ctypes.data, len(packets), ppm, round(hours * 180_000)
    )
    receiver = Receiver(codecs().lib)
    codecs().lib.bench_drift_run(ctypes.c_void_p(receiver._memory), ctypes.byref(run))
    assert run.broken_tick == -1, (run.broken_tick, receiver.counters())
    return Drift(
        run.neither,
        receiver.underruns - run.underruns_first_minute,
        receiver.overflow + receiver.late,
        receiver.concealed,
        run.delay_most_ms - run.delay_least_ms,
        receiver.drift_ppb / 1000,
    )
