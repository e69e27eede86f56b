"""Puts two calls together: who rings first hears a tone until the second rings, then each other."""

import asyncio
from typing import Any

import numpy as np

from mixminus.control.host import Bot, HostedCall
from mixminus.media.pcm import SAMPLE_RATE_HZ

SECOND = np.sin(2 * np.pi * 425 / SAMPLE_RATE_HZ * np.arange(SAMPLE_RATE_HZ))
RINGING = np.concatenate((2000 * SECOND, np.zeros(3 * SAMPLE_RATE_HZ))).astype(np.int16)

bot = Bot("bridge")
waiting: dict[HostedCall, asyncio.Future[HostedCall]] = {}


@bot.on_incoming_call
async def take(call: HostedCall) -> None:
    await call.answer()


@bot.on_call
async def bridge(call: HostedCall) -> None:
    other = await find_other(call)
    if other is None:
        return
    print(f"{call.peer.display_name} talks to {other.peer.display_name}", flush=True)
    async for frame in call.audio:
        if other.audio.closed:
            break  # hung up: this call ends, too
        other.audio.send_nowait(frame)


async def find_other(call: HostedCall) -> HostedCall | None:
    if waiting:
        other, found = waiting.popitem()
        found.set_result(call)
        return other
    found = waiting[call] = asyncio.get_running_loop().create_future()
    call.player.enqueue(RINGING, loop=True)
    gone = asyncio.create_task(call.wait_ended())
    either: list[asyncio.Future[Any]] = [found, gone]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    waiting.pop(call, None)
    call.player.clear()
    return found.result() if found.done() else None
