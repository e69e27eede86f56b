"""What Chromium and stock aiortc really send, fed to a peer packet by packet."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import Pcm
from tests.native import codecs as kit
from tests.sim.peers import (
    TYPES,
    End,
    is_rtcp,
    read_rtp,
    rtcp_kinds,
    settings,
    similarity,
)
from tests.sim.receiver import CONCEALED, FRAME_NS
from tests.support import ROOT

CAPTURES = ROOT / "tests/data/rtp"
HEADERS_BYTES = 20 + 8  # IPv4, UDP
LEAD_NS = 1_000_000
SENDER_REPORT = 200
"""The payload types of each sender's offer: opus, telephone-event, and the id of the level."""
AGREED = {"chromium": (111, 110, 1), "aiortc": (96, None, 2)}


def read_pcap(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (ns since the first, datagram)."""
    data = path.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xA1B23C4D
    at = 24
    while at < len(data):
        seconds, ns, size, whole = struct.unpack_from("<IIII", data, at)
        assert size == whole
        yield seconds * 10**9 + ns, data[at + 16 + HEADERS_BYTES : at + 16 + size]
        at += 16 + size


class Replay:
    """A capture, and the peer that heard it."""

    def __init__(self, name: str) -> None:
        opus, event, level = AGREED[name]
        made = settings(level_id=level, event_type=event or 0)
        for payload_type in TYPES:
            made.receive.types[payload_type] = 0
        made.receive.types[opus] = kit.OPUS + 1
        if event is not None:
            made.receive.types[event] = 65
        made.event_clock_khz = 48
        self.peer = End(made)
        self.datagrams = list(read_pcap(CAPTURES / f"{name}.pcap"))
        self.rtp = [read_rtp(data) for _, data in self.datagrams if not is_rtcp(data)]
        self.rtcp = [data for _, data in self.datagrams if is_rtcp(data)]
        self.flags: list[int] = []
        self.tones: list[tuple[int, int, int]] = []
        self.pcm = self._played(opus)

    def _played(self, opus: int) -> Pcm:
        waiting, now_ns, heard = list(self.datagrams), 0, []
        # One second more than the capture has: the key that ends with it is read too.
        while now_ns < self.datagrams[-1][0] + 10**9:
            while waiting and waiting[0][0] + LEAD_NS <= now_ns:
                at_ns, data = waiting.pop(0)
                self.peer.deliver(data, at_ns + LEAD_NS)
            self.peer.tick(now_ns)  # and the ledger holds
            heard.append(self.peer.heard.copy())
            self.flags.append(self.peer.flags)
            self.tones += self.peer.tones()
            now_ns += FRAME_NS
        return np.concatenate(heard)


@pytest.fixture(scope="module", params=sorted(AGREED))
def replay(request: pytest.FixtureRequest) -> Replay:
    return Replay(str(request.param))


def test_every_packet_is_accounted_for_and_decoded(replay: Replay) -> None:
    peer, sent = replay.peer, replay.rtp
    opus, event, _ = AGREED["chromium" if len({p.payload_type for p in sent}) > 1 else "aiortc"]
    audio = [packet for packet in sent if packet.payload_type == opus]
    assert len(audio) > 90
    assert {packet.payload_type for packet in sent} <= {opus, event}
    assert peer.rx_packets == len(sent)
    assert peer.rx_event == len(sent) - len(audio)
    for reason in ("malformed", "type", "payload", "source", "undecodable", "duplicate"):
        assert getattr(peer, f"rx_{reason}") == 0, reason
    assert peer.rx_decoded + peer.rx_silent + peer.rx_late + peer.rx_overflow == len(audio)
    assert peer.rx_late + peer.rx_overflow == 0
    assert peer.rx_buffered == 0


def test_what_was_said_is_heard(replay: Replay) -> None:
    said = np.tile(kit.speech(), 2)
    assert similarity(replay.pcm, said) > 0.8
    within = replay.flags[5 : len(replay.datagrams) // 2]
    assert not any(flags & CONCEALED for flags in within)


def test_key_pressed_in_the_browser_is_read_once() -> None:
    replay = Replay("chromium")
    (begun, ended) = replay.tones
    assert begun[:2] == (5, 0)
    assert ended[:2] == (5, 1)
    assert 80 <= ended[2] <= 140


def test_rtcp_of_the_sender_is_read(replay: Replay) -> None:
    assert any(SENDER_REPORT in rtcp_kinds(data) for data in replay.rtcp)
    assert replay.peer.rtcp_received == len(replay.rtcp)
    assert replay.peer.rtcp_bad == 0
