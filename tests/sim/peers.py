"""Peers by ctypes, joined by links in virtual time: two ends of a call, RTP and RTCP both ways."""

from __future__ import annotations

import ctypes
import heapq
import importlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.native import codecs as kit
from tests.native.packet_types import NO_LEVEL, Tone
from tests.sim.link import Carrier, Link
from tests.sim.receiver import (
    COUNTERS,
    EVENT,
    FRAME,
    FRAME_NS,
    HERE,
    NOISE,
    OPUS,
    PCMA,
    PCMU,
    SOURCES,
    Meta,
    Pcm,
    Settings,
)

PCM16K = 96
PEER_SOURCES = (
    "peer.c", "peer_in.c", "peer_send.c", "rtcp_schedule.c", "encode.c", "reception.c", "rtcp.c",
    "telephone.c", "srtp.c", "srtp_test.c", "packet_ring.c", "outbox.c", "demux.c",
)  # fmt: skip
EVERY_SOURCE = tuple(
    source
    for source in dict.fromkeys((*kit.CODEC_SOURCES, *SOURCES, *PEER_SOURCES))
    if source not in kit.CODEC_SOURCES
)
TYPES = {
    OPUS: kit.OPUS + 1, PCMU: kit.PCMU + 1, PCMA: kit.PCMA + 1, 9: kit.G722 + 1,
    PCM16K: kit.PCM16K + 1, NOISE: 64, EVENT: 65,
}  # fmt: skip
SENT_TYPES = {kit.OPUS: OPUS, kit.PCMU: PCMU, kit.PCMA: PCMA, kit.G722: 9}
NEVER_SENT = kit.PCM16K + 1  # MM_CODECS
CODECS = (kit.OPUS, kit.PCMU, kit.PCMA, kit.G722)
CLOCK_KHZ = {kit.OPUS: 48, kit.PCMU: 8, kit.PCMA: 8, kit.G722: 8}
CM, GCM = 1, 7
KEYS = {CM: (bytes(range(30)), bytes(range(30, 60))), GCM: (bytes(range(28)), bytes(range(28, 56)))}


class PeerSettings(ctypes.Structure):
    _fields_ = (
        ("receive", Settings),
        ("event_clock_khz", ctypes.c_uint8),
        ("secure", ctypes.c_int),
        ("codec", ctypes.c_int),
        ("encoder", kit.Settings),
        ("payload_type", ctypes.c_uint8),
        ("event_type", ctypes.c_uint8),
        ("level_extension_id", ctypes.c_uint8),
        ("ssrc", ctypes.c_uint32),
        ("sequence", ctypes.c_uint16),
        ("timestamp", ctypes.c_uint32),
        ("cname", ctypes.c_char * 33),
    )


@cache
def codecs() -> kit.Codecs:
    found = kit.Codecs(*EVERY_SOURCE, str(HERE / "drive_peer.c"))
    lib = found.lib
    pointer, size, ns = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    functions: tuple[tuple[Any, ...], ...] = (
        ("mm_end_create", pointer, pointer),
        ("mm_end_destroy", None, pointer),
        ("mm_end_peer", pointer, pointer),
        ("mm_end_sends_fec", ctypes.c_int, pointer),
        ("mm_end_meta", ctypes.POINTER(Meta), pointer),
        ("mm_end_connect", ctypes.c_int, pointer, ctypes.c_int),
        ("mm_end_move", None, pointer),
        ("mm_end_deliver", None, pointer, ctypes.c_char_p, size, ns),
        ("mm_end_tick", ctypes.c_int, pointer, ns, pointer, ctypes.c_int, pointer),
        ("mm_end_datagram", pointer, pointer, ctypes.c_int, ctypes.POINTER(size)),
        ("mm_end_ledger", ctypes.c_uint64, pointer, ctypes.c_int),
        ("mm_peer_count", ctypes.c_uint64, pointer, ctypes.c_int),
        ("mm_peer_counter_name", ctypes.c_char_p, ctypes.c_int),
        ("mm_peer_skip", None, pointer, ctypes.c_uint64),
        ("mm_peer_say_bye", None, pointer),
        ("mm_peer_heard", None, pointer, ns),
        ("mm_peer_last_heard_ns", ns, pointer),
        ("mm_peer_queue_tone", ctypes.c_int, pointer, *[ctypes.c_uint32] * 4),
        ("mm_peer_read_tone", ctypes.c_int, pointer, ctypes.POINTER(Tone)),
        ("mm_peer_set_keys", ctypes.c_int, pointer, pointer, ctypes.c_int,
         ctypes.c_char_p, ctypes.c_char_p, size),
        ("mm_peer_push_pcm", ctypes.c_int, pointer, ctypes.c_uint32, ctypes.c_uint32,
         ctypes.POINTER(Meta), pointer, ns),
        ("mm_srtp_library_open", ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_char_p, size),
        ("mm_peer_create", pointer, pointer),
        ("mm_peer_destroy", None, pointer),
        ("mm_pages_live", ctypes.c_long),
    )  # fmt: skip
    for name, result, *arguments in functions:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, list(arguments)
    return found


@cache
def srtp_library() -> Any:
    path = Path(str(importlib.import_module("pylibsrtp._binding").__file__))
    memory, error = ctypes.create_string_buffer(256), ctypes.create_string_buffer(512)
    failed = codecs().lib.mm_srtp_library_open(memory, str(path).encode(), error, len(error))
    assert not failed, error.value
    return memory


@cache
def counter_numbers() -> dict[str, int]:
    """The names of mm_peer_counter: all of them, each once."""
    names: dict[str, int] = {}
    while (name := codecs().lib.mm_peer_counter_name(len(names))) is not None:
        assert name.decode() not in names
        names[name.decode()] = len(names)
    return names


def settings(
    codec: int = kit.OPUS, *, encoder: tuple[int, ...] = (32_000, 5, 1, 0, 0), ssrc: int = 1,
    secure: bool = False, level_id: int = 1, sequence: int = 65_500,
    timestamp: int = 2**32 - 48_000,
    cname: bytes = b"an end of a call", event_type: int = EVENT, silent_dbov: int = 0,
) -> PeerSettings:  # fmt: skip
    """Take all the payload types of TYPES, send one; RTP numbers that soon wrap."""
    made = PeerSettings(
        event_clock_khz=48 if codec == kit.OPUS else 8, secure=secure, codec=codec,
        encoder=kit.Settings(*encoder), payload_type=SENT_TYPES.get(codec, 0),
        event_type=event_type, level_extension_id=level_id, ssrc=ssrc, sequence=sequence,
        timestamp=timestamp, cname=cname,
    )  # fmt: skip
    made.receive.level_extension_id = level_id
    made.receive.silent_dbov = silent_dbov
    made.receive.cap_ms = 500
    for payload_type, kind in TYPES.items():
        made.receive.types[payload_type] = kind
    return made


class End:
    """A peer and its bridge, in virtual time."""

    def __init__(self, made: PeerSettings | None = None, connected: bool = True) -> None:
        self.lib = codecs().lib
        self.settings = made or settings()
        self._memory = self.lib.mm_end_create(ctypes.byref(self.settings))
        assert self._memory, "no such peer"
        self.peer = self.lib.mm_end_peer(self._memory)
        self.heard = np.zeros(FRAME, np.int16)
        self.encodes = True
        self.connect(connected)

    def __del__(self) -> None:
        if getattr(self, "_memory", None):
            self.lib.mm_end_destroy(self._memory)

    def __getattr__(self, name: str) -> int:
        if name in counter_numbers():
            return int(self.lib.mm_peer_count(self.peer, counter_numbers()[name]))
        if name.startswith("rx_") and name[3:] in COUNTERS:
            return int(self.lib.mm_end_ledger(self._memory, COUNTERS.index(name[3:])))
        raise AttributeError(name)

    def connect(self, on: bool = True) -> None:
        assert self.lib.mm_end_connect(self._memory, on) == 0

    def move(self) -> None:
        self.lib.mm_end_move(self._memory)

    def skip(self, ticks: int) -> None:
        self.lib.mm_peer_skip(self.peer, ticks)

    def say_bye(self) -> None:
        self.lib.mm_peer_say_bye(self.peer)

    @property
    def sends_fec(self) -> bool:
        return bool(self.lib.mm_end_sends_fec(self._memory))

    @property
    def last_heard_ns(self) -> int:
        return int(self.lib.mm_peer_last_heard_ns(self.peer))

    def set_keys(self, receive: bytes, send: bytes, profile: int = CM) -> bool:
        done = self.lib.mm_peer_set_keys(
            self.peer, srtp_library(), profile, receive, send, len(receive)
        )
        return bool(done == 0)

    def queue_tone(self, event: int, ms: int = 100, pause_ms: int = 50, volume: int = 10) -> bool:
        return bool(self.lib.mm_peer_queue_tone(self.peer, event, volume, ms, pause_ms) == 0)

    def tones(self) -> list[tuple[int, int, int]]:
        """Return (event, ended, duration in ms) of all that wait."""
        tone, found = Tone(), []
        while self.lib.mm_peer_read_tone(self.peer, ctypes.byref(tone)):
            found.append((int(tone.event), int(tone.ended), int(tone.duration)))
        return found

    def push_pcm(
        self, pcm: Pcm, sequence: int, timestamp: int, at_ns: int, *, flags: int = 0,
        speakers: tuple[int, ...] = (),
    ) -> bool:  # fmt: skip
        whole = np.ascontiguousarray(pcm)
        meta = Meta(0, flags, len(speakers), (ctypes.c_uint32 * 8)(*speakers))
        done = self.lib.mm_peer_push_pcm(
            self.peer, sequence & 0xFFFFFFFF, timestamp & 0xFFFFFFFF, ctypes.byref(meta),
            whole.ctypes.data, at_ns,
        )  # fmt: skip
        return bool(done == 0)

    def deliver(self, datagram: bytes, at_ns: int) -> None:
        self.lib.mm_end_deliver(self._memory, datagram, len(datagram), at_ns)

    def tick(self, now_ns: int, mix: Pcm | None = None, level: int = NO_LEVEL) -> list[bytes]:
        """Return the datagrams of this tick; what was heard is in .heard and .flags."""
        said = np.ascontiguousarray(np.zeros(FRAME, np.int16) if mix is None else mix)
        count = self.lib.mm_end_tick(
            self._memory, now_ns, said.ctypes.data if self.encodes else None, level,
            self.heard.ctypes.data,
        )  # fmt: skip
        assert count >= 0, "the ledger does not hold"
        size = ctypes.c_size_t()
        out = []
        for index in range(count):
            at = self.lib.mm_end_datagram(self._memory, index, ctypes.byref(size))
            out.append(ctypes.string_at(at, size.value))
        return out

    @property
    def meta(self) -> Meta:
        found: Meta = self.lib.mm_end_meta(self._memory).contents
        return found

    @property
    def flags(self) -> int:
        return int(self.meta.flags)

    @property
    def speakers(self) -> list[int]:
        return list(self.meta.speakers[: self.meta.speaker_count])


def is_rtcp(datagram: bytes) -> bool:
    return 192 <= datagram[1] <= 223


@dataclass(frozen=True)
class Packet:
    """What stands in the header of an RTP packet, and its payload."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    level: int | None


def read_rtp(datagram: bytes) -> Packet:
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
    level, at = None, 12
    if first & 0x10:
        profile, words = struct.unpack_from("!HH", datagram, 12)
        assert profile == 0xBEDE
        level = -(datagram[17] & 127)
        at = 16 + 4 * words
    return Packet(second & 127, bool(second >> 7), sequence, timestamp, ssrc, datagram[at:], level)


@dataclass
class Wire:
    """One direction between two ends."""

    carrier: Carrier
    flying: list[tuple[int, int, bytes]] = field(default_factory=list)
    sent: int = 0

    def send(self, now_ns: int, datagrams: list[bytes]) -> None:
        sizes = [len(datagram) + 28 for datagram in datagrams]
        for at_ns, index in self.carrier.carry([now_ns] * len(datagrams), sizes):
            heapq.heappush(self.flying, (at_ns, self.sent, datagrams[index]))
            self.sent += 1

    def arrived(self, until_ns: int) -> list[tuple[int, bytes]]:
        out = []
        while self.flying and self.flying[0][0] <= until_ns:
            at_ns, _, datagram = heapq.heappop(self.flying)
            out.append((at_ns, datagram))
        return out


Says = Callable[[int], Pcm | None]


@dataclass
class Call:
    """Two ends and the link between them; each says what it is asked for in a tick."""

    a: End
    b: End
    link: Link = field(default_factory=Link)
    seed: int = 1
    now_ns: int = 0
    phase_ns: int = 7_000_000  # b's ticks come so much after a's

    def __post_init__(self) -> None:
        self.ends: tuple[End, End] = (self.a, self.b)
        self.wires = (Wire(Carrier(self.link, self.seed)), Wire(Carrier(self.link, self.seed + 1)))
        self.said: tuple[list[tuple[int, bytes]], ...] = ([], [])  # (ns, datagram) by each
        self.pcm: tuple[list[Pcm], list[Pcm]] = ([], [])
        self.flags: tuple[list[int], list[int]] = ([], [])

    def run(self, ticks: int, a_says: Says | None = None, b_says: Says | None = None) -> None:
        """Let *ticks* pass at both ends."""
        for n in range(ticks):
            for i, says in enumerate((a_says, b_says)):
                end = self.ends[i]
                now_ns = self.now_ns + i * self.phase_ns
                for at_ns, datagram in self.wires[1 - i].arrived(now_ns):
                    end.deliver(datagram, at_ns)
                out = end.tick(now_ns, says(n) if says else None)
                self.said[i].extend((now_ns, datagram) for datagram in out)
                self.wires[i].send(now_ns, out)
                self.pcm[i].append(end.heard.copy())
                self.flags[i].append(end.flags)
            self.now_ns += FRAME_NS

    def run_seconds(self, seconds: float, *says: Says) -> None:
        self.run(round(seconds * 50), *says)

    def skip(self, ticks: int) -> None:
        """Leave out so many ticks at both ends; what arrives meanwhile waits in their rings."""
        for end in self.ends:
            end.skip(ticks)
        self.now_ns += ticks * FRAME_NS

    def heard_by(self, end: int) -> Pcm:
        return np.concatenate(self.pcm[end])

    def rtp_of(self, end: int) -> list[Packet]:
        return [read_rtp(d) for _, d in self.said[end] if not is_rtcp(d)]

    def rtcp_of(self, end: int) -> list[tuple[int, bytes]]:
        return [(at, d) for at, d in self.said[end] if is_rtcp(d)]


def speaking(pcm: Pcm) -> Callable[[int], Pcm]:
    """Say *pcm* over and over, a frame a tick."""
    whole = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    return lambda n: whole[n % len(whole)]


def voices() -> tuple[Callable[[int], Pcm], Callable[[int], Pcm]]:
    return speaking(kit.speech()), speaking(np.roll(kit.speech(), 40_000))


def spoken_by(which: int, ticks: int) -> Pcm:
    """What voices()[which] says in so many ticks."""
    return np.concatenate([voices()[which](n) for n in range(ticks)])


def two(codec: int = kit.OPUS, link: Link | None = None, **more: Any) -> Call:
    """A call between two alike ends, SSRC 1 and 2, 20 ms apart."""
    a, b = (End(settings(codec, ssrc=ssrc, **more)) for ssrc in (1, 2))
    return Call(a, b, link or Link(20))


def similarity(heard: Pcm, said: Pcm) -> float:
    """The best correlation of one second of what was heard with what was said, at any delay."""
    part = heard[-32_000:-16_000].astype(float)
    size = 1 << 20
    spectrum = np.fft.rfft(said.astype(float), size) * np.conj(np.fft.rfft(part, size))
    products = np.fft.irfft(spectrum, size)[: len(said) - len(part)]
    sums = np.cumsum(np.concatenate([[0.0], said.astype(float) ** 2]))
    powers = np.sqrt(sums[len(part) :] - sums[: -len(part)])[: len(products)]
    return float(np.max(products / (powers * np.linalg.norm(part) + 1)))


def rtcp_kinds(datagram: bytes) -> list[int]:
    """The packet types of a compound packet."""
    found, at = [], 0
    while at < len(datagram):
        found.append(datagram[at + 1])
        at += 4 * (int(struct.unpack_from("!H", datagram, at + 2)[0]) + 1)
    return found
