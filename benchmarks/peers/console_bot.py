"""A bot that stays in its calls, and says nothing: `benchmarks.console` runs it.

Its media links carry frames both ways all the same; what a bot makes of them is not measured.
"""

from __future__ import annotations

from mixminus.control.host import Bot, HostedCall

bot = Bot("benchmark bot")


@bot.on_call
async def stay(call: HostedCall) -> None:
    """Stay until the call ends."""
    await call.wait_ended()
