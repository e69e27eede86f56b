"""What tests of plugins share: a stream through one plugin, offline, and what it said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from mixminus.media.pipeline import load_audio
from mixminus.media.plugins.contract import Stream
from mixminus.media.plugins.offline import OfflinePlugin
from tests.support import ROOT

SPEECH_FILE = ROOT / "tests/data/speech.wav"


@cache
def speech() -> Pcm:
    """The test speech, in whole frames. Shape: (n,) int16."""
    pcm = load_audio(SPEECH_FILE)
    whole = pcm[: pcm.size // FRAME_SAMPLES * FRAME_SAMPLES]
    whole.flags.writeable = False
    return whole


def white_noise(like: Pcm, rms: float, seed: int = 1) -> Pcm:
    rng = np.random.default_rng(seed)
    return np.rint(rng.normal(0.0, rms, like.size)).astype(np.int16)


def mixed(*parts: Pcm) -> Pcm:
    """Return the sum of *parts*, cut at full scale."""
    return np.clip(np.sum(parts, axis=0, dtype=np.int32), -32768, 32767).astype(np.int16)


def plugged(
    plugin: str,
    *,
    stream: Stream = "inbound",
    call_id: str = "call",
    source_id: int | None = 7,
    may_store: Callable[[int], bool] = lambda timestamp: True,
    **config: Any,
) -> OfflinePlugin:
    """A plugin with its configuration as keywords."""
    return OfflinePlugin(
        plugin, config, stream=stream, call_id=call_id, source_id=source_id, may_store=may_store
    )


def heard(plugin: str, pcm: Pcm, **config: Any) -> Pcm:
    """What *plugin* makes of *pcm*."""
    with plugged(plugin, **config) as run:
        return run.hear(pcm)
