"""How long a 20 ms frame takes from a ring through PyAV or the mixer to a ring."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.arguments import whole
from benchmarks.report import save_lines
from mixminus.media import _native
from mixminus.media.bridge import Bridge
from mixminus.media.pcm import FRAME_NS, FRAME_SAMPLES, FRAME_TICKS, Pcm
from mixminus.media.pipeline import FrameCutter, Resampler
from mixminus.media.ring import FrameRing
from mixminus.media.transports.link_frames import KIND_AUDIO, Record, pack_message, parse_message
from mixminus.media.transports.opus import OpusEncoder

NAME = "pipeline"
COLUMNS = ["path", "frames", "p50 us", "p99 us", "p99.9 us", "max us", "of 20 ms, p99", "delay ms"]
MAX_DELAY_SAMPLES = 1600
ROUNDS = 5
QUANTILES = [50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 100]
MIXED_LEGS = (2, 8, 64)

Step = Callable[[Pcm], Pcm]
"""Writes one frame into a path's first ring and takes one out of its last."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=whole(1), default=10_000, help="frames on each path")


# ---- paths ---------------------------------------------------------------------------------------


class Ends:
    """The rings at both ends of a path; what comes out too late or too early is noticed."""

    def __init__(self) -> None:
        self.into, self.out = FrameRing(16), FrameRing(16)

    def take(self) -> Pcm:
        frame = self.out.read()
        if frame is None:
            raise RuntimeError("a path gave no frame for a frame")
        return frame


def ring_alone() -> Step:
    """What two rings cost by themselves: the floor of all other rows."""
    ends = Ends()

    def step(frame: Pcm) -> Pcm:
        ends.into.write(frame)
        moved = ends.into.read()
        assert moved is not None
        ends.out.write(moved)
        return ends.take()

    return step


def resampled_up_and_down() -> Step:
    ends, cutter = Ends(), FrameCutter()
    up, down = Resampler(16_000, 1, 48_000, 2), Resampler(48_000, 2, 16_000, 1)

    def step(frame: Pcm) -> Pcm:
        ends.into.write(frame)
        moved = ends.into.read()
        assert moved is not None
        for piece in cutter.push(down.push(up.push(moved.view(np.ndarray)))):
            ends.out.write(piece)
        return ends.take()

    return step


def resampled_down() -> Step:
    """What a WebRTC party's decoded audio goes through: 48 kHz stereo to a ring."""
    ends, cutter = Ends(), FrameCutter()
    down = Resampler(48_000, 2, 16_000, 1)

    def step(frame: Pcm) -> Pcm:
        ends.into.write(frame)
        moved = ends.into.read()
        assert moved is not None
        stereo = np.repeat(moved.view(np.ndarray), 6).reshape(-1, 2)
        for piece in cutter.push(down.push(stereo)):
            ends.out.write(piece)
        return ends.take()

    return step


def opus_and_back() -> Step:
    """Both ends of a WebRTC leg without its network and its jitter buffer."""
    ends, cutter = Ends(), FrameCutter()
    encoder, down = OpusEncoder(), Resampler(48_000, 2, 16_000, 1)
    decoder = av.AudioCodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout, decoder.format = 48_000, "stereo", "s16"
    clock = iter(range(0, 1 << 62, FRAME_TICKS))

    def step(frame: Pcm) -> Pcm:
        ends.into.write(frame)
        moved = ends.into.read()
        assert moved is not None
        for packet in encoder.encode(moved, next(clock)):
            for decoded in decoder.decode(av.Packet(bytes(packet))):
                pcm = decoded.to_ndarray().astype(np.int16, copy=False).reshape(-1, 2)
                for piece in cutter.push(down.push(pcm)):
                    ends.out.write(piece)
        return ends.take()

    return step


def link_message() -> Step:
    """A media link's message, packed and parsed."""
    ends = Ends()

    def step(frame: Pcm) -> Pcm:
        ends.into.write(frame, speakers=(1, 2))
        moved = ends.into.read()
        assert moved is not None
        record = Record(KIND_AUDIO, 0, 0, 1, 0, 7, 0, moved.active_speakers, moved.tobytes())
        for came in parse_message(pack_message([record])):
            ends.out.write(came.payload, came.timestamp, came.flags, came.speakers)
        return ends.take()

    return step


def mixed(legs: int) -> Step:
    """One tick of a bridge with all legs speaking: a frame into each ring and one out of each."""
    engine = _native.Engine()
    bridge = Bridge(engine.add_bridge())
    parties = [bridge.add_leg(number) for number in range(1, legs + 1)]

    def step(frame: Pcm) -> Pcm:
        for party in parties:
            party.source.write(frame)
        engine.run_ticks(1)
        heard = [party.render.read() for party in parties]
        assert heard[0] is not None
        return heard[0]

    return step


PATHS: dict[str, Callable[[], Step]] = {
    "ring -> ring": ring_alone,
    "ring -> 48k stereo to 16k mono -> ring": resampled_down,
    "ring -> 16k to 48k to 16k -> ring": resampled_up_and_down,
    "ring -> Opus encode, decode, 16k -> ring": opus_and_back,
    "ring -> link message and back -> ring": link_message,
    **{f"ring -> mixer, {legs} legs -> ring": partial(mixed, legs) for legs in MIXED_LEGS},
}


# ---- measuring -----------------------------------------------------------------------------------


def speech_like(frames: int) -> list[Pcm]:
    """Noise with the envelope of syllables, so that no path meets an easy signal."""
    rng = np.random.default_rng(1)
    samples = frames * FRAME_SAMPLES
    envelope = np.square(np.sin(np.arange(samples) * 2 * np.pi * 3 / 16_000))
    pcm = (6000 * envelope * rng.standard_normal(samples)).clip(-32768, 32767).astype(np.int16)
    return list(pcm.reshape(frames, FRAME_SAMPLES))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    frames = speech_like(100)
    made = {name: make() for name, make in PATHS.items()}
    delays_ms = {name: delay_ms(step, frames) for name, step in made.items()}
    taken: dict[str, list[int]] = {name: [] for name in PATHS}
    names = list(PATHS)
    for turn in range(ROUNDS):
        # Order rotated, so that a busy moment of the machine meets another path each time.
        for name in names[turn:] + names[:turn]:
            step = made[name]
            for number in range(max(1, args.frames // ROUNDS)):
                frame = frames[number % len(frames)]
                before = time.perf_counter_ns()
                step(frame)
                taken[name].append(time.perf_counter_ns() - before)
    return {
        "benchmark": NAME,
        "title": "One 20 ms frame through a path, in Python, rings at both ends",
        "columns": COLUMNS,
        "rows": [row(name, np.array(taken[name]), delays_ms[name]) for name in names],
    }


def delay_ms(step: Step, frames: list[Pcm]) -> float:
    """By how much what comes out follows what goes in, by cross-correlation; warms the path up."""
    sent = np.concatenate(frames).astype(np.float64)
    came = np.concatenate([step(frame) for frame in frames]).astype(np.float64)
    lags = [float(came[lag:] @ sent[: sent.size - lag]) for lag in range(MAX_DELAY_SAMPLES)]
    return int(np.argmax(lags)) / 16


def row(
    name: str, taken_ns: np.ndarray[Any, np.dtype[np.int64]], delay_ms: float
) -> dict[str, Any]:
    us = taken_ns / 1000.0
    p50, p99, p999 = (float(x) for x in np.percentile(us, (50, 99, 99.9)))
    return {
        "path": name,
        "frames": int(us.size),
        "p50 us": p50,
        "p99 us": p99,
        "p99.9 us": p999,
        "max us": float(us.max()),
        "of 20 ms, p99": f"{p99 * 1000 / FRAME_NS:.2%}",
        "delay ms": delay_ms,
        "quantiles_us": [float(x) for x in np.percentile(us, QUANTILES)],
    }


def plot(result: dict[str, Any], path: Path) -> None:
    series = {}
    for r in result["rows"]:
        tail = [1 / (1 - q / 100) if q < 100 else float(r["frames"]) for q in QUANTILES]
        series[r["path"]] = (tail, r["quantiles_us"])
    save_lines(
        path, result["title"], series, ("one frame in ... takes longer", "us a frame"), log_x=10
    )
