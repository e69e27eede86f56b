"""Calls Alice for whoever rings, and takes the noise off both voices on their way."""

from mixminus.control.host import Bot, BotHost, HostedCall

bot = Bot("noise relay")
hosts: list[BotHost] = []
callers: dict[str, HostedCall] = {}


@bot.on_start
async def start(host: BotHost) -> None:
    hosts.append(host)


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer()


@bot.on_call
async def relay(call: HostedCall) -> None:
    other = callers.pop(call.id, None)
    if other is None:
        other = await hosts[-1].calls.create(user="Alice")
        callers[other.id] = call
    await call.plugins.add("noise_suppression", on="mix", config={"suppression_db": 21})
    async for frame in call.audio:
        if other.audio.closed:
            break  # hung up: this call ends, too
        other.audio.send_nowait(frame)
