"""Sample accounting of the resampler over any rates and any chunking."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixminus.media.pipeline import FrameCutter, Resampler

RATES_HZ = st.sampled_from([8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
CHUNKS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 3000)), max_size=40)


@given(in_rate_hz=RATES_HZ, out_rate_hz=RATES_HZ, chunks=CHUNKS)
@settings(max_examples=60)
def test_what_comes_out_is_what_went_in_times_the_ratio(
    in_rate_hz: int, out_rate_hz: int, chunks: list[int]
) -> None:
    resampler = Resampler(in_rate_hz, 1, out_rate_hz, 1)
    pushed = came = 0
    for chunk in chunks:
        came += resampler.push(np.zeros(chunk, np.int16)).size
        pushed += chunk
        exact = pushed * out_rate_hz / in_rate_hz
        assert exact - 1 < came < exact + 1
    whole = pushed * out_rate_hz / in_rate_hz + resampler.delay_samples
    assert whole - 1 < came + resampler.flush().size < whole + 1


@given(chunks=CHUNKS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_chunking_changes_no_sample(chunks: list[int], seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-20_000, 20_000, sum(chunks)).astype(np.int16)
    whole, cut = Resampler(48_000, 1, 16_000, 1), Resampler(48_000, 1, 16_000, 1)
    cutter = FrameCutter()
    pieces = [cut.push(piece) for piece in np.split(pcm, np.cumsum(chunks)[:-1])] if chunks else []
    frames = [frame for piece in pieces for frame in cutter.push(piece)]
    expected = whole.push(pcm)
    assert sum(piece.size for piece in pieces) == expected.size == pcm.size // 3
    if pieces:
        np.testing.assert_array_equal(np.concatenate(pieces), expected)
    if frames:
        joined = np.concatenate(frames)
        np.testing.assert_array_equal(joined, expected[: joined.size])
