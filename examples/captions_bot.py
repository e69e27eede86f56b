"""Writes down what each person in a meeting says, as they say it (pip: mixminus[transcript])."""

from mixminus.control.host import Bot, BotHost, HostedCall
from mixminus.media.plugins.events import PluginEvent

bot = Bot("captions")


@bot.on_start
async def start(host: BotHost) -> None:
    await host.calls.join(meeting="Weekly sync")


@bot.on_call
async def caption(call: HostedCall) -> None:
    def show(event: PluginEvent) -> None:
        if event.kind == "value" and event.detail == "transcript":
            said, source_id = event.value, event.source_id
            name = None if source_id is None else call.speaker_name(source_id)
            at_s = said["start_ms"] / 1000
            print(f"[{at_s:7.2f}] {name or 'somebody'}: {said['text']}", flush=True)

    call.plugins.on_event(show)
    # One recogniser for each person; it only listens, so it may take its time.
    await call.plugins.add("transcript", on="speaker")
    await call.wait_ended()
