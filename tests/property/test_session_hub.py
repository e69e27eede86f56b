"""A session's timeline whatever happens: people come and go, the loop stands still for long."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS
from mixminus.media.session import MediaSession, SessionFrame
from mixminus.media.session.hub import TAP_SLOTS
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport

PEOPLE = (11, 12, 13)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("go"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("tick"), st.integers(1, 3)),
        st.tuples(st.just("stall"), st.integers(1, 2 * TAP_SLOTS)),
    ),
    max_size=30,
)


@given(steps)
def test_every_tick_is_there_once_with_what_was_said_in_it(script: list[tuple[str, int]]) -> None:
    asyncio.run(_run(script))


async def _run(script: list[tuple[str, int]]) -> None:
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    session.attach(FakeTransport())
    listener = session.listen(slots=100_000)
    said: list[dict[int, int]] = []
    number = stalled_ticks = longest = 0

    def one_tick(*, stalled: bool) -> None:
        nonlocal number, stalled_ticks, longest
        stalled_ticks = stalled_ticks + 1 if stalled else 0
        longest = max(longest, stalled_ticks)
        words = {}
        for source_id, leg in session.legs.speakers.items():
            number += 1
            words[source_id] = number % 9000 + 1000
            leg.source.write(np.full(FRAME_SAMPLES, words[source_id], np.int16))
        said.append(words)
        if stalled:
            platform._engine.run_ticks(1)
        else:
            platform.tick()

    for what, value in script:
        if what == "come":
            session.open_speaker(value)
        elif what == "go":
            session.close_speaker(value)
        else:
            for _ in range(value):
                one_tick(stalled=what == "stall")
    one_tick(stalled=False)
    frames: list[SessionFrame] = []
    while (frame := listener.read_nowait()) is not None:
        frames.append(frame)
    for before, after in pairwise(frames):
        assert after.timestamp - before.timestamp == FRAME_TICKS
    # Before the first look at a ring that was lapped there is no timeline yet.
    assert len(frames) <= len(said)
    assert len(frames) >= min(len(said), TAP_SLOTS // 2)
    if longest < TAP_SLOTS:
        spoken = [{key: int(one[0]) for key, one in frame.speakers.items()} for frame in frames]
        assert spoken == said, "nothing was too late to be read: all of it is there"
    for frame, words in zip(reversed(frames), reversed(said), strict=False):
        if frame.mixed.is_skipped:
            continue
        heard = {key: one for key, one in frame.speakers.items() if not one.is_skipped}
        for source_id, one in heard.items():
            assert one.timestamp == frame.timestamp
            if source_id in words:
                assert (one == words[source_id]).all()
        if heard.keys() == words.keys() and heard:
            total = np.clip(sum(one.astype(np.int32) for one in heard.values()), -32768, 32767)
            assert (np.abs(frame.mixed - total) <= 1).all()
    await session.close()
