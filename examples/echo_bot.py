"""Calls John and sends back what it hears, halved and upside down: so an echo is proof."""

import numpy as np

from mixminus.control.host import Bot, BotHost, HostedCall

bot = Bot("echo bot")


@bot.on_start
async def start(host: BotHost) -> None:
    await host.calls.create(user="John")


@bot.on_call
async def echo(call: HostedCall) -> None:
    async for frame in call.audio:
        await call.audio.send((frame * -0.5).astype(np.int16))
