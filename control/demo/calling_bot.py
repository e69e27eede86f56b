"""The bot of ``mixminus demo``: calls John, and says again what it hears."""

import numpy as np

from mixminus.control.host import Bot, BotHost, HostedCall

bot = Bot("echo bot")


@bot.on_start
async def start(host: BotHost) -> None:
    """Call John."""
    await host.calls.create(user="John")


@bot.on_call
async def echo(call: HostedCall) -> None:
    """Send back each frame, halved and upside down: so an echo is proof."""
    async for frame in call.audio:
        await call.audio.send((frame * -0.5).astype(np.int16))
