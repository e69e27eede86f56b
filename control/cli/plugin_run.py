"""A plugin run on a file, offline: what it made, what it told, how long its frames took."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mixminus.media.plugins.contract import PluginFactory, Stream

FRAME_S: Final = 0.02


@dataclass(slots=True)
class PluginRun:
    """What came of it. Times are of each frame, and of the plugin's own thread in it."""

    times_ns: list[int] = field(default_factory=list)
    own_times_ns: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    event_count: int = 0
    is_truncated: bool = False

    @property
    def seconds(self) -> float:
        """How much was run."""
        return len(self.times_ns) * FRAME_S

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        import numpy as np

        from mixminus.media.plugins.contract import BUDGET_MS

        times_ms, own_ms = np.array(self.times_ns) / 1e6, np.array(self.own_times_ns) / 1e6
        p50, p99, longest = (*np.percentile(times_ms, (50, 99)), times_ms.max())
        return {
            "frames": int(times_ms.size),
            "frameP50Ms": round(float(p50), 4),
            "frameP99Ms": round(float(p99), 4),
            "frameMaxMs": round(float(longest), 4),
            "realTimeFactor": round(float(times_ms.sum() / (1000.0 * self.seconds)), 6),
            "budgetMs": BUDGET_MS,
            "overBudget": int(np.count_nonzero(own_ms > BUDGET_MS)),
            "events": self.event_count,
            "faults": self.faults,
            "truncated": self.is_truncated,
        }

    def timing(self) -> str:
        """Return the times as a line for people."""
        told = self.as_json()
        share = told["realTimeFactor"]
        faster = f"({1 / share:.0f} times as fast as a call)" if share else "(none to speak of)"
        return (
            f"{told['frames']} frames of 20 ms: p50 {told['frameP50Ms']:.3f} ms,"
            f" p99 {told['frameP99Ms']:.3f} ms, max {told['frameMaxMs']:.3f} ms a frame;"
            f" real-time factor {share:.4f} {faster};"
            f" {told['overBudget']} took more than {told['budgetMs']:g} ms of their own"
        )


def run_on_file(
    factory: PluginFactory,
    config: dict[str, Any],
    stream: Stream,
    source: Path,
    out: Path,
    *,
    on_event: Callable[[float, str, Any], None],
    on_second: Callable[[float], None],
) -> PluginRun:
    """Run a plugin on *source* and write what it makes to *out*.

    *on_event* is told the time in the file, the event's name and its value, from any thread;
    *on_second* each second of the file that is done.
    Raises: PluginError, AudioFileError, OSError.
    """
    from itertools import chain
    from time import perf_counter_ns

    from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, AudioFrame
    from mixminus.media.pipeline import WavWriter, open_audio
    from mixminus.media.plugins.offline import OfflinePlugin, PluginFaultError
    from mixminus.media.plugins.probes import silence

    result = PluginRun()

    def note(name: str, value: Any) -> None:
        result.event_count += 1
        on_event(result.seconds, name, value)

    plugin = OfflinePlugin(factory, config, stream=stream, on_value=note)
    with open_audio(source) as decoder, plugin, WavWriter(out) as writer:
        tail = (silence(1) for _ in range(-(-plugin.latency_samples // FRAME_SAMPLES)))
        for index, pcm in enumerate(chain(decoder, tail)):
            if index % round(1 / FRAME_S) == 0:
                on_second(index * FRAME_S)
            frame = AudioFrame.of(pcm, index * FRAME_TICKS)
            began_ns = perf_counter_ns()
            try:
                made = plugin.process(frame)
            except PluginFaultError as exc:
                # As in a call: this frame goes past the plugin.
                result.faults.append(f"the frame at {index * FRAME_S:.2f} s: {exc}")
                made = frame
            result.times_ns.append(perf_counter_ns() - began_ns)
            writer.write(made)
    result.own_times_ns = plugin.own_times_ns
    result.is_truncated = decoder.truncated
    return result


class EventLines:
    """Prints what a plugin tells, with the time in the file: all of it, or the first ones."""

    def __init__(self, say: Callable[[str], None], most: int | None) -> None:
        self._say, self._most = say, most
        self._count = 0

    def note(self, at_s: float, name: str, value: Any) -> None:
        """Take one event. Thread: any."""
        self._count += 1
        if self._most is None or self._count <= self._most:
            self._say(f"{at_s:9.2f} s  {name}  {json.dumps(value, default=str)}")

    def finish(self) -> None:
        """Say how much was not printed."""
        if self._most is not None and self._count > self._most:
            self._say(f"... and {self._count - self._most} more events (--all-events)")
