"""Reads in a meeting, and after a crash of its host goes on with the page that it was at.

    mixminus try examples/survivor_bot.py --meeting

Kill a host that runs it with `mixminus serve` (kill -9), start it again: it says where it goes on.
"""

import numpy as np

from mixminus.control.host import Bot, BotHost, GraphRequestError, HostedCall
from mixminus.media.pcm import SAMPLE_RATE_HZ

PAGE_S = 2.0
"""How long one page takes to read: here, a tone that is higher from page to page."""

bot = Bot("reader")


@bot.on_start
async def start(host: BotHost) -> None:
    if host.calls:  # Those that came back are there already.
        return
    try:
        await host.calls.join(meeting="Weekly sync")
    except GraphRequestError as exc:  # In a fleet: another host has the call.
        print(f"not joined: {exc.message}", flush=True)


@bot.on_call
async def begin(call: HostedCall) -> None:
    await read(call, page=1)


@bot.on_rejoined
async def go_on(call: HostedCall) -> None:
    page = (call.saved_state or {}).get("page", 1)
    print(f"back in epoch {call.epoch}, at page {page}", flush=True)
    await read(call, page)


async def read(call: HostedCall, page: int) -> None:
    while not call.is_over:
        await call.save_state({"page": page})  # Before it is read: no page is left out.
        await call.player.play(tone(400 + 50 * (page % 8)))
        page += 1


def tone(frequency_hz: float) -> np.ndarray:
    seconds = np.arange(int(PAGE_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (3000 * np.sin(2 * np.pi * frequency_hz * seconds)).astype(np.int16)
