"""A recorder's files when the disk does not take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import WavWriter
from mixminus.media.recorder import RingRecorder, RingTrack
from mixminus.media.ring import FrameRing
from tests.manual import ManualPlatform


def test_a_full_disk_is_told_and_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Path] = []
    close = WavWriter.close

    def note_close(writer: WavWriter) -> None:
        closed.append(writer.path)
        close(writer)

    def fail(writer: WavWriter, pcm: Pcm) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(WavWriter, "close", note_close)
    paths = (tmp_path / "heard.wav", tmp_path / "played.wav")
    rings = (FrameRing(), FrameRing())
    tracks = [RingTrack(ring, path) for ring, path in zip(rings, paths, strict=True)]
    recorder = RingRecorder(ManualPlatform(), tracks)
    monkeypatch.setattr(WavWriter, "write", fail)
    rings[0].write(np.zeros(FRAME_SAMPLES, np.int16))
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    assert sorted(closed) == sorted(paths)
    recorder.close()
