"""The resampler: quality, delay, and no sample too many or too few."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import FrameCutter, Resampler
from tests.signals import best_lag, sine, sine_snr_db


def in_chunks(resampler: Resampler, pcm: Pcm, chunk: int) -> Pcm:
    return np.concatenate(
        [resampler.push(pcm[at : at + chunk]) for at in range(0, len(pcm), chunk)]
    )


@pytest.mark.parametrize("hz", [440.0, 1000.0])
def test_a_sine_survives_48k_to_16k_and_back(hz: float) -> None:
    down, up = Resampler(48_000, 1, 16_000, 1), Resampler(16_000, 1, 48_000, 1)
    middle = in_chunks(down, sine(hz, 48_000, 2.0), 960)
    back = in_chunks(up, middle, 320)
    settled = slice(4800, None)
    assert sine_snr_db(middle[1600:], hz, 16_000) >= 60
    assert sine_snr_db(back[settled], hz, 48_000) >= 60


def test_every_20_ms_chunk_gives_exactly_one_frame_from_the_first_on() -> None:
    resampler = Resampler(48_000, 2, 16_000, 1)
    for _ in range(50):
        assert resampler.push(np.zeros((960, 2), np.int16)).shape == (FRAME_SAMPLES,)


@pytest.mark.parametrize(
    ("in_rate_hz", "out_rate_hz"),
    [(48_000, 16_000), (16_000, 48_000), (44_100, 16_000), (24_000, 16_000)],
)
def test_the_added_delay_is_about_a_millisecond(in_rate_hz: int, out_rate_hz: int) -> None:
    rng = np.random.default_rng(7)
    # Noise below 3 kHz, so that both rates can carry it: made at 48 kHz by summing sines.
    hz = rng.uniform(200, 3000, 40)
    phase = rng.uniform(0, 2 * np.pi, 40)

    def noise(rate_hz: int) -> Pcm:
        t = np.arange(rate_hz // 2)[:, None] / rate_hz
        sines = np.sin(2 * np.pi * hz * t + phase)
        samples: Pcm = np.round(400 * sines.sum(axis=1)).astype(np.int16)
        return samples

    resampler = Resampler(in_rate_hz, 1, out_rate_hz, 1)
    out = in_chunks(resampler, noise(in_rate_hz), in_rate_hz // 50)
    lag = best_lag(noise(out_rate_hz), out)
    assert lag == resampler.delay_samples
    assert 0.5 <= lag / out_rate_hz * 1000 <= 1.1


def test_chunk_joints_leave_no_edge() -> None:
    tone = sine(440, 48_000, 0.5)
    whole = in_chunks(Resampler(48_000, 1, 16_000, 1), tone, tone.size)
    cut = in_chunks(Resampler(48_000, 1, 16_000, 1), tone, 37)
    np.testing.assert_array_equal(cut, whole)


def test_flush_gives_the_tail_and_starts_anew() -> None:
    resampler = Resampler(48_000, 1, 16_000, 1)
    tone = sine(440, 48_000, 0.1)
    first = np.concatenate([resampler.push(tone), resampler.flush()])
    again = np.concatenate([resampler.push(tone), resampler.flush()])
    assert first.size == tone.size // 3 + resampler.delay_samples
    np.testing.assert_array_equal(first, again)


def test_channels_keep_their_level() -> None:
    mono = np.full(9600, 8000, np.int16)
    stereo = np.stack([mono, mono], axis=1)
    to_mono = Resampler(48_000, 2, 16_000, 1).push(stereo)
    to_stereo = Resampler(16_000, 1, 48_000, 2).push(mono)
    same = Resampler(16_000, 1, 16_000, 2).push(mono)
    assert to_stereo.shape == (mono.size * 3, 2)
    assert same.shape == (mono.size, 2)
    for out in (to_mono[100:], to_stereo[300:], same):
        assert np.abs(out.astype(int) - 8000).max() <= 1


def test_other_shapes_and_rates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"int16 of shape \(n, 2\)"):
        Resampler(48_000, 2, 16_000, 1).push(np.zeros(960, np.int16))
    with pytest.raises(ValueError, match="int16"):
        Resampler(48_000, 1, 16_000, 1).push(np.zeros(960, np.float32))
    with pytest.raises(ValueError, match="1 or 2 channels"):
        Resampler(48_000, 3, 16_000, 1)
    with pytest.raises(ValueError, match="Hz"):
        Resampler(0, 1, 16_000, 1)


def test_the_cutter_gives_whole_frames_in_order() -> None:
    cutter = FrameCutter()
    samples = np.arange(1000, dtype=np.int16)
    frames = [frame for at in range(0, 1000, 77) for frame in cutter.push(samples[at : at + 77])]
    assert [frame.size for frame in frames] == [FRAME_SAMPLES] * 3
    last = cutter.flush()
    assert last is not None
    joined = np.concatenate([*frames, last])
    np.testing.assert_array_equal(joined[:1000], samples)
    assert not joined[1000:].any()
    assert cutter.flush() is None
    assert all(int(b[0]) - int(a[-1]) == 1 for a, b in pairwise(frames))
