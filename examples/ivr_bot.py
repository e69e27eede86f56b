"""Answers calls: plays a greeting, records a message until #, plays it back; 0 is put through."""

import tempfile
from pathlib import Path

from mixminus.control.host import Bot, HostedCall, Identity, OperationFailedError

GREETING = Path(__file__).resolve().parent.parent / "tests/data/speech.wav"
ALICE = Identity.user("278405a3-f568-4b3e-b684-009193463064", "Alice")

bot = Bot("front desk")


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer(media="service")


@bot.on_call
async def serve(call: HostedCall) -> None:
    tones = call.tones()
    await call.subscribe_to_tone()
    await call.play_prompt(GREETING)
    try:
        message = await call.record_response(max_duration_s=30, stop_tones=["#"])
    except OperationFailedError as silence:
        print(f"no message: {silence}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "message.wav"
            clip.write_bytes(await call.fetch_recording(message))
            await call.play_prompt(clip)
    while tone := await tones.next(timeout_s=10):
        if tone.key == "0":
            await call.transfer(ALICE)
            await call.wait_ended()
