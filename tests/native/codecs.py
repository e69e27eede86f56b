"""The C codecs by ctypes, and FFmpeg's of the same name by PyAV."""

from __future__ import annotations

import ctypes
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.native.clib import library

Pcm = NDArray[np.int16]

FRAME = 320
OPUS, PCMU, PCMA, G722, PCM16K = range(5)
NAMES = {OPUS: "opus", PCMU: "pcm_mulaw", PCMA: "pcm_alaw", G722: "g722"}
PACKET_ROOM = 1500
SPEECH = Path(__file__).resolve().parent.parent / "data" / "speech.wav"

OPUS_SOURCES = ("opus.c", "opus_check.c", "shared_library.c", "memory.c")
CODEC_SOURCES = (
    "codec.c", "conceal.c", "g711.c", "g722.c", "halfband.c", "pcm16k.c", *OPUS_SOURCES,
)  # fmt: skip


def libopus_path() -> str:
    """The copy that came with PyAV."""
    folder = Path(av.__file__).parent.parent / "av.libs"
    return str(next(folder.glob("libopus*.so*")))


def speech() -> Pcm:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def memory(size: int) -> NDArray[np.uint64]:
    """Zeroed memory as mm_pages_alloc gives it: aligned to 64."""
    words = np.zeros((size + 127) // 8, np.uint64)
    skip = (-words.ctypes.data % 64) // 8
    return words[skip : skip + (size + 7) // 8]


class Settings(ctypes.Structure):
    _fields_ = [
        ("bit_rate", ctypes.c_uint32),
        ("complexity", ctypes.c_uint8),
        ("fec", ctypes.c_uint8),
        ("loss_percent", ctypes.c_uint8),
        ("dtx", ctypes.c_uint8),
    ]


PLAIN = (32_000, 5, 0, 0, 0)


class Codecs:
    """codec.h, as a thing of Python."""

    def __init__(self, *more: str, flags: tuple[str, ...] = ("-O2",), opus: bool = True) -> None:
        self.lib = library(*CODEC_SOURCES, *more, flags=flags)
        for name in ("mm_decoder_bytes", "mm_encoder_bytes"):
            getattr(self.lib, name).restype = ctypes.c_size_t
        self.lib.mm_opus_version.restype = ctypes.c_char_p
        self.lib.mm_opus_path.restype = ctypes.c_char_p
        if opus:
            result, said = self.bind(libopus_path())
            assert result == 0, said

    def bind(self, path: str) -> tuple[int, str]:
        error = ctypes.create_string_buffer(300)
        result = int(self.lib.mm_opus_bind(path.encode(), error, ctypes.c_size_t(300)))
        return result, error.value.decode()

    def packet_samples(self, codec: int, payload: bytes) -> int:
        return int(self.lib.mm_codec_packet_samples(codec, payload, ctypes.c_size_t(len(payload))))

    def decoder(self, codec: int) -> Decoder:
        return Decoder(self, codec)

    def encoder(self, codec: int, settings: tuple[int, ...] = PLAIN) -> Encoder:
        return Encoder(self, codec, settings)


class Decoder:
    def __init__(self, codecs: Codecs, codec: int) -> None:
        self.lib = codecs.lib
        self.state = memory(self.lib.mm_decoder_bytes(codec))
        assert self.lib.mm_decoder_init(pointer(self.state), codec) == 0

    def decode(self, payload: bytes, room: int = 1920) -> Pcm | None:
        pcm = np.zeros(max(room, 1), np.int16)
        size = ctypes.c_size_t(len(payload))
        done = self.lib.mm_decode(pointer(self.state), payload, size, pointer(pcm), room)
        return None if done < 0 else pcm[:done]

    def decode_fec(self, following: bytes, samples: int = FRAME) -> Pcm | None:
        pcm = np.zeros(samples, np.int16)
        size = ctypes.c_size_t(len(following))
        state, out = pointer(self.state), pointer(pcm)
        done = self.lib.mm_decode_fec(state, following, size, out, samples)
        return None if done < 0 else pcm[:done]

    def conceal(self, samples: int = FRAME) -> Pcm | None:
        pcm = np.zeros(max(samples, 1), np.int16)
        done = self.lib.mm_conceal(pointer(self.state), pointer(pcm), samples)
        return None if done < 0 else pcm[:done]


class Encoder:
    def __init__(self, codecs: Codecs, codec: int, settings: tuple[int, ...]) -> None:
        self.lib = codecs.lib
        self.state = memory(self.lib.mm_encoder_bytes(codec))
        chosen = Settings(*settings)
        assert self.lib.mm_encoder_init(pointer(self.state), codec, ctypes.byref(chosen)) == 0

    def encode(self, pcm: Pcm, room: int = PACKET_ROOM) -> bytes | None:
        whole = np.ascontiguousarray(pcm)
        out = np.zeros(max(room, 1), np.uint8)
        state = pointer(self.state)
        done = self.lib.mm_encode(state, pointer(whole), len(whole), pointer(out), room)
        return None if done < 0 else out[:done].tobytes()

    def frames(self, pcm: Pcm, samples: int = FRAME) -> list[bytes]:
        packets = [self.encode(frame) for frame in frames(pcm, samples)]
        assert None not in packets
        return [packet for packet in packets if packet is not None]


def frames(pcm: Pcm, samples: int = FRAME) -> list[Pcm]:
    return [pcm[at : at + samples] for at in range(0, len(pcm) - samples + 1, samples)]


def ffmpeg_encode(codec: int, pcm: Pcm, rate_hz: int) -> bytes:
    context: Any = av.CodecContext.create(NAMES[codec], "w")
    context.sample_rate, context.layout, context.format = rate_hz, "mono", "s16"
    context.open()
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate_hz
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def ffmpeg_decode(codec: int, payload: bytes, rate_hz: int) -> Pcm:
    context: Any = av.CodecContext.create(NAMES[codec], "r")
    context.sample_rate, context.layout = rate_hz, "mono"
    context.open()
    out = [frame.to_ndarray() for frame in context.decode(av.Packet(payload))]
    return np.concatenate(out, axis=1).reshape(-1).astype(np.int16)
