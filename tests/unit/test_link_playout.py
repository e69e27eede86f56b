"""What a media link's frames become on their way into the leg: holes, stalls, descriptions."""

from __future__ import annotations

import pytest

from mixminus.media.pcm import (
    FLAG_COMFORT,
    FLAG_CONCEALED,
    FLAG_FEC,
    FLAG_SILENCE,
    FLAG_SKIPPED,
)
from tests.linkfar import Far, audio


async def test_frames_are_played_one_tick_after_they_came_with_all_that_is_known_of_them() -> None:
    far = await Far.open()
    far.tick(5)
    for sequence in range(2**32 - 3, 2**32 + 3):
        await far.say(audio(sequence % 2**32, 100 + sequence % 7))
        far.tick()
    said = [100 + sequence % 7 for sequence in range(2**32 - 3, 2**32 + 3)]
    assert [int(frame[-1]) for frame in far.heard[5:]] == said
    assert {frame.active_speakers for frame in far.heard[5:]} == {(7,)}
    assert {frame.frame_flags for frame in far.heard[5:]} == {0}
    await far.say(audio(3, 50, flags=FLAG_CONCEALED), audio(4, 0, flags=FLAG_SILENCE))
    far.tick(2)
    assert [frame.frame_flags for frame in far.heard[-2:]] == [FLAG_CONCEALED, FLAG_SILENCE]
    for flag in (FLAG_FEC, FLAG_COMFORT):
        await far.say(audio(5 + (flag == FLAG_COMFORT), 700, flags=flag))
        far.tick()
        # Voice out of redundancy, the noise of a pause: neither was made up here.
        assert far.heard[-1].frame_flags == flag
    assert far.transport.quality().lost_packets == 0
    await far.transport.close()


async def test_a_hole_is_concealed_where_it_was_and_nothing_is_said_twice() -> None:
    far = await Far.open()
    for sequence in (0, 1, 2, 3, 5, 6, 7):
        await far.say(audio(sequence, 1000 + sequence))
        far.tick(1 + (sequence == 3))
    far.tick(2)
    voice = [int(frame[-1]) for frame in far.heard if not frame.frame_flags]
    assert voice == [1000, 1001, 1002, 1003, 1005, 1006, 1007][: len(voice)]
    assert len(voice) >= 6
    counters = far.leg.counters()
    assert counters.concealed >= 1
    assert far.transport.counters()["missing"] == 1
    peer = far.leg.peer
    assert peer is not None
    counts = peer.counters()
    kinds = ("voice", "fec", "concealed", "comfort", "silence", "skipped")
    assert counts["ticks"] == sum(counts[f"{kind}_ticks"] for kind in kinds)
    assert counts["packets"] == counts["decoded"] + counts["buffered"] == 7
    await far.transport.close()


async def test_a_tick_that_the_far_end_left_out_is_made_up_and_said_to_be() -> None:
    far = await Far.open()
    for sequence in range(6):
        flags = FLAG_SKIPPED | FLAG_SILENCE if sequence == 3 else 0
        await far.say(audio(sequence, 0 if flags else 1000, flags=flags))
        far.tick()
    far.tick()
    made_up = [frame for frame in far.heard if frame.frame_flags]
    assert [frame.frame_flags for frame in made_up] == [FLAG_SILENCE, FLAG_CONCEALED]
    assert abs(made_up[1]).max() > 500  # what was said goes on, where it was silence that came
    assert [int(frame[-1]) for frame in far.heard[-2:]] == [1000, 1000]
    await far.transport.close()


@pytest.mark.slow
async def test_what_comes_at_once_after_a_stall_is_heard_and_its_delay_goes_again() -> None:
    far = await Far.open()
    sequence = 0

    async def speak(count: int, value: int) -> None:
        nonlocal sequence
        for _ in range(count):
            await far.say(audio(sequence, value))
            sequence += 1
            far.tick()

    await speak(50, 1000)
    far.tick(5)  # the network stands still, and lets go of all of it
    await far.say(*(audio(sequence + n, 1000) for n in range(5)))
    sequence += 5
    await speak(20, 1000)
    peer = far.leg.peer
    assert peer is not None
    # Its time was concealed: it is played late and not thrown away, so delay has grown...
    assert peer.counters()["delay_ms"] >= 80
    await speak(500, 0)
    # ... and is given back where nothing is said.
    assert peer.counters()["delay_ms"] <= 45
    assert peer.counters()["overflow"] == 0
    await far.transport.close()
