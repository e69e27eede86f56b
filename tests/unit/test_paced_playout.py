"""A paced source's depth: one frame while all is well, more after a stall, and back."""

from __future__ import annotations

import numpy as np
import pytest

from mixminus.media.bridge import Leg
from tests.bench_kit import Bench, constant, ledger_holds, read_all

LOUD = 5000
MOST_BACK_TICKS = 200
"""4 s."""


class Bot(Bench):
    """A bridge of a paced leg and one that hears it."""

    def __init__(self, max_target_frames: int = 5) -> None:
        super().__init__()
        self.leg: Leg = self.bridge.add_leg(1, paced=True, max_target_frames=max_target_frames)
        self.listener = self.bridge.add_leg(2, render_slots=1024)

    def in_step(self, frames: int, value: int = LOUD) -> None:
        self.feed(self.leg, frames, value)

    def stall(self, frames: int, value: int = LOUD) -> None:
        """Nothing for so long, then all of it at once."""
        self.tick(frames)
        for _ in range(frames):
            self.leg.source.write(constant(value))

    def ahead(self, frames: int) -> None:
        """A writer that fills what room there is: one more than the target."""
        for _ in range(frames):
            while self.leg.source.depth_frames <= self.target:
                self.leg.source.write(constant(LOUD))
            self.tick()

    def heard(self) -> str:
        """A letter a tick: voice, concealed, or nothing."""
        return "".join(
            "c" if frame.is_concealed else "v" if np.asarray(frame).any() else "."
            for frame in read_all(self.listener.render)
        )

    @property
    def target(self) -> int:
        return self.leg.counters().target_frames


@pytest.fixture
def bot() -> Bot:
    return Bot()


def test_the_first_stall_of_60_ms_is_concealed_and_the_next_leaves_no_hole(bot: Bot) -> None:
    bot.in_step(10)
    bot.stall(3)
    bot.in_step(20)
    assert bot.target == 4
    bot.stall(3)
    bot.in_step(20)
    assert bot.heard() == "v" * 10 + "ccc" + "v" * 43
    counters = bot.leg.counters()
    assert (counters.late, counters.trimmed) == (0, 0), "speech is never dropped"
    assert ledger_holds(bot.leg)


def test_a_writer_ahead_of_the_call_has_one_hole_too(bot: Bot) -> None:
    bot.ahead(10)
    assert bot.leg.source.depth_frames == 1
    bot.tick(4)
    bot.ahead(20)
    bot.tick(3)
    bot.ahead(20)
    heard = bot.heard()
    assert heard.count("c") == 3
    assert "c" not in heard[20:]
    assert "." not in heard[20:]


def test_delay_is_back_within_four_seconds_after_a_stall_of_300_ms(bot: Bot) -> None:
    bot.ahead(10)
    bot.tick(15)
    bot.ahead(1)
    assert bot.target == 5
    ticks = 0
    while bot.target > 1:
        bot.ahead(1)
        ticks += 1
    assert ticks <= MOST_BACK_TICKS
    bot.ahead(6)
    assert bot.leg.source.depth_frames == 1, "the writer gave it back: nothing was dropped"
    counters = bot.leg.counters()
    assert (counters.late, counters.trimmed, counters.source_lapped) == (0, 0, 0)
    heard = bot.heard()
    hole = heard[10:30].strip("v")
    assert hole.startswith("ccc.")
    assert "." not in heard[30:]


def test_stalls_that_come_again_are_waited_for_longer(bot: Bot) -> None:
    holds = []
    for _ in range(3):
        bot.ahead(20)
        bot.tick(6)
        bot.ahead(2)
        assert bot.target == 5
        ticks = 0
        while bot.target == 5:
            bot.ahead(1)
            ticks += 1
        holds.append(ticks)
        while bot.target > 1:
            bot.ahead(1)
    assert holds[1] == pytest.approx(2 * holds[0], abs=3)
    assert holds[2] == pytest.approx(4 * holds[0], abs=6)
    bot.ahead(1600)  # half a minute without one
    bot.tick(6)
    bot.ahead(2)
    ticks = 0
    while bot.target == 5:
        bot.ahead(1)
        ticks += 1
    assert ticks == pytest.approx(holds[0], abs=3)


def test_the_end_of_an_utterance_is_no_stall(bot: Bot) -> None:
    for pause, last in ((10, 0), (60, LOUD)):  # quiet at its end; or silent for more than a second
        bot.in_step(20)
        bot.in_step(1, last)
        bot.tick(pause)
        assert bot.target == 1
    bot.in_step(3)
    assert bot.target == 1
    assert bot.heard().endswith(".vvv"), "and the next begins at once"


def test_less_than_the_target_is_played_after_as_many_ticks(bot: Bot) -> None:
    bot.in_step(10)
    bot.tick(3)
    bot.leg.source.write(constant(LOUD))
    bot.tick(6)
    assert bot.heard() == "v" * 10 + "ccc" + "..." + "v" + "cc"


def test_the_target_keeps_to_its_bounds() -> None:
    bot = Bot(max_target_frames=2)
    bot.in_step(5)
    bot.stall(10)
    bot.in_step(5)
    assert bot.target == 2
    bot.in_step(1000)
    assert bot.target == 1


def test_a_flush_is_no_stall(bot: Bot) -> None:
    bot.in_step(10)
    bot.leg.flush()
    bot.tick(3)
    bot.in_step(5)
    assert bot.target == 1
    assert bot.heard() == "v" * 10 + "v..."[0:3] + "v" * 5
