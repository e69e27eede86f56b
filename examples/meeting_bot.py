"""Joins a meeting of the embedded service, says who is there, and records it to meeting.wav."""

from pathlib import Path

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.media.pipeline import WavWriter

bot = Bot("minutes")


@bot.on_start
async def start(host: BotHost) -> None:
    await host.calls.join(meeting="Weekly sync")


@bot.on_participants
async def show(call: HostedCall) -> None:
    names = [person.display_name or "somebody" for person in call.participants.values()]
    print(f"in the meeting: {', '.join(names)}", flush=True)


@bot.on_call
async def record(call: HostedCall) -> None:
    with WavWriter(Path("meeting.wav")) as recording:
        async for frame in call.audio:
            recording.write(frame)
