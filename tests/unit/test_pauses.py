"""What can go without being missed, and what is worth being sent: levels, frame by frame."""

from __future__ import annotations

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.session.pauses import FLOOR_FRAMES, LEARN_FRAMES, PauseFinder
from mixminus.media.session.shorten import Shortener, find_lag, join
from mixminus.media.session.silence import HANGOVER_FRAMES, SendGate
from tests.signals import sine


def noise(amplitude: int, seed: int = 1) -> Pcm:
    rng = np.random.default_rng(seed)
    return rng.integers(-amplitude, amplitude + 1, FRAME_SAMPLES).astype(np.int16)


def test_quiet_frames_can_always_go() -> None:
    finder = PauseFinder()
    assert finder.is_pause(np.zeros(FRAME_SAMPLES, np.int16))
    assert finder.is_pause(noise(328))
    assert not finder.is_pause(noise(400)), "nothing is known of the room yet"


def test_the_noise_of_a_room_can_go_once_it_is_known_and_words_never() -> None:
    finder = PauseFinder()
    room, word, faint_word = noise(500), noise(8000), noise(900)
    for index in range(LEARN_FRAMES):
        finder.is_pause(word if index % 2 else room)
    assert finder.is_pause(room)
    assert finder.is_pause(noise(550, seed=2)), "it wavers"
    assert not finder.is_pause(word)
    assert not finder.is_pause(faint_word), "5 dB over the room"


def test_loud_sounds_without_an_end_are_no_noise() -> None:
    finder = PauseFinder()
    tone = sine(440, 16_000, 0.02, amplitude=3000)
    assert not any(finder.is_pause(tone) for _ in range(3 * FLOOR_FRAMES))
    assert not any(PauseFinder().is_pause(noise(6000)) for _ in range(3 * FLOOR_FRAMES))


def test_a_room_that_became_quieter_is_learned_anew() -> None:
    finder = PauseFinder()
    for _ in range(FLOOR_FRAMES):
        finder.is_pause(noise(700))
    assert finder.is_pause(noise(700))
    finder.is_pause(noise(350))
    assert not finder.is_pause(noise(700)), "now that is somebody"


def test_the_send_gate_opens_at_once_and_shuts_after_a_while() -> None:
    gate = SendGate()
    assert not gate.is_speech(noise(50))
    assert gate.is_speech(noise(5000))
    hangover = [gate.is_speech(noise(50)) for _ in range(HANGOVER_FRAMES + 5)]
    assert hangover == [True] * HANGOVER_FRAMES + [False] * 5
    assert gate.is_speech(noise(5000))


def test_a_period_is_found_and_taken_out_without_a_step() -> None:
    tone = sine(400, 16_000, 0.02)  # 40 samples a period
    lag = find_lag(tone)
    assert lag % 40 == 0
    assert lag > 0
    joined = join(tone, lag)
    assert joined.size == tone.size - lag
    assert np.abs(joined - tone[: joined.size]).max() <= 1


def test_what_does_not_repeat_itself_is_left_whole() -> None:
    assert find_lag(noise(8000)) == 0
    assert find_lag(np.zeros(FRAME_SAMPLES, np.int16)) == 0
    onset = np.concatenate((noise(50)[:200], sine(400, 16_000, 0.02)[:120]))
    assert find_lag(onset) == 0
    shortener = Shortener()
    for seed in range(20):
        frame = noise(8000, seed)
        out = shortener.push(frame, shorten=True)
        assert out is not None
        assert np.array_equal(out, frame)
    assert shortener.is_even


def test_every_sample_but_whole_periods_comes_out() -> None:
    shortener = Shortener()
    frames = sine(400, 16_000, 2.0).reshape(-1, FRAME_SAMPLES)
    out = [shortener.push(frame, shorten=True) for frame in frames]
    came = [frame for frame in out if frame is not None]
    assert 70 <= len(came) < 100, "not by more than a quarter"
    whole = np.concatenate(came)
    assert np.abs(whole - sine(400, 16_000, 2.0)[: whole.size]).max() <= 2
