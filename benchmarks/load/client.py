"""The load generator as a benchmark uses it: legs join, speak, are measured and listened to."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.peers.base import PAYLOAD_TYPE, Measured, RtpMeasured, WebRtcMeasured
from benchmarks.processes import Child, CpuMeter

PACKETS_A_SECOND = 50
CONNECTED_AT_ONCE = 5
"""An answer that nobody connects to within seconds is given up by who gave it."""
LISTENED = 4
"""Callers whose packets are decoded: the first, the last, and some between."""
LEAST_SHARE = 0.95
"""Of 50 packets a second that each leg must be sent: with less, something else was measured."""
LEAST_DBOV = -50.0
"""How loud it must be what each listened one hears: someone speaks at -26 dBov, the room is -65."""
LEAST_SENT = 0.99
"""Of the packets that callers had to send: with fewer, there was less to do."""
MOST_LATE_SHARE = 0.05
"""Where delay is measured. What a leg costs does not change when its packets come some ms later."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a time of measuring showed."""

    seconds: float
    cores: float
    """In use by what is measured, on average."""
    load_cores: float
    least_share: float
    """Of 50 packets a second: what the leg that was sent the least got."""
    level_dbov: float
    """Of the quietest listened leg."""
    late_share: float
    """Of the generator's moments: more than 5 ms late."""
    sent_share: float
    """Of what the callers had to send: one that is over 20 ms late leaves out what it missed."""
    least_dbov: float
    threads: dict[str, float]
    """Cores in use by the threads of the first process measured, by name."""

    @property
    def problem(self) -> str | None:
        """Say why this figure says nothing, if so."""
        if self.sent_share < LEAST_SENT:
            return f"the generator sent only {self.sent_share:.1%} of its packets"
        if self.least_share < LEAST_SHARE:
            return f"a leg was sent only {self.least_share:.0%} of its packets"
        if self.level_dbov < self.least_dbov:
            return f"a leg heard {self.level_dbov:.0f} dBov: nobody"
        return None

    @property
    def problem_of_delay(self) -> str | None:
        """Say why nothing can be told of delay either, if so."""
        if self.late_share > MOST_LATE_SHARE:
            return f"the generator was over 5 ms late for {self.late_share:.0%} of its packets"
        return self.problem


def listened(callers: Sequence[int]) -> list[int]:
    """Return those of *callers* that are listened to, spread over them."""
    if len(callers) <= LISTENED:
        return list(callers)
    return [callers[round(n * (len(callers) - 1) / (LISTENED - 1))] for n in range(LISTENED)]


class Load:
    """One generator process. Use it as a context manager."""

    def __init__(self, *, cores: Collection[int], bit_rate: int) -> None:
        self._child = Child("benchmarks.load.generator", cores=cores)
        self._bit_rate = bit_rate
        self.callers: list[int] = []
        self._listened: list[int] = []
        self._since: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._child.__enter__()
        try:
            self.ask("prepare", bit_rate=self._bit_rate)
        except BaseException:
            self._child.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._child.__exit__(*error)

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, what: str, **fields: Any) -> Any:
        """Ask the generator; see there."""
        return self._child.ask(what, **fields)

    def join_rtp(self, measured: RtpMeasured, voices: Sequence[str], room: int = 0) -> list[int]:
        """Let a caller for each voice join over plain RTP and speak; return their numbers."""
        far = [(str(host), int(port)) for host, port in self.ask("rtp", count=len(voices))]
        to = measured.add_rtp_legs(far, room)
        return self._speak(voices, [list(address) for address in to])

    def join_webrtc(
        self, measured: WebRtcMeasured, voices: Sequence[str], room: int = 0
    ) -> list[int]:
        """Let a caller for each voice join over WebRTC and speak; return their numbers."""
        joined: list[int] = []
        for begin in range(0, len(voices), CONNECTED_AT_ONCE):
            some = voices[begin : begin + CONNECTED_AT_ONCE]
            offers = self.ask("offers", count=len(some))
            answers = measured.add_webrtc_legs(offers, room)
            self.ask("connect", first=len(self.callers), answers=answers)
            joined += self._speak(some, None)
        return joined

    def set_voices(self, voices: Sequence[str]) -> None:
        """Let all callers say something else."""
        self.ask("voices", first=0, voices=list(voices))

    def listen(self, callers: Sequence[int], *, whole: bool = False) -> None:
        """Keep what *callers* hear, and nobody else's: their last two seconds, or everything."""
        self._listened = list(callers)
        self.ask("listen", callers=self._listened, whole=whole)

    def begin_window(self, pids: Sequence[int]) -> CpuMeter:
        """Begin to measure *pids*."""
        self._since = self.ask("counts")
        return CpuMeter([*pids, self.pid])

    def end_window(self, meter: CpuMeter, *, least_dbov: float = LEAST_DBOV) -> Window:
        """Return what was measured since it began."""
        cores = meter.cores()
        now = self.ask("counts")
        seconds = (now["at_ns"] - self._since["at_ns"]) / 1e9
        before = self._since["heard"]
        heard = [now["heard"][caller] - before[caller] for caller in self.callers]
        levels = self.ask("levels", callers=self._listened)
        load_cores = cores.pop(self.pid)
        threads = meter.threads(next(iter(cores)))
        return Window(
            seconds=seconds,
            cores=sum(cores.values()),
            load_cores=load_cores,
            least_share=min(heard) / (seconds * PACKETS_A_SECOND),
            level_dbov=min(levels, default=-127.0),
            late_share=now["late_share"],
            sent_share=(now["sent"] - self._since["sent"])
            / (seconds * PACKETS_A_SECOND * max(1, len(self.callers))),
            least_dbov=least_dbov,
            threads=threads,
        )

    def measure(
        self,
        measured: Measured,
        warm_up_s: float,
        seconds: float,
        *,
        least_dbov: float = LEAST_DBOV,
    ) -> Window:
        """Wait until it is warm, then measure; who hears less than *least_dbov* is a problem."""
        self.listen(listened(self.callers))
        time.sleep(warm_up_s)
        measured.facts()  # what it tells of ticks is since it was last asked
        meter = self.begin_window(measured.pids)
        time.sleep(seconds)
        return self.end_window(meter, least_dbov=least_dbov)

    def measure_again(self, measured: Measured, warm_up_s: float, seconds: float) -> Window:
        """Measure, and once more when the first time said nothing: a ramp ends at a problem."""
        window = self.measure(measured, warm_up_s, seconds)
        return window if window.problem is None else self.measure(measured, warm_up_s, seconds)

    def _speak(self, voices: Sequence[str], to: list[list[Any]] | None) -> list[int]:
        first = len(self.callers)
        self.ask("say", first=first, voices=list(voices), to=to, payload_type=PAYLOAD_TYPE)
        callers = list(range(first, first + len(voices)))
        self.callers += callers
        return callers
