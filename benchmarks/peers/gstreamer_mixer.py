"""GStreamer's audiomixer (gst-launch-1.0), in its own process: one output for all that it hears.

Its sources are part of the pipeline, so the same sources without the mixer are run too and taken
off.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from mixminus.media.pcm import FRAME_SAMPLES, SAMPLE_RATE_HZ

NAME = "GStreamer audiomixer, 1 output"
TIMEOUT_S = 120
CAPS = f"audio/x-raw,format=S16LE,rate={SAMPLE_RATE_HZ},channels=1,layout=interleaved"


def absence() -> str | None:
    """Why it cannot be measured here, or None."""
    if not shutil.which("gst-launch-1.0"):
        return (
            "GStreamer's audiomixer: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base"
        )
    inspected = subprocess.run(
        ["gst-inspect-1.0", "--exists", "audiomixer"], capture_output=True, check=False
    )
    if inspected.returncode:
        return "GStreamer's audiomixer: apt-get install gstreamer1.0-plugins-base"
    return None


def version() -> str:
    said = subprocess.run(
        ["gst-launch-1.0", "--version"], capture_output=True, text=True, check=True
    )
    return said.stdout.split("version", 1)[1].split()[0]


def pipeline(legs: int, ticks: int, *, mixed: bool) -> list[str]:
    """Return the command; a square wave is the cheapest sound that is none."""
    source = (
        f"audiotestsrc wave=square samplesperbuffer={FRAME_SAMPLES} num-buffers={ticks} ! {CAPS} ! "
    )
    block = f"output-buffer-duration={FRAME_SAMPLES * 1_000_000_000 // SAMPLE_RATE_HZ}"
    mixer = f"audiomixer name=m {block} ! {CAPS} ! fakesink sync=false " if mixed else ""
    sinks = "m. " if mixed else "fakesink sync=false "
    return ["gst-launch-1.0", "-q", *(mixer + (source + sinks) * legs).split()]


def cpu_s(command: list[str]) -> float:
    """Run *command* and return the CPU time that it took."""
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def tick_ns(legs: int, ticks: int) -> float:
    """Mix *legs* of a square wave *ticks* times. Units: ns of CPU a tick, of all its threads."""
    mixed, alone = (cpu_s(pipeline(legs, ticks, mixed=mixed)) for mixed in (True, False))
    return (mixed - alone) / ticks * 1e9
