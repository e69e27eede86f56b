"""The load generator's process: callers over RTP and WebRTC that all send every 20 ms.

``python -m benchmarks.load.generator``, asked by lines of JSON; see `benchmarks.processes`.

Callers are spread over ten moments of each 20 ms, as real ones are not in step. All packets were
encoded before; a WebRTC caller's are encrypted as they go. What comes back is counted for each,
and decoded for some afterwards: that no silence is measured.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.load.datagrams import Callers, Received
from benchmarks.load.hearing import Hearing, level_dbov
from benchmarks.load.packets import encode_loop
from benchmarks.load.sounds import VOICES
from benchmarks.load.streams import Streams
from benchmarks.load.webrtc import LEVEL_ID, PAYLOAD_TYPE, Identity, WebRtcCaller
from benchmarks.processes import answer_questions, run_child

MOST = 4000
MOMENTS = 10
PERIOD_NS = 20_000_000
MOMENT_NS = PERIOD_NS // MOMENTS
ROWS_A_MOMENT = MOST // MOMENTS
LATE_NS = 5_000_000
CONNECT_S = 60.0
FIFO_PRIORITY = 5


def row_of(caller: int) -> int:
    """Callers of one moment stand in adjacent rows, to go out with one system call."""
    return caller % MOMENTS * ROWS_A_MOMENT + caller // MOMENTS


class Generator:
    """Callers and the thread that sends for them. The other thread asks; a lock is between."""

    def __init__(self) -> None:
        self._callers = Callers(MOST)
        self._identity = Identity()
        self._lock = threading.Lock()
        self._streams: Streams | None = None
        self._hearing = Hearing(MOST)
        self._webrtc: dict[int, WebRtcCaller] = {}
        self._count = 0
        self._sending: set[int] = set()
        self._begun = [0] * MOMENTS
        self._secured: list[dict[int, WebRtcCaller]] = [{} for _ in range(MOMENTS)]
        self._marked: dict[int, list[int]] = {}
        self._late_ns: list[int] = []
        self._sent = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- questions -------------------------------------------------------------------------------

    async def prepare(self, bit_rate: int) -> dict[str, Any]:
        """Encode what callers say."""
        self._streams = Streams(MOST, {name: encode_loop(name, bit_rate) for name in VOICES})
        return {"port": self._callers.port}

    async def rtp(self, count: int) -> list[list[Any]]:
        """Make callers over RTP; return the address of each."""
        return [list(self._callers.address(caller)) for caller in self._new(count)]

    async def offers(self, count: int) -> list[str]:
        """Make callers over WebRTC; return the offer of each."""
        offers = []
        for caller in self._new(count):
            address = self._callers.address(caller)
            self._webrtc[caller] = WebRtcCaller(self._identity, address, 1_000_000 + caller)
            offers.append(self._webrtc[caller].offer())
        return offers

    async def connect(self, first: int, answers: list[str]) -> bool:
        """Take the answers of callers from *first* on and wait until all have keys."""
        with self._lock:
            for caller, answer in enumerate(answers, first):
                self._webrtc[caller].accept(answer)
        deadline = time.monotonic() + CONNECT_S
        waiting = [self._webrtc[caller] for caller in range(first, first + len(answers))]
        while any(caller.keys is None for caller in waiting):
            if time.monotonic() > deadline:
                missing = sum(caller.keys is None for caller in waiting)
                raise TimeoutError(f"{missing} of {len(waiting)} callers did not connect")
            if self._thread is None:
                self._handshakes(time.monotonic_ns())
                self._receive()
            await asyncio.sleep(0.002)
        return True

    async def say(
        self, first: int, voices: list[str], to: list[list[Any]] | None, payload_type: int
    ) -> int:
        """Let callers from *first* on speak to *to* (WebRTC ones to whom they know)."""
        assert self._streams is not None, "expected prepare first"
        with self._lock:
            for number, voice in enumerate(voices):
                caller = first + number
                self._say(caller, voice, to[number] if to else None, payload_type)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run)
            self._thread.start()
        return len(self._sending)

    async def voices(self, first: int, voices: list[str]) -> bool:
        """Let callers from *first* on say something else."""
        assert self._streams is not None
        with self._lock:
            for caller, voice in enumerate(voices, first):
                self._streams.set_voice(row_of(caller), voice, caller * 37)
        return True

    async def listen(self, callers: list[int], whole: bool) -> bool:
        """Keep what these callers hear, and nobody else's."""
        with self._lock:
            self._hearing.listen_to_none()
            for caller in callers:
                self._hearing.listen_to(caller, whole=whole)
        return True

    async def mark(self, callers: list[int]) -> bool:
        """Note when each packet of these goes out that begins its loop: a tone's onset."""
        with self._lock:
            self._marked |= {caller: [] for caller in callers}
        return True

    async def counts(self) -> dict[str, Any]:
        """Return what was sent and heard so far, and how late the sender was since last asked."""
        with self._lock:
            late, self._late_ns = np.array(self._late_ns or [0]), []
            return {
                "at_ns": time.monotonic_ns(),
                "sent": self._sent,
                "unsent": self._callers.unsent,
                "heard": self._hearing.packets[: self._count].tolist(),
                "bad": self._hearing.bad,
                "late_p99_ms": float(np.percentile(late, 99)) / 1e6,
                "late_share": float(np.mean(late > LATE_NS)),
            }

    async def levels(self, callers: list[int]) -> list[float]:
        """Return how loud the last two seconds were that these callers heard, in dBov."""
        with self._lock:
            kept = [self._hearing.kept(caller) for caller in callers]
        return [level_dbov(packets) for packets in kept]

    async def delays(
        self, pairs: list[list[int]], since_ns: int, until_ns: int, most_ms: float
    ) -> dict[str, Any]:
        """Return the delay of each onset in that time, for each (speaker, listener).

        Nothing is sent any more: what was kept is decoded now.
        """
        self._end()
        found: list[int] = []
        unheard = 0
        for speaker, listener in pairs:
            sent = [at for at in self._marked[speaker] if since_ns <= at < until_ns]
            result = self._hearing.delays(listener, sent, round(most_ms * 1e6))
            found += result["delays_ns"]
            unheard += result["unheard"]
        return {"delays_ms": [ns / 1e6 for ns in found], "unheard": unheard}

    def close(self) -> None:
        self._end()
        self._callers.close()

    # ---- inside ----------------------------------------------------------------------------------

    def _new(self, count: int) -> range:
        first, self._count = self._count, self._count + count
        if self._count > MOST:
            raise ValueError(f"expected at most {MOST} callers, got {self._count}")
        return range(first, self._count)

    def _say(self, caller: int, voice: str, to: list[Any] | None, payload_type: int) -> None:
        assert self._streams is not None
        row, ssrc = row_of(caller), 1_000_000 + caller
        moment = caller % MOMENTS
        webrtc = self._webrtc.get(caller)
        if webrtc is not None:
            assert webrtc.answer is not None
            address, payload_type = webrtc.answer.address, PAYLOAD_TYPE
            self._secured[moment][row] = webrtc
        else:
            assert to is not None
            address = (str(to[0]), int(to[1]))
        self._callers.set_peer(row, caller, address)
        self._streams.begin(
            row,
            voice,
            at=caller * 37,
            ssrc=ssrc,
            payload_type=payload_type,
            level_id=LEVEL_ID,
        )
        self._sending.add(caller)
        # Rows of a moment are filled from the first on; callers come in ascending order.
        self._begun[moment] = max(self._begun[moment], caller // MOMENTS + 1)

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._stop.clear()

    def _run(self) -> None:
        deadline = time.monotonic_ns() + MOMENT_NS
        moment = 0
        while not self._stop.is_set():
            time.sleep(max(0, deadline - time.monotonic_ns()) / 1e9)
            late = time.monotonic_ns() - deadline
            with self._lock:
                self._late_ns.append(late)
                if late > PERIOD_NS:
                    # Never faster than real time: what was missed is left out, as by a real caller.
                    periods = late // PERIOD_NS
                    deadline += periods * PERIOD_NS
                    if self._streams is not None:
                        self._streams.skip(periods)
                self._send(moment)
                if moment == 0 and self._webrtc:
                    self._handshakes(deadline)
                self._receive()
            moment = (moment + 1) % MOMENTS
            deadline += MOMENT_NS

    def _send(self, moment: int) -> None:
        count = self._begun[moment]
        if not count:
            return
        assert self._streams is not None
        first = moment * ROWS_A_MOMENT
        rows = slice(first, first + count)
        onsets = self._streams.at_loop_begin(rows)
        into = self._callers.data[rows]
        sizes = self._streams.write_next(rows, into)
        for row, webrtc in self._secured[moment].items():
            assert webrtc.keys is not None, "expected connect before say"
            data = webrtc.keys.send.protect(into[row - first, : sizes[row - first]].tobytes())
            into[row - first, : len(data)] = np.frombuffer(data, np.uint8)
            sizes[row - first] = len(data)
        now = time.monotonic_ns()
        self._callers.send(first, sizes)
        self._sent += count
        for row in onsets:
            caller = (int(row) - first) * MOMENTS + moment
            if caller in self._marked:
                self._marked[caller].append(now)

    def _handshakes(self, now_ns: int) -> None:
        for caller, webrtc in self._webrtc.items():
            for datagram in webrtc.due(now_ns):
                assert webrtc.answer is not None
                self._callers.send_one(caller, webrtc.answer.address, datagram)

    def _receive(self) -> None:
        for batch in self._callers.receive():
            for row in self._hearing.take(batch, time.monotonic_ns(), self._webrtc):
                self._take_control(batch, row)

    def _take_control(self, batch: Received, row: int) -> None:
        caller = int(batch.callers[row])
        webrtc = self._webrtc.get(caller)
        if webrtc is None:
            return
        sender = batch.sender(row)
        for datagram in webrtc.take(batch.datagram(row), sender):
            self._callers.send_one(caller, sender, datagram)


async def main() -> None:
    """Answer until the asker has no more questions; what was asked then ends."""
    # All its threads, so that none waits for one that is not let run. Below the engine's own, where
    # both must share a core; else as the machine allows.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    generator = Generator()
    await answer_questions(
        {
            name: getattr(generator, name)
            for name in (
                "prepare",
                "rtp",
                "offers",
                "connect",
                "say",
                "voices",
                "listen",
                "mark",
                "counts",
                "levels",
                "delays",
            )
        }
    )
    generator.close()


if __name__ == "__main__":
    run_child(main)
