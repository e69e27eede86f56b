"""The plugins that come with mixminus, one file each; none is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PLUGINS: Final[Mapping[str, str]] = MappingProxyType(
    {
        name: f"{__name__}.{target}"
        for name, target in {
            "agc": "agc:Agc",
            "delay": "delay:Delay",
            "dtmf": "dtmf:DtmfDetection",
            "ducking": "ducking:Ducking",
            "echo_cancellation": "echo_cancellation:EchoCancellation",
            "gain": "gain:Gain",
            "injector": "injector:FileInjector",
            "level_meter": "level_meter:LevelMeter",
            "noise_suppression": "noise_suppression:NoiseSuppression",
            "recorder": "recorder:StreamRecorder",
            "transcript": "transcript:Transcript",
            "voice_activity": "voice_activity:VoiceActivity",
        }.items()
    }
)
"""The name by which each is chosen, and where it is, as ``module:attribute``."""

__all__ = ["PLUGINS"]
