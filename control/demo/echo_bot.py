"""The bot of ``mixminus dev``: answers every call, and says again what it hears, at half the level.

It joins meetings, too, when it is placed in one. Copy it, change it, and run the copy:
``mixminus dev --bot FILE``.
"""

import numpy as np

from mixminus.control.host import Bot, HostedCall

bot = Bot("Echo bot")


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    """Answer whoever rings."""
    await call.answer()


@bot.on_call
async def echo(call: HostedCall) -> None:
    """Send back each frame: upside down, which nobody hears, and which proves that it is ours."""
    async for frame in call.audio:
        await call.audio.send((frame * -0.5).astype(np.int16))
