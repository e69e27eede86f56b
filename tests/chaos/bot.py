"""The bot of the fault runs: writes down what it is told, each line in the file before the next.

CHAOS_JOURNAL names the file; CHAOS_RECORD=1 records each call; CHAOS_SAVE_S: so often its state is
saved again. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from typing import Any

from mixminus.control.host import Bot, CallEndedError, HostedCall

bot = Bot("chaos bot")
_file = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_told: dict[str, bool] = {}


def write(event: str, call: HostedCall, **more: Any) -> None:
    """Append a line about *call*: one write, so that a kill leaves whole lines."""
    chat = call.info.chat
    line = {
        "at": time.clock_gettime(time.CLOCK_MONOTONIC),
        "pid": os.getpid(),
        "event": event,
        "call": call.id,
        "thread": None if chat is None else chat.thread_id,
        **more,
    }
    os.write(_file, json.dumps(line).encode() + b"\n")


@bot.on_call
async def called(call: HostedCall) -> None:
    """Live with a call that is new."""
    await live("called", call)


@bot.on_rejoined
async def rejoined(call: HostedCall) -> None:
    """Live on with a call that came back."""
    await live("rejoined", call)


@bot.on_update
async def updated(call: HostedCall) -> None:
    """Write down each state, and from when on the service says that audio flows."""
    result = call.result
    code = None if result is None else f"{result.code}/{result.subcode} {result.message}"
    write("state", call, state=call.state.value, audio=call.has_audio, result=code)
    if call.has_audio and not _told.get(call.id):
        _told[call.id] = True
        write("audio", call)


async def live(how: str, call: HostedCall) -> None:
    """Count how often the call was lived with, in its saved state; hear it until its end."""
    before = call.saved_state
    media = "service" if call.session is None else "app"
    write(how, call, saved=before, media=media)
    turns = 1 + (before["turns"] if before else 0)
    if await call.save_state({"turns": turns}):
        write("saved", call, turns=turns)
    if os.environ.get("CHAOS_RECORD") == "1":
        recording = await call.record()
        write("recording", call, recording=recording.id)
    saving = asyncio.create_task(save_again(call, turns))
    try:
        await hear(call)
    finally:
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving


async def save_again(call: HostedCall, turns: int) -> None:
    """Save the same state again and again: whoever has the call no more is refused."""
    pause_s = float(os.environ.get("CHAOS_SAVE_S", "0"))
    while pause_s:
        await asyncio.sleep(pause_s)
        try:
            await call.save_state({"turns": turns})
        except CallEndedError:
            write("refused", call)
            return


async def hear(call: HostedCall) -> None:
    """Hear a call until its end."""
    if call.session is None:
        await call.wait_ended()
    frames = 0
    if call.session is not None:
        async for _ in call.audio:
            frames += 1
            if frames % 50 == 0:
                write("heard", call, frames=frames)
    result = call.result
    code = None if result is None else f"{result.code}/{result.subcode} {result.message}"
    write("ended", call, frames=frames, result=code, reason=call.end_reason)
