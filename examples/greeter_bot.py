"""Greets; falls silent when the caller speaks, and goes on with the sample it was cut off at."""

from pathlib import Path

from mixminus.control.host import Bot, HostedCall
from mixminus.media.pcm import level_dbov
from mixminus.media.pipeline import load_audio

GREETING = load_audio(Path(__file__).resolve().parent.parent / "tests/data/speech.wav")
VOICE_DBOV = -45.0
VOICE_FRAMES = 10  # 200 ms: a cough is no interruption
PAUSE_FRAMES = 25

bot = Bot("greeter")


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer()


@bot.on_call
async def greet(call: HostedCall) -> None:
    clip = call.player.enqueue(GREETING)
    loud = quiet = heard = 0
    async for frame in call.audio:
        is_voice = level_dbov(frame) > VOICE_DBOV
        loud, quiet = (loud + 1, 0) if is_voice else (0, quiet + 1)
        if loud == VOICE_FRAMES and not clip.done.done():
            call.player.clear()  # silent within 40 ms, whatever was queued
            if await clip.done == "cleared":
                heard += clip.position_samples
                print(f"interrupted after {heard / 16_000:.2f} s", flush=True)
        if quiet == PAUSE_FRAMES and clip.done.done() and clip.done.result() == "cleared":
            clip = call.player.enqueue(GREETING[heard:], fade_in_ms=20)
