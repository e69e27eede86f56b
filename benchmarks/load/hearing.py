"""What came back: counted for every caller, listened to for some, kept whole where asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.load.datagrams import Received
from benchmarks.load.onsets import find_onsets, in_play_order, is_loud, match_onsets
from benchmarks.load.packets import DECODE_HZ, decode
from benchmarks.load.sounds import dbov
from benchmarks.load.streams import is_rtcp, parse_rtp
from benchmarks.load.webrtc import WebRtcCaller

SAMPLE_PACKETS = 100
"""The last two seconds of a caller that is listened to."""

Heard = tuple[int, int, bytes]
"""arrival_ns, sequence number, payload."""


class Hearing:
    """Packets of all callers that came back. Thread: one at a time."""

    def __init__(self, most: int) -> None:
        self.packets = np.zeros(most, np.int64)
        self.bad = 0
        self._kept: dict[int, deque[Heard] | list[Heard]] = {}
        self._is_kept = np.zeros(most, bool)

    def listen_to(self, caller: int, *, whole: bool = False) -> None:
        """Keep the caller's last two seconds, or everything."""
        self._kept[caller] = [] if whole else deque(maxlen=SAMPLE_PACKETS)
        self._is_kept[caller] = True

    def listen_to_none(self) -> None:
        self._kept.clear()
        self._is_kept[:] = False

    def take(self, batch: Received, arrival_ns: int, webrtc: dict[int, WebRtcCaller]) -> list[int]:
        """Count a batch; return the rows that are no media."""
        if not len(batch.callers):
            return []
        count = len(batch.callers)
        ours = (batch.callers >= 0) & (batch.callers < len(self.packets))
        first, second = batch.data[:count, 0], batch.data[:count, 1] & 0x7F
        media = ours & (first >= 128) & (first < 192)
        audio = media & ~((second >= 64) & (second < 96))
        np.add.at(self.packets, batch.callers[audio], 1)
        kept = np.flatnonzero(audio & self._is_kept[np.where(ours, batch.callers, 0)])
        for row in kept:
            caller = int(batch.callers[row])
            self._keep(caller, batch.datagram(int(row)), arrival_ns, webrtc.get(caller))
        return [int(row) for row in np.flatnonzero(ours & ~media)]

    def _keep(
        self, caller: int, datagram: bytes, arrival_ns: int, webrtc: WebRtcCaller | None
    ) -> None:
        if is_rtcp(datagram):
            return
        try:
            if webrtc is not None:
                if webrtc.keys is None:
                    return
                datagram = webrtc.keys.receive.unprotect(datagram)
            header = parse_rtp(datagram)
        except (ValueError, RuntimeError):
            self.bad += 1
            return
        self._kept[caller].append((arrival_ns, header.sequence, header.payload))

    def kept(self, caller: int) -> list[Heard]:
        """Return the last two seconds of a caller that is listened to."""
        return list(self._kept[caller])[-SAMPLE_PACKETS:]

    def delays(self, caller: int, sent_ns: Sequence[int], most_ns: int) -> dict[str, Any]:
        """Return the delay of each onset at *sent_ns*, as *caller* heard it."""
        packets = [p for p in in_play_order(list(self._kept[caller])) if p[2]]
        loud = [is_loud(pcm, DECODE_HZ) for pcm in decode(payload for _, _, payload in packets)]
        heard = find_onsets((p[0], is_it) for p, is_it in zip(packets, loud, strict=True))
        delays, unheard = match_onsets(sent_ns, sorted(heard), most_ns)
        return {"delays_ns": delays, "unheard": unheard}


def level_dbov(packets: Sequence[Heard]) -> float:
    """Return how loud it is what these packets say."""
    pcm = list(decode(payload for _, _, payload in in_play_order(packets) if payload))
    return dbov(np.concatenate(pcm)) if pcm else -127.0
