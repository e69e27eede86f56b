"""Pcm16K frames: what they carry, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mixminus.media import _native
from mixminus.media.pcm import (
    FLAG_COMFORT,
    FLAG_CONCEALED,
    FLAG_FEC,
    FLAG_SILENCE,
    FLAG_SKIPPED,
    FRAME_BYTES,
    FRAME_SAMPLES,
    KNOWN_FLAGS,
    AudioFrame,
    check_frame,
    level_dbov,
)
from tests.support import ROOT


def test_python_and_c_agree_on_a_frame() -> None:
    assert (FRAME_SAMPLES, FRAME_BYTES) == (_native.FRAME_SAMPLES, _native.FRAME_BYTES)


def test_a_frame_is_an_int16_array_with_a_description() -> None:
    frame = AudioFrame.of(bytes(640), 5, FLAG_SILENCE | FLAG_SKIPPED, (7, 8))
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (320,)
    assert frame.dtype == np.int16
    assert (frame.timestamp, frame.active_speakers) == (5, (7, 8))
    assert (frame.is_silence, frame.is_concealed, frame.is_skipped) == (True, False, True)


def test_arithmetic_keeps_the_description() -> None:
    frame = AudioFrame.of(np.full(320, 100, np.int16), 9, FLAG_CONCEALED)
    turned = (frame * -0.5).astype(np.int16)
    assert isinstance(turned, AudioFrame)
    assert (turned == -50).all()
    assert (turned.timestamp, turned.is_concealed) == (9, True)


def test_every_combination_of_flags_comes_back_and_numpys_own_are_untouched() -> None:
    for flags in range(KNOWN_FLAGS + 1):
        frame = AudioFrame.of(np.zeros(320, np.int16), flags=flags)
        assert frame.frame_flags == flags
        doubled = frame * 2
        assert isinstance(doubled, AudioFrame)
        assert doubled.frame_flags == flags
    assert frame.flags.c_contiguous
    assert AudioFrame.of(np.zeros(320, np.int16), flags=KNOWN_FLAGS + 1).frame_flags == 0


def test_the_flags_are_those_of_native_frame_h() -> None:
    header = (ROOT / "native/frame.h").read_text()
    there = {name: int(value) for name, value in re.findall(r"MM_FRAME_(\w+) = (\d+),", header)}
    here = {
        "SILENCE": FLAG_SILENCE,
        "CONCEALED": FLAG_CONCEALED,
        "SKIPPED": FLAG_SKIPPED,
        "FEC": FLAG_FEC,
        "COMFORT": FLAG_COMFORT,
    }
    assert there == here
    assert sum(here.values()) == KNOWN_FLAGS


def test_what_fec_brought_back_is_voice_and_not_made_up() -> None:
    frame = AudioFrame.of(np.full(320, 100, np.int16), flags=FLAG_FEC)
    assert (frame.is_fec, frame.is_comfort) == (True, False)
    assert (frame.is_concealed, frame.is_silence, frame.is_skipped) == (False, False, False)
    noise = AudioFrame.of(np.full(320, 3, np.int16), flags=FLAG_COMFORT)
    assert (noise.is_fec, noise.is_comfort, noise.is_silence) == (False, True, False)


@pytest.mark.parametrize(
    ("given", "came"),
    [
        (np.zeros(319, np.int16), r"int16 of shape \(319,\)"),
        (np.zeros((2, 160), np.int16), r"int16 of shape \(2, 160\)"),
        (np.zeros(320, np.float32), "float32 of shape"),
        ([0] * 320, "got list"),
    ],
)
def test_another_shape_is_refused_with_both_named(given: object, came: str) -> None:
    with pytest.raises(ValueError, match=rf"expected one frame, int16 of shape \(320,\).*{came}"):
        check_frame(given)  # type: ignore[arg-type]


def test_level_is_in_dbov() -> None:
    square = np.full(320, -32768, np.int16)
    sine = (np.sin(np.arange(320) * 2 * np.pi / 32) * 32767).astype(np.int16)
    assert level_dbov(square) == 0.0
    assert level_dbov(sine) == pytest.approx(-3.01, abs=0.01)
    assert level_dbov(np.zeros(320, np.int16)) == -127.0
    assert level_dbov(np.zeros(0, np.int16)) == -127.0
