"""Records what a policy says must be recorded: the mix, each speaker, and who spoke when."""

import json

from mixminus.control.host import Bot, HostedCall

bot = Bot("compliance recorder")


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer()


@bot.on_call
async def record(call: HostedCall) -> None:
    # The service is told first (updateRecordingStatus): nothing is stored before it agrees.
    recording = await call.record()
    report = await recording.done
    print(f"{report.duration_s:.1f} s, {report.reason.value}: {report.directory}", flush=True)
    for line in (report.directory / "segments.jsonl").read_text().splitlines():
        said = json.loads(line)
        name = said["name"] or call.peer.display_name  # a call of two may have no roster
        print(f"  {said['start_s']:6.2f} to {said['end_s']:6.2f} s  {name}", flush=True)
