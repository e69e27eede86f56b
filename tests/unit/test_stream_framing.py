"""Streams' audio to frames and back; pauses of a sender; the far end's queue, reckoned."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from mixminus.control.simulate.playback import Playback
from mixminus.media.pcm import FRAME_SAMPLES, FRAME_TICKS, Pcm
from mixminus.media.transports.stream import StreamFormat
from mixminus.media.transports.stream import mulaw as ulaw
from mixminus.media.transports.stream.framing import FrameReader, FrameWriter, MediaTime
from mixminus.media.transports.stream.pace import Pace
from tests.native.clib import library
from tests.native.codecs import pointer
from tests.streamfar import constant

PCM_16 = StreamFormat("pcm", 16_000, 640)
PCM_24 = StreamFormat("pcm", 24_000, 960)
MULAW = StreamFormat("mulaw", 8_000, 160)
RAMP = np.arange(-16_000, 16_000, dtype=np.int16)


def tone(hz: float, frames: int, rate_hz: int = 16_000) -> Pcm:
    time_s = np.arange(frames * FRAME_SAMPLES) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def test_every_mulaw_code_comes_back_as_itself() -> None:
    codes = bytes(range(256))
    decoded = ulaw.decode(codes)
    back = ulaw.encode(decoded)
    # Minus zero, 127, is zero in a sample, and zero is plus zero, 255.
    assert back == codes.replace(b"\x7f", b"\xff")


def test_mulaw_is_that_of_the_engine() -> None:
    lib = library("g711.c")
    every: Pcm = np.arange(-32_768, 32_768).astype(np.int16)
    codes = np.zeros(every.size, np.uint8)
    lib.mm_pcmu_encode(pointer(codes), pointer(every), ctypes.c_size_t(every.size))
    assert ulaw.encode(every) == codes.tobytes()
    decoded = np.zeros(every.size, np.int16)
    lib.mm_pcmu_decode(pointer(decoded), pointer(codes), ctypes.c_size_t(every.size))
    assert np.array_equal(ulaw.decode(codes.tobytes()), decoded)


def pushed(form: StreamFormat, data: bytes, sizes: list[int]) -> bytes:
    reader, out, place = FrameReader(form), [], 0
    for size in sizes:
        out += reader.push(data[place : place + size])
        place += size
    return b"".join(out)


def test_whole_frames_of_our_own_rate_pass_as_they_are() -> None:
    reader = FrameReader(PCM_16)
    frame = RAMP[:FRAME_SAMPLES].tobytes()
    assert reader.is_whole(frame)
    (out,) = reader.push(frame)
    assert out is frame


@pytest.mark.parametrize("sizes", [[1] * 1280, [639, 641], [1280], [3, 1277], [2, 2, 1276]])
def test_pieces_of_any_size_are_the_same_samples(sizes: list[int]) -> None:
    data = RAMP[: 2 * FRAME_SAMPLES].tobytes()
    assert pushed(PCM_16, data, sizes) == data


def test_an_odd_byte_of_a_message_cut_short_does_not_turn_the_rest_to_noise() -> None:
    reader = FrameReader(PCM_16)
    frame = RAMP[:FRAME_SAMPLES].tobytes()
    assert reader.push(frame[:639]) == []
    (out,) = reader.push(frame)
    # 319 samples, and then the next message's, whole.
    assert out == frame[:638] + frame[:2]


@pytest.mark.parametrize("form", [PCM_24, MULAW])
def test_other_rates_come_back_as_what_they_were(form: StreamFormat) -> None:
    sent = tone(440.0, 50)
    writer, reader = FrameWriter(form), FrameReader(form)
    payloads = [
        writer.push(sent[start : start + FRAME_SAMPLES].tobytes())
        for start in range(0, sent.size, FRAME_SAMPLES)
    ]
    assert {len(payload) for payload in payloads} == {form.frame_bytes}
    back = np.frombuffer(b"".join(f for p in payloads for f in reader.push(p)), np.int16)
    assert back.size == sent.size
    # Two resamplers are 1 ms each; the level and the shape stay.
    best = max(
        float(np.corrcoef(sent[2_000:8_000], back[2_000 + lag : 8_000 + lag])[0, 1])
        for lag in range(64)
    )
    assert best > (0.999 if form is PCM_24 else 0.99)
    assert np.abs(back[2_000:8_000]).max() == pytest.approx(8_000, rel=0.03)


# ---- time


def places(times: list[float | None], arrivals: list[float]) -> list[int]:
    clock = MediaTime()
    return [clock.place(1, t, now) for t, now in zip(times, arrivals, strict=True)]


def test_a_pause_is_what_the_senders_times_say() -> None:
    times: list[float | None] = [0, 20, 40, 560, 580]
    assert places(times, [5, 25, 45, 565, 585]) == [0, 0, 0, 25, 0]


def test_a_network_that_stood_still_is_no_pause() -> None:
    times: list[float | None] = [0, 20, 40, 60, 80]
    assert places(times, [5, 25, 545, 546, 547]) == [0, 0, 0, 0, 0]


def test_a_clock_that_was_set_says_nothing() -> None:
    hour = 3_600_000.0
    times: list[float | None] = [0, 20, hour + 40, hour + 60, 80, 100]
    assert places(times, [5, 25, 45, 65, 85, 105]) == [0] * 6


def test_times_that_wobble_are_no_pause() -> None:
    times: list[float | None] = [n * 20 + (-1) ** n * 15 for n in range(500)]
    assert not any(places(times, [n * 20 + 5 for n in range(500)]))


def test_a_slow_drift_is_no_pause() -> None:
    times: list[float | None] = [n * 20.002 for n in range(50_000)]
    assert not any(places(times, [n * 20.0 for n in range(50_000)]))


def test_without_times_only_long_gaps_are_pauses() -> None:
    nothing: list[float | None] = [None] * 6
    assert places(nothing, [0, 20, 40, 160, 161, 162]) == [0] * 6
    assert places(nothing, [0, 20, 40, 560, 580, 600]) == [0, 0, 0, 25, 0, 0]


# ---- pace


def paced(pace: Pace, silent: list[bool]) -> list[tuple[int, bool]]:
    return [pace.plan(is_silent, n * FRAME_TICKS) for n, is_silent in enumerate(silent)]


def test_a_lead_is_made_of_silence_and_kept() -> None:
    pace = Pace(2, 10)
    assert paced(pace, [True] * 5) == [(2, True)] + [(0, True)] * 4
    assert pace.waiting_frames(4 * FRAME_TICKS) == 3
    assert pace.played_frames(4 * FRAME_TICKS) == 4


def test_speech_that_comes_first_has_its_lead_before_it() -> None:
    assert paced(Pace(2, 10), [False] * 3) == [(2, True), (0, True), (0, True)]


def test_speech_is_not_torn_apart_for_a_lead() -> None:
    pace = Pace(2, 10)
    paced(pace, [False] * 3)
    late = 20 * FRAME_TICKS
    assert pace.waiting_frames(late) == 0
    assert pace.plan(False, late) == (0, True)
    # Its end is where the lead is made again.
    assert pace.plan(True, late + FRAME_TICKS) == (2, True)


def test_what_is_too_far_ahead_is_given_back_in_silence_and_then_dropped() -> None:
    pace = Pace(2, 6)
    answers = [pace.plan(False, 0) for _ in range(6)]
    assert answers == [(2, True), (0, True), (0, True), (0, True), (0, False), (0, False)]
    assert pace.plan(True, 0) == (0, False)
    assert pace.plan(True, 3 * FRAME_TICKS) == (0, True)


def test_after_a_clear_all_counts_as_played() -> None:
    pace = Pace(2, 10)
    paced(pace, [False] * 3)
    pace.clear()
    assert pace.waiting_frames(3 * FRAME_TICKS) == 0
    assert pace.played_frames(3 * FRAME_TICKS) == pace.sent_frames == 5


def test_a_lead_must_be_less_than_all() -> None:
    with pytest.raises(ValueError, match="expected 0 to 9, got 10"):
        Pace(10, 10)


# ---- the far end's playback


def test_a_playback_counts_gaps_between_frames_but_not_the_end() -> None:
    playback = Playback()
    playback.tick()
    playback.push(constant(1))
    playback.tick()
    playback.tick()
    playback.tick()
    playback.push(constant(2))
    assert (playback.gaps, playback.longest_gap_ms) == (1, 40)
    playback.tick()
    playback.tick()
    assert playback.gaps == 1


def test_marks_are_reached_in_their_place_and_dropped_by_a_clear() -> None:
    playback = Playback()
    playback.push(constant(1))
    playback.mark("a")
    playback.push(constant(2))
    playback.mark("b")
    pcm, marks = playback.tick()
    assert (int(pcm[0]), marks) == (1, ["a"])
    assert playback.clear() == ["b"]
    assert playback.cleared_frames == 1
    pcm, marks = playback.tick()
    assert (int(pcm[0]), marks) == (0, [])
