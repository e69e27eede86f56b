"""Who leads: patterns of levels, tick by tick, and who is said to be the dominant speaker."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from mixminus.media.pcm import SILENCE_DBOV
from mixminus.media.session.dominant import (
    LONG_FRAMES,
    NOBODY_FRAMES,
    PAUSE_FRAMES,
    DominantSpeaker,
)

A, B, C = 11, 12, 13
QUIET = -65.0
SPEECH = -26.0


def speech(frames: int, level_dbov: float = SPEECH) -> list[float]:
    """Syllables of 160 ms with 80 ms between them, as in a sentence."""
    return [level_dbov if index % 12 < 8 else QUIET for index in range(frames)]


def quiet(frames: int, level_dbov: float = QUIET) -> list[float]:
    return [level_dbov] * frames


def run(
    detector: DominantSpeaker, levels: dict[int, Iterable[float]]
) -> Iterator[tuple[int, int | None]]:
    """Yield the tick and who leads from it on, for each change."""
    columns = list(zip(*levels.values(), strict=True))
    for tick, column in enumerate(columns):
        if detector.hear(dict(zip(levels, column, strict=True))):
            yield tick, detector.speaker


def test_nobody_leads_a_silent_room() -> None:
    detector = DominantSpeaker()
    assert list(run(detector, {A: quiet(500), B: quiet(500, SILENCE_DBOV)})) == []
    assert detector.speaker is None


def test_who_speaks_leads_within_half_a_second() -> None:
    detector = DominantSpeaker()
    ((tick, speaker),) = run(detector, {A: quiet(300), B: speech(300)})
    assert speaker == B
    assert tick < 25


def test_a_cough_a_click_and_a_yes_beside_the_speaker_change_nothing() -> None:
    detector = DominantSpeaker()
    cough, click, yes = [-12.0] * 6, [-3.0], [-20.0] * 15
    other = [*quiet(100), *cough, *quiet(94), *click, *quiet(99), *yes, *quiet(185)]
    changes = list(run(detector, {A: speech(500), B: other}))
    assert [speaker for _, speaker in changes] == [A]


def test_a_cough_alone_leads_nobody() -> None:
    detector = DominantSpeaker()
    assert list(run(detector, {A: [*quiet(50), *[-12.0] * 8, *quiet(200)]})) == []


def test_the_next_one_leads_soon_after_the_first_has_ended() -> None:
    detector = DominantSpeaker()
    first = [*speech(200), *quiet(200)]
    second = [*quiet(200), *speech(200)]
    (_, a), (tick, b) = run(detector, {A: first, B: second})
    assert (a, b) == (A, B)
    assert 200 + 10 < tick < 200 + PAUSE_FRAMES + 15


def test_pauses_between_sentences_keep_the_lead() -> None:
    detector = DominantSpeaker()
    levels: list[float] = list(itertools.chain(*(speech(100) + quiet(24) for _ in range(6))))
    assert [who for _, who in run(detector, {A: levels, B: quiet(len(levels))})] == [A]


def test_two_who_talk_at_once_do_not_flicker() -> None:
    detector = DominantSpeaker()
    rng = np.random.default_rng(8)

    def talk() -> list[float]:
        levels: list[float] = []
        while len(levels) < 3000:
            levels += speech(int(rng.integers(30, 120)), SPEECH + rng.normal(0, 1.5))
            levels += quiet(int(rng.integers(2, 18)))
        return levels[:3000]

    changes = list(run(detector, {A: talk(), B: talk()}))
    assert len(changes) <= 3, f"in a minute of both: {changes}"


def test_one_who_is_much_louder_for_a_second_takes_over() -> None:
    detector = DominantSpeaker()
    second = [*quiet(200), *speech(200, SPEECH + 10)]
    (_, a), (tick, b) = run(detector, {A: speech(400), B: second})
    assert (a, b) == (A, B)
    assert 200 + LONG_FRAMES / 2 < tick < 200 + 2 * LONG_FRAMES


def test_nobody_leads_two_seconds_after_all_fell_silent() -> None:
    detector = DominantSpeaker()
    levels = [*speech(100), *quiet(200)]
    (_, a), (tick, nobody) = run(detector, {A: levels})
    assert (a, nobody) == (A, None)
    assert 90 + NOBODY_FRAMES <= tick <= 100 + NOBODY_FRAMES


def test_a_steady_noise_stops_leading_and_gives_way_to_speech() -> None:
    detector = DominantSpeaker()
    fan = [-38.0] * 1500
    talk = [*quiet(1000), *speech(500)]
    changes = list(run(detector, {A: fan, B: talk}))
    assert changes[-1][1] == B
    assert 1000 < changes[-1][0] < 1030
    assert changes[-2][1] is None, "by then the fan had been nobody for long"


def test_who_leaves_gives_up_the_lead() -> None:
    detector = DominantSpeaker()
    assert [who for _, who in run(detector, {A: speech(100), B: quiet(100)})] == [A]
    ((tick, who),) = run(detector, {B: speech(100)})
    assert who == B
    assert tick < PAUSE_FRAMES + 15


def test_the_last_one_who_leaves_is_nobody_soon() -> None:
    detector = DominantSpeaker()
    assert [who for _, who in run(detector, {A: speech(100)})] == [A]
    ticks = [tick for tick in range(300) if detector.hear({})]
    assert detector.speaker is None
    assert len(ticks) == 1


def test_levels_of_the_mix_alone_follow_who_is_in_it() -> None:
    detector = DominantSpeaker()
    changes = []
    for tick in range(400):
        names = (A,) if tick < 150 else (C,) if tick >= 200 else ()
        if detector.hear(dict.fromkeys(names, SPEECH)):
            changes.append(detector.speaker)
    assert changes == [A, C]


def test_many_speakers_are_followed() -> None:
    detector = DominantSpeaker()
    people: dict[int, Iterable[float]] = {key: quiet(100) for key in range(100, 400)}
    people[333] = speech(100)
    assert [who for _, who in run(detector, people)] == [333]
