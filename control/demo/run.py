"""Carry the demo out: a call service, a bot host and a softphone in three processes, one call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixminus.media.pcm import SAMPLE_RATE_HZ, Pcm
from mixminus.media.pipeline import WavWriter, is_silent, load_audio

from ..camel import camel_keys
from .echo import compare
from .processes import DemoError, Process
from .report import DemoReport
from .witness import Witness

CALLEE = "John"
GRACE_S = 3.0
END_S = 20.0
"""After the call's own duration: what hanging up and writing the files may take."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to play, for how long, to which bot, and where the results go."""

    input_file: Path
    bot_file: Path
    duration_s: float
    out_dir: Path


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The report, and the two recordings it was made from."""

    report: DemoReport
    played: Pcm
    heard: Pcm


Progress = Callable[[str, float], None]
"""Told what is happening and how much of the call is over, 0 to 1."""


async def run_demo(options: DemoOptions, progress: Progress) -> DemoResult:
    """Make the call and compare what came back.

    Raises: DemoError when it could not be carried out; AudioFileError on a file that is no audio.
    """
    progress("reading the input", 0.0)
    spoken = load_audio(options.input_file)
    if is_silent(spoken):
        raise DemoError(f"{options.input_file} is silent: an echo of it would prove nothing")
    options.out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mixminus-demo-") as scratch:
        outcome = await call_john(options, Path(scratch), progress)
    progress("comparing", 1.0)
    return examine(options, spoken.size / SAMPLE_RATE_HZ, outcome)


@dataclass
class Outcome:
    """What the three processes left behind."""

    softphone: dict[str, Any]
    service: dict[str, Any]
    host: dict[str, Any]
    processes: dict[str, Process]
    problems: tuple[str, ...]


async def call_john(options: DemoOptions, scratch: Path, progress: Progress) -> Outcome:
    """Start all three, follow the call to its end, and ask each what it did."""
    state, host_state = scratch / "service", scratch / "host"
    out, report_file = options.out_dir, scratch / "softphone.json"
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str, *arguments: str) -> Process:
            progress(f"starting the {name}", 0.0)
            log_file = out / f"{name.replace(' ', '-')}.log"
            return await stack.enter_async_context(Process(name, arguments, log_file))

        service = await start("call service", "service", "--state", str(state), "--port", "0")
        await service.wait_for((state / "dev.json").exists, "it listened")
        phone = await start(
            "softphone",
            *("join", "--state", str(state), "--user", CALLEE),
            *("--play", str(options.input_file), "--duration", str(options.duration_s)),
            *("--record", str(out / "echo.wav"), "--played", str(out / "input.wav")),
            *("--report", str(report_file), "--json"),
        )
        events = phone.events()
        if await next_event(events, "registered") is None:
            raise phone.ended_early("John was registered")
        host = await start(
            "bot host",
            *("serve", "--dev-file", str(state / "dev.json"), "--state", str(host_state)),
            *("--bot", str(options.bot_file), "--port", "0"),
        )
        processes = {"service": service, "host": host, "softphone": phone}
        await host.wait_for((host_state / "host.json").exists, "it listened")
        witness = Witness(state, host_state)
        stack.push_async_callback(witness.close)
        problem = await follow(options, processes, events, witness, progress)
        served, hosted = await witness.both()
        code = phone.exit_code
    told = json.loads(report_file.read_text()) if report_file.exists() else {}
    problems = [problem] if problem else []
    if not problem and code:
        problems.append(f"the softphone ended with exit code {code}: see softphone.log")
    if hosted.get("error"):
        problems.append(f"the bot failed: {hosted['error']}")
    told, served, hosted = (camel_keys(said) for said in (told, served, hosted))
    return Outcome(told, served, hosted, processes, tuple(problems))


async def next_event(events: AsyncIterator[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Return the next event called *name*, None when the process ended without it."""
    async for event in events:
        if event.get("event") == name:
            return event
    return None


async def follow(
    options: DemoOptions,
    processes: dict[str, Process],
    events: AsyncIterator[dict[str, Any]],
    witness: Witness,
    progress: Progress,
) -> str | None:
    """Follow the call to its end; return what went wrong, if anything.

    Raises: DemoError when the bot host ends first.
    """
    host = processes["host"]
    progress(f"the bot calls {CALLEE}", 0.0)
    following = asyncio.create_task(listen(options, processes, events, progress))
    dying = asyncio.create_task(host.ended())
    over = asyncio.create_task(witness.over())
    try:
        await asyncio.wait({following, dying, over}, return_when=asyncio.FIRST_COMPLETED)
        if dying.done() and not following.done():
            raise host.ended_early("the call was over")
        if over.done() and not following.done():
            # The softphone still has its files to write, unless it was never rung.
            await asyncio.wait({following}, timeout=GRACE_S)
        if not following.done():
            result = over.result().get("resultInfo") or {}
            return f"the call ended before audio flowed: {result.get('message', 'no reason given')}"
        return await following
    finally:
        for task in (following, dying, over):
            task.cancel()


async def listen(
    options: DemoOptions,
    processes: dict[str, Process],
    events: AsyncIterator[dict[str, Any]],
    progress: Progress,
) -> str | None:
    """Take the softphone's events in until its end; return what went wrong, if anything."""
    loop = asyncio.get_running_loop()
    connected = False
    try:
        async with asyncio.timeout(END_S) as limit:
            async for event in events:
                match event.get("event"):
                    case "connected":
                        connected = True
                        limit.reschedule(loop.time() + options.duration_s + END_S)
                        progress("John speaks and listens", 0.0)
                    case "progress":
                        seconds = float(event["seconds"])
                        for process in processes.values():
                            process.sample_memory(seconds)
                        progress("John speaks and listens", min(1.0, seconds / options.duration_s))
                    case "ended" if not connected:
                        return f"the call ended before audio flowed: {event.get('message')}"
                    case _:
                        pass
    except TimeoutError:
        what = "to end" if connected else "to be answered and connected"
        return f"waited {END_S:.0f} s for the call {what}"
    return None if connected else "the call was never connected"


def examine(options: DemoOptions, input_s: float, outcome: Outcome) -> DemoResult:
    """Compare the two recordings and put the report together."""
    played = read_recording(options.out_dir / "input.wav")
    heard = read_recording(options.out_dir / "echo.wav")
    report = DemoReport(
        echo=compare(played, heard),
        input_name=options.input_file.name,
        input_s=round(input_s, 3),
        looped=input_s < options.duration_s,
        duration_s=options.duration_s,
        call_id=outcome.host.get("callId"),
        service=outcome.service,
        host=outcome.host,
        softphone=outcome.softphone,
        memory={name: process.memory for name, process in outcome.processes.items()},
        problems=outcome.problems,
    )
    return DemoResult(report, played, heard)


def read_recording(path: Path) -> Pcm:
    """Read a recording of ours; when no audio ever flowed, leave an empty one in its place."""
    if not path.exists():
        WavWriter(path).close()
    with wave.open(str(path), "rb") as recording:
        return np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
