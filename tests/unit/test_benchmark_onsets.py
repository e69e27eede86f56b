"""When a tone begins in a stream of packets, and how its delay is counted."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.load.onsets import (
    QUIET_PACKETS,
    find_onsets,
    in_play_order,
    is_loud,
    match_onsets,
)
from benchmarks.load.packets import DECODE_HZ, decode, encode, encode_loop
from benchmarks.load.sounds import (
    BURST_DBOV,
    BURST_FRAMES,
    CYCLE_FRAMES,
    FRAME,
    NOISE_DBOV,
    bursts,
    dbov,
    noise,
    scaled,
    speech,
    without_pauses,
)
from hypothesis import given
from hypothesis import strategies as st


def test_levels_are_those_asked_for() -> None:
    tone = np.sin(np.arange(16_000) / 7.0)
    assert dbov(scaled(tone, -20.0)) == pytest.approx(-20.0, abs=0.01)
    assert dbov(noise()) == pytest.approx(NOISE_DBOV, abs=0.2)
    assert dbov(np.zeros(320, np.int16)) == -127.0


def test_speech_without_pauses_has_none() -> None:
    spoken = speech().reshape(-1, FRAME)
    assert len(spoken) > 200
    # Scaled as a whole: a frame that was kept may lie a little below where it was.
    assert min(dbov(frame) for frame in spoken) > -55.0


def test_only_pauses_are_no_speech() -> None:
    with pytest.raises(ValueError, match="expected speech"):
        without_pauses(np.zeros(3200, np.int16))


def test_a_burst_begins_with_its_cycle() -> None:
    frames = bursts().reshape(-1, FRAME)
    assert len(frames) == CYCLE_FRAMES
    levels = [dbov(frame) for frame in frames]
    assert all(level == pytest.approx(BURST_DBOV, abs=0.3) for level in levels[:BURST_FRAMES])
    assert all(level < -60.0 for level in levels[BURST_FRAMES:])


def test_the_packet_of_an_onset_is_loud_and_the_one_before_is_not() -> None:
    cycle = bursts()
    packets = encode(np.concatenate((cycle, cycle)), 32_000)
    loud = [is_loud(pcm, DECODE_HZ) for pcm in decode(packets)]
    assert not loud[CYCLE_FRAMES - 1]
    assert loud[CYCLE_FRAMES]


def test_a_loop_goes_on_from_its_end() -> None:
    loop = encode_loop("bursts", 32_000)
    packets = [bytes(row[:size]) for row, size in zip(loop.payloads, loop.sizes, strict=True)]
    loud = [is_loud(pcm, DECODE_HZ) for pcm in decode(packets + packets)]
    at = [n for n in range(1, len(loud)) if loud[n] and not loud[n - 1]]
    assert at == [CYCLE_FRAMES]
    assert list(loop.levels[:2]) == [12, 12]


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of speech, noise, bursts"):
        encode_loop("song", 32_000)


def test_an_eighth_of_a_packet_is_enough_to_be_loud() -> None:
    pcm = np.zeros(960, np.int16)
    pcm[-120:] = 3000
    assert is_loud(pcm, DECODE_HZ)
    pcm[-120:] = 100
    assert not is_loud(pcm, DECODE_HZ)
    assert not is_loud(np.zeros(0, np.int16), DECODE_HZ)


def test_an_onset_is_the_first_loud_packet_after_quiet_ones() -> None:
    quiet = [(n, False) for n in range(QUIET_PACKETS)]
    burst = [(100, True), (101, True), (102, False), (103, True)]
    later = [(n + 200, False) for n in range(QUIET_PACKETS)]
    assert find_onsets([*quiet, *burst, *later, (300, True)]) == [100, 300]


def test_what_is_loud_from_the_first_packet_on_is_no_onset() -> None:
    assert find_onsets([(n, True) for n in range(50)]) == []


def test_each_onset_has_the_delay_of_what_was_heard_next() -> None:
    assert match_onsets([0, 1000, 2000], [30, 1040, 2050], 500) == ([30, 40, 50], 0)


def test_an_onset_that_came_too_late_or_not_at_all_is_not_heard() -> None:
    assert match_onsets([0, 1000, 2000], [600, 1040], 500) == ([40], 2)


def test_a_second_one_within_the_cycle_counts_once() -> None:
    assert match_onsets([0, 1000], [30, 200, 1030], 500) == ([30, 30], 0)


def test_what_is_heard_before_all_that_was_sent_is_nobodys() -> None:
    assert match_onsets([1000], [10], 500) == ([], 1)


@given(
    st.integers(0, 65_535),
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
)
def test_packets_are_played_by_sequence_over_the_wrap(first: int, shuffles: list[int]) -> None:
    packets = [(n, (first + n) & 0xFFFF, bytes([n])) for n in range(len(shuffles))]
    # The first stays: what came before it cannot be told from what comes a round later.
    late = sorted(packets[1:], key=lambda packet: packet[0] + shuffles[packet[0]])
    played = in_play_order([packets[0], *late, *late])
    assert [payload for _, _, payload in played] == [payload for _, _, payload in packets]
