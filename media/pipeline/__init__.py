"""Stages between rings: files in, resampling, playing, recording. All codecs come from PyAV."""

from .decode import AudioFileError, FileDecoder, is_silent, load_audio, open_audio
from .player import FilePlayer
from .resample import FrameCutter, Resampler
from .wav import WavWriter

__all__ = [
    "AudioFileError",
    "FileDecoder",
    "FilePlayer",
    "FrameCutter",
    "Resampler",
    "WavWriter",
    "is_silent",
    "load_audio",
    "open_audio",
]
