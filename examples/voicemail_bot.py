"""Takes a message: a beep, what the caller says until #, 3 s of silence or 30 s, played back."""

import tempfile
from pathlib import Path

import numpy as np

from mixminus.control.host import Bot, HostedCall
from mixminus.media.pcm import SAMPLE_RATE_HZ, level_dbov
from mixminus.media.pipeline import WavWriter

BEEP = (8000 * np.sin(2 * np.pi * 1000 / SAMPLE_RATE_HZ * np.arange(8000))).astype(np.int16)
MAX_FRAMES = 30 * 50
SILENT_FRAMES = 3 * 50
SILENT_DBOV = -50.0

bot = Bot("voicemail")


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer()


@bot.on_call
async def serve(call: HostedCall) -> None:
    await call.player.play(BEEP, fade_in_ms=5, fade_out_ms=5)
    path = Path(tempfile.mkdtemp()) / "message.wav"
    await take_message(call, path)
    print(f"a message from {call.peer.display_name}: {path}", flush=True)
    await call.player.play(BEEP, fade_in_ms=5, fade_out_ms=5)
    await call.player.play(path)


async def take_message(call: HostedCall, path: Path) -> None:
    keys: list[str] = []
    stop_keys = call.audio.on_tone(keys.append)
    call.audio.detect_tones = True  # a telephone may send them as sound alone
    frames = quiet = 0
    with WavWriter(path) as message:
        async for frame in call.audio:
            message.write(frame)
            frames += 1
            quiet = quiet + 1 if level_dbov(frame) < SILENT_DBOV else 0
            if "#" in keys or quiet == SILENT_FRAMES or frames == MAX_FRAMES:
                break
    stop_keys()
