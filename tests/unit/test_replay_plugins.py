"""Plugins in a replay: they tell again what they told, and change nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mixminus.control.host import Bot, HostedCall
from mixminus.control.replay.run import replay
from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.plugins.contract import PluginContext
from tests.unit.test_replay import made_capture


def halve(frame: AudioFrame) -> Pcm:
    return (frame // 2).astype(np.int16)


def plus_seven(frame: AudioFrame) -> Pcm:
    return (frame + 7).astype(np.int16)


class Counts:
    """Tells the loudest sample of a frame, if it is a round number."""

    def __init__(self) -> None:
        self.context: PluginContext | None = None

    def open(self, context: PluginContext) -> None:
        self.context = context

    def process(self, frame: AudioFrame) -> None:
        loudest = int(frame.max())
        if loudest and loudest % 50 == 0:
            assert self.context is not None
            self.context.emit("loudest", loudest)


def plugin_bot(said: list[int], ready: Callable[[], object]) -> Bot:
    bot = Bot("plugins")

    @bot.on_call
    async def talk(call: HostedCall) -> None:
        call.plugins.on_event(
            lambda event: said.append(event.value) if event.detail == "loudest" else None
        )
        await call.plugins.add(halve, on="speaker", name="halve")
        await call.plugins.add(Counts, on="speaker", name="counts")
        await call.plugins.add(plus_seven, on="own", name="plus seven")
        ready()
        async for frame in call.audio:
            await call.audio.send(np.asarray(frame + len(said)).astype(np.int16))

    return bot


def test_what_plugins_did_is_not_done_again_and_what_they_tell_is_told(
    tmp_path: Path,
) -> None:
    told_then: list[int] = []
    is_open = asyncio.Event()

    async def wait_open(call: HostedCall) -> None:
        # Opening takes a thread as long as it takes; in a replay, no time at all.
        assert call.session is not None
        call.session.open_speaker(5)
        await is_open.wait()

    bot = plugin_bot(told_then, is_open.set)
    world = made_capture(tmp_path, bot, has_plugins=True, before=wait_open)
    assert told_then
    # Speech is 2000 to 5000, and halved by the plugin.
    assert 1000 <= max(told_then) <= 2500
    told: list[int] = []
    first = replay(world.capture(), plugin_bot(told, int))
    assert first.bot_error is None
    assert 1000 <= max(told) <= 2500
    assert told == told_then
    again: list[int] = []
    second = replay(world.capture(), plugin_bot(again, int))
    assert (second.digest, again) == (first.digest, told)
    assert first.is_same, (first.same_frames, first.own_frames, first.shift_frames)
