"""Keys that a bot presses over its link: as events to who takes them, as sound to the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixminus.control.service.bot_tones import MAX_WAITING_KEYS, BotTones
from mixminus.control.service.live_call import LiveCall
from tests.interop.test_media_events import World, world
from tests.support import eventually


def live_call(w: World) -> LiveCall:
    (live,) = w.service.book._living.values()
    return live


@pytest.mark.slow
async def test_events_where_they_are_taken_else_a_sound_and_nothing_on_hold(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        device, live = w.media.packets(), live_call(w)
        (john,) = live.conversation.listeners_of(live.member)
        tones = BotTones(live)
        for key, duration_ms in (("1", 0), ("#", 250), ("D", 5)):
            tones.press(key, duration_ms)
        await eventually(lambda: device.keys == [("1", 100), ("#", 250), ("D", 40)])
        assert john.whispers == [], "one press, heard once"
        for key in "1#D":
            assert (await w.john.expect("tone"))["tone"] == key

        device.takes_events = False
        tones.press("5", 100)
        await eventually(lambda: len(john.whispers) == 1)
        whisper = john.whispers[0]
        await eventually(lambda: not john.whispers)
        assert whisper.counters().voice >= 5, "100 ms"
        assert (await w.john.expect("tone"))["tone"] == "5"

        await w.john.send(type="hold", callId=w.call_id, held=True)
        await w.john.expect("held")
        device.keys.clear()
        tones.press("1", 40)
        await eventually(lambda: tones._task is not None and tones._task.done())
        assert device.keys == []


@pytest.mark.slow
async def test_keys_without_end_are_dropped_and_the_call_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        live = live_call(w)
        tones = BotTones(live)
        for _ in range(MAX_WAITING_KEYS + 10):
            tones.press("1", 60_000)
        assert tones.dropped_keys == 10
        assert caplog.text.count("faster than they sound") == 1
        await w.john.send(type="hangup", callId=w.call_id)
        await eventually(lambda: w.receiver.states(w.call_id)[-1:] == ["terminated"])
        assert tones._task is not None
        assert tones._task.done()
