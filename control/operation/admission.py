"""Whether a process takes new calls: by its load, and until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mixminus.media.load import Capacity, Health, Load, LoadGauge, Thresholds, load_of
from mixminus.media.platform import MediaPlatform

from .settings import OperationSettings

log = logging.getLogger("mixminus.control.operation")

SAMPLE_S: Final = 1.0
LOOK_BACK_S: Final = 2.0
"""What each sample is about: long enough that one held-up tick is not its 99th percentile."""

Reason: TypeAlias = Literal["draining", "overloaded"]

MESSAGES: Final[Mapping[Reason, str]] = {
    "draining": "This host is stopping and takes no new calls.",
    "overloaded": "This host carries as many calls as it can.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a new call is not taken, and after how many seconds it may be tried again."""

    retry_after_s: float
    reason: Reason

    @property
    def message(self) -> str:
        """Why, in a sentence."""
        return MESSAGES[self.reason]


class Admission:
    """Samples the load of a platform each second while it is entered, and says who may come in.

    Calls that stand are never touched. ``refusals`` counts the new ones that were not taken, by
    reason. One object serves all roles of a process.
    Thread: the loop's.
    """

    def __init__(self, platform: MediaPlatform, settings: OperationSettings) -> None:
        self._platform, self._settings = platform, settings
        self._capacity = Capacity(
            tick_thread_share=settings.capacity_tick_thread_share,
            packet_thread_share=settings.capacity_packet_thread_share,
            loop_share=settings.capacity_loop_share,
            process_share=settings.capacity_process_share,
            tick_time_p99_ms=settings.capacity_tick_time_ms,
        )
        self._gauge = LoadGauge(
            Thresholds(settings.heavily_loaded_ratio, settings.overloaded_ratio)
        )
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None
        self._callbacks: dict[object, Callable[[Admission], None]] = {}
        self.refusals: Counter[Reason] = Counter(dict.fromkeys(MESSAGES, 0))

    @property
    def health(self) -> Health:
        """Normal, heavily loaded or overloaded, whatever follows from it."""
        return self._gauge.health

    @property
    def load(self) -> Load:
        """How much of its capacity the process uses, smoothed over some seconds."""
        return self._gauge.load

    @property
    def capacity(self) -> Capacity:
        """What the load is a share of."""
        return self._capacity

    @property
    def draining(self) -> bool:
        """Whether the process is to stop, and waits for its calls to end."""
        return self._draining

    def drain(self) -> None:
        """Take no new calls from now on. Again is no error."""
        if not self._draining:
            self._draining = True
            self._tell()

    def refusal(self) -> Refusal | None:
        """Return why a call that comes now is to be refused, which is counted; None: it may come.

        Ask once a call, and refuse it then.
        """
        reason: Reason
        if self._draining:
            reason = "draining"
        elif self._settings.admission and self.health is Health.OVERLOADED:
            reason = "overloaded"
        else:
            return None
        self.refusals[reason] += 1
        return Refusal(self._settings.retry_after_s, reason)

    def on_change(self, callback: Callable[[Admission], None]) -> Callable[[], None]:
        """Call *callback* when the health has changed, or draining began. Returns what ends that.

        Taking it off twice is no error.
        """
        key = object()
        self._callbacks[key] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(key, None)

        return unsubscribe

    def start(self) -> None:
        """Sample each second from now on. The platform runs."""
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_S, self._sample)

    def stop(self) -> None:
        """Sample no more. Again is no error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SAMPLE_S, self._sample)
        self.take(load_of(self._platform.recent(LOOK_BACK_S), self._capacity), loop.time())

    def take(self, measured: Load, now_s: float) -> None:
        """Take a load that was measured at *now_s* of a clock that never goes back."""
        before = self.health
        health = self._gauge.take(measured, now_s)
        if health is before:
            return
        load = self.load
        level = logging.INFO if health is Health.NORMAL else logging.WARNING
        log.log(
            level,
            "health %s, was %s: %.0f %% of capacity (%s)",
            health.value,
            before.value,
            100 * load.ratio,
            load.of,
        )
        self._tell()

    def _tell(self) -> None:
        for callback in tuple(self._callbacks.values()):
            try:
                callback(self)
            except Exception:
                # One consumer's bug must not keep the others from hearing of it.
                log.exception("a callback of admission failed")
