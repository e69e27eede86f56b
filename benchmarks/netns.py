"""The network benchmark in real time: two engines in two namespaces, RTP over a bad link."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tests.sim.link import PROFILES

from benchmarks import tun
from benchmarks.call import Pcm, call, codecs
from benchmarks.processes import BenchmarkError
from benchmarks.speech import voices
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.rtp import RtpEndpoint
from mixminus.media.transports.rtp_parameters import RtpParameters

PROFILE_NAMES = ("N1", "N2", "N3", "N4", "N5")
CALL_S = 20.0
START_S, END_S = 20.0, 10.0
RTP_PORT = 5004
OPUS_TYPE = 111
AHEAD_FRAMES = 4
SAMPLE_S = 0.2
FRAME_MS = 20
COLUMNS = [
    "run", "lost %", "concealed %", "virtual concealed %", "fec %", "added p50", "virtual p50",
    "added p95", "virtual p95", "late ticks", "link p99 ms",
]  # fmt: skip
CONCEALED_POINTS, DELAY_MS = 3.0, 40.0
"""How far a run of 20 s may be from the virtual one: other packets are lost in it."""

ROOT = Path(__file__).resolve().parent.parent


# ---- one end, in its namespace -------------------------------------------------------------------


async def be_an_end(task: dict[str, Any]) -> dict[str, Any]:
    """Speak to the far end for a while; return what was heard of it."""
    frames = np.load(task["speech"]).reshape(-1, FRAME_SAMPLES)
    delays: list[float] = []
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        talker, far = bridge.add_leg(1, paced=True), bridge.add_leg(2)
        endpoint = await RtpEndpoint.open(platform, bind=task["bind"], port=RTP_PORT)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        remote = (task["remote"], RTP_PORT)
        transport = endpoint.connect(
            far, RtpParameters(codec="opus", payload_type=OPUS_TYPE, remote=remote)
        )
        said = 0

        def speak() -> None:
            nonlocal said
            while talker.source.depth_frames < AHEAD_FRAMES:
                talker.source.write(frames[said % len(frames)], platform.now())
                said += 1

        unsubscribe = platform.on_tick(speak)
        try:
            async with asyncio.timeout(task["seconds"] + END_S):
                for _ in range(round(task["seconds"] / SAMPLE_S)):
                    await asyncio.sleep(SAMPLE_S)
                    if (delay := transport.quality().delay_ms) is not None:
                        delays.append(delay - FRAME_MS)
                found = asdict(transport.quality())
                found["late_ticks"] = platform.stats().late_ticks
        finally:
            unsubscribe()
            await endpoint.close()
            bridge.close()
    return found | {"delays_ms": delays}


def main() -> int:
    task = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(be_an_end(task))))
    return 0


# ---- both, from outside --------------------------------------------------------------------------


def talk(name: str, speech: Path, call_s: float, seed: int) -> tuple[list[dict[str, Any]], tun.Net]:
    """Return what each end heard, and the net with its report."""
    with tun.joined(PROFILES[name], seconds=call_s + START_S + END_S, seed=seed) as net:
        ends: list[subprocess.Popen[str]] = []
        try:
            for end in (0, 1):
                task: dict[str, Any] = {"bind": net.addresses[end]}
                task |= {"remote": net.addresses[1 - end], "seconds": call_s}
                task["speech"] = str(speech)
                command = net.inside(
                    end, sys.executable, "-m", "benchmarks.netns", json.dumps(task)
                )
                ends.append(
                    subprocess.Popen(
                        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
                    )
                )
            for end_process in ends:
                assert end_process.stdout is not None
                if end_process.stdout.readline() != "ready\n":
                    raise BenchmarkError(f"{name}: an end did not start")
            for end_process in ends:
                assert end_process.stdin is not None
                end_process.stdin.write("go\n")
                end_process.stdin.flush()
            said = [one.communicate(timeout=call_s + 2 * END_S)[0] for one in ends]
        finally:
            for one in ends:
                if one.poll() is None:
                    one.kill()
                    one.wait()
    return [json.loads(text) for text in said], net


def measure(args: argparse.Namespace, *, call_s: float = CALL_S) -> dict[str, Any]:
    """Compare with the same profiles in virtual time."""
    if reason := tun.refusal():
        raise BenchmarkError(reason)
    spoken, how = voices(synthesise=args.synthesise)
    pcm = np.concatenate([voice.pcm for voice in spoken])[: int(call_s * 50) * FRAME_SAMPLES]
    codecs()
    names = PROFILE_NAMES[:1] if args.quick else PROFILE_NAMES
    rows = [compare(name, pcm, call_s, seed) for seed, name in enumerate(names, 1)]
    return {
        "benchmark": "network namespaces",
        "title": f"Two engines in two namespaces, RTP both ways, {call_s:g} s; beside virtual time",
        "columns": COLUMNS,
        "rows": rows,
        "notes": [f"Speech by {how}. The link is a process: its own noise is in the last column."],
        "goals": [goal for row in rows for goal in goals(row)],
    }


def compare(name: str, pcm: Pcm, call_s: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.npy"
        np.save(speech, pcm)
        heard, net = talk(name, speech, call_s, seed)
    virtual = call(pcm, PROFILES[name], seed)

    def share(count: str) -> float:
        due = sum(e["voice_ticks"] + e["fec_ticks"] + e["concealed_ticks"] for e in heard)
        return float(100 * sum(e[count] for e in heard) / due)

    lost = sum(end["lost_packets"] for end in heard)
    delays = [ms for end in heard for ms in end["delays_ms"]]
    p50, p95 = np.percentile(delays, (50, 95))
    return {
        "run": name,
        "lost %": 100 * lost / (lost + sum(end["received_packets"] for end in heard)),
        "concealed %": share("concealed_ticks"),
        "virtual concealed %": 100 * virtual.concealed_ratio,
        "fec %": share("fec_ticks"),
        "added p50": float(p50),
        "virtual p50": virtual.added_ms(50),
        "added p95": float(p95),
        "virtual p95": virtual.added_ms(95),
        "late ticks": sum(end["late_ticks"] for end in heard),
        "link p99 ms": net.report["self_noise_ms"]["p99"],
        "link": net.report,
    }


def goals(row: dict[str, Any]) -> list[dict[str, Any]]:
    name = row["run"]
    points = abs(row["concealed %"] - row["virtual concealed %"])
    apart = abs(row["added p50"] - row["virtual p50"])
    return [
        {
            "what": f"{name}: concealed, points from virtual time <= {CONCEALED_POINTS:g}",
            "measured": points,
            "met": points <= CONCEALED_POINTS,
        },
        {
            "what": f"{name}: added delay p50, ms from virtual time <= {DELAY_MS:g}",
            "measured": apart,
            "met": apart <= DELAY_MS,
        },
    ]


if __name__ == "__main__":
    sys.exit(main())
