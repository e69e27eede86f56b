"""Stages between rings: files in, resampling, playing, recording. All codecs come from PyAV."""

from .decode import AudioFileError, FileDecoder, is_silent, load_audio, open_audio, sniff
from .player import FilePlayer
from .resample import FrameCutter, Resampler
from .track import Track
from .wav import WavWriter

__all__ = [
    "AudioFileError",
    "FileDecoder",
    "FilePlayer",
    "FrameCutter",
    "Resampler",
    "Track",
    "WavWriter",
    "is_silent",
    "load_audio",
    "open_audio",
    "sniff",
]
