"""Calls John and plays a file, samples, a live feed. 1 pauses, 2 cuts off, 0 hangs up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from mixminus.control.host import Bot, BotHost, HostedCall

SPEECH = Path(__file__).resolve().parent.parent / "tests/data/speech.wav"
BEEP = (8000 * np.sin(2 * np.pi * 880 / 16_000 * np.arange(4000))).astype(np.int16)

bot = Bot("prompt player")


@bot.on_start
async def start(host: BotHost) -> None:
    await host.calls.create(user="John")


@bot.on_call
async def play(call: HostedCall) -> None:
    player = call.player
    call.audio.on_tone(lambda key: press(call, key))
    player.on_mark(lambda name, heard: print(f"{name}: {'heard' if heard else 'cut'}", flush=True))
    player.on_low_on_frames(lambda ms: print(f"{ms:.0f} ms left", flush=True), threshold_ms=500)
    clips = [
        player.enqueue(BEEP, gain_db=-6, fade_out_ms=100, loop=3, mark="beeps"),
        player.enqueue(SPEECH, fade_in_ms=200, mark="speech"),
        player.feed(synthesise(), rate_hz=24_000, mark="feed"),
    ]
    for clip in clips:
        print(f"{clip.name}: {await clip.done}, {clip.position_ms:.0f} ms", flush=True)


def press(call: HostedCall, key: str) -> None:
    player = call.player
    if key == "1":
        player.resume() if player.is_paused else player.pause()
    elif key == "2":
        player.clear()
    elif key == "0":
        asyncio.get_running_loop().create_task(call.hang_up())


async def synthesise() -> AsyncIterator[bytes]:
    """A falling tone as a speech service sends it: chunks of any size, when they are ready."""
    phase = np.cumsum(2 * np.pi * np.linspace(1200, 300, 48_000) / 24_000)
    data = (6000 * np.sin(phase)).astype(np.int16).tobytes()
    for at in range(0, len(data), 7001):
        yield data[at : at + 7001]
        await asyncio.sleep(0.05)
