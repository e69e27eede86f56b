"""An audio socket in another format: 8, 24, 44.1 or 48 kHz, mono or stereo.

Each way has one resampler that lives as long as the view, so that chunks join without an edge and
no sample is lost or made: n frames in are n frames out, in step with the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from ..pcm import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioFrame, Pcm
from ..pipeline.resample import Resampler

if TYPE_CHECKING:
    from .audio_socket import AudioSocket

VIEW_RATES_HZ: Final = (8_000, 16_000, 24_000, 44_100, 48_000)


class ViewFrame(AudioFrame):
    """20 ms in the format of a view, with what is known about them.

    Shape:  (rate / 50,) int16, or (rate / 50, 2) in stereo; the receiver's own.
    """


class FrameConverter:
    """Turn Pcm16K frames into those of another format, one for one, by a stateful resampler.

    Thread: one at a time. Raises: ValueError on a rate or a number of channels that no view has.
    """

    def __init__(self, rate_hz: int, channels: int = 1) -> None:
        self.frame_samples = check_format(rate_hz, channels)
        self._resampler = _maybe_resampler(SAMPLE_RATE_HZ, 1, rate_hz, channels)

    def convert(self, frame: AudioFrame) -> ViewFrame:
        """Return *frame* in the view's format. It is behind by the resampler's delay, 1 to 2 ms."""
        # All rates here make whole frames of whole frames (tests/unit/test_views.py).
        pcm = (
            np.array(frame) if self._resampler is None else self._resampler.push(np.asarray(frame))
        )
        out = pcm.view(ViewFrame)
        out.timestamp = frame.timestamp
        out.frame_flags = frame.frame_flags
        out.active_speakers = frame.active_speakers
        return out


class AudioView:
    """A socket's audio in another format. Made by ``AudioSocket.view``.

    Iterate for what the call says, one :class:`ViewFrame` every 20 ms; it reads the socket, so the
    socket cannot be iterated at the same time. ``send`` takes 20 ms in the same format.
    Thread: the loop's.
    """

    def __init__(self, socket: AudioSocket, rate_hz: int, channels: int = 1) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self.frame_samples = check_format(rate_hz, channels)
        """Samples of 20 ms, for each channel."""
        self._socket = socket
        self._inbound = FrameConverter(rate_hz, channels)
        self._speakers: dict[int, FrameConverter] = {}
        self._outbound = _maybe_resampler(rate_hz, channels, SAMPLE_RATE_HZ, 1)

    def __aiter__(self) -> Self:
        """Iterate over what the call says."""
        return self

    async def __anext__(self) -> ViewFrame:
        """Wait for the next frame. Raises: RuntimeError when another task waits for one."""
        frame = await anext(self._socket)
        out = self._inbound.convert(frame)
        if frame.unmixed or self._speakers:
            out.unmixed = MappingProxyType(self._convert_speakers(frame.unmixed))
        return out

    async def send(self, frame: Pcm, *, mark: str | None = None) -> None:
        """Play 20 ms into the call, once there is room for it.

        Shape:  frame (frame_samples,) int16, or (frame_samples, 2) in stereo.
        Raises: ValueError on another shape or dtype; else as ``AudioSocket.send``.
        """
        await self._socket.send(self._convert(frame), mark=mark)

    def send_nowait(self, frame: Pcm, *, mark: str | None = None) -> bool:
        """Play 20 ms into the call if it is active and has room; say whether.

        Shape, Raises: as :meth:`send`.
        """
        check_view_frame(frame, self.frame_samples, self.channels)
        if not self._socket.room_frames:
            # Counted there; the resampler must not hear what the call does not.
            return self._socket.send_nowait(np.zeros(FRAME_SAMPLES, np.int16))
        return self._socket.send_nowait(self._convert(frame), mark=mark)

    def _convert_speakers(self, unmixed: Mapping[int, AudioFrame]) -> dict[int, AudioFrame]:
        for source_id in self._speakers.keys() - unmixed.keys():
            del self._speakers[source_id]
        for source_id in unmixed.keys() - self._speakers.keys():
            self._speakers[source_id] = FrameConverter(self.rate_hz, self.channels)
        return {key: self._speakers[key].convert(frame) for key, frame in unmixed.items()}

    def _convert(self, frame: Pcm) -> Pcm:
        pcm = check_view_frame(frame, self.frame_samples, self.channels)
        return pcm if self._outbound is None else self._outbound.push(pcm)


def check_format(rate_hz: int, channels: int) -> int:
    """Return the samples of 20 ms in that format, for each channel.

    Raises: ValueError when no view has it.
    """
    if rate_hz not in VIEW_RATES_HZ:
        known = ", ".join(map(str, VIEW_RATES_HZ))
        raise ValueError(f"rate_hz: expected one of {known}, got {rate_hz}")
    if channels not in (1, 2):
        raise ValueError(f"channels: expected 1 or 2, got {channels}")
    return rate_hz * FRAME_MS // 1000


def check_view_frame(frame: Pcm, samples: int, channels: int) -> Pcm:
    """Return *frame* if it is 20 ms in a view's format.

    Raises: ValueError naming the expected and the given shape and dtype.
    """
    wanted = (samples,) if channels == 1 else (samples, channels)
    if not isinstance(frame, np.ndarray) or frame.shape != wanted or frame.dtype != np.int16:
        came = (
            f"{frame.dtype} of shape {frame.shape}"
            if isinstance(frame, np.ndarray)
            else type(frame).__name__
        )
        raise ValueError(f"expected 20 ms, int16 of shape {wanted}, got {came}")
    return np.asarray(frame)


def _maybe_resampler(
    in_rate_hz: int, in_channels: int, out_rate_hz: int, out_channels: int
) -> Resampler | None:
    if (in_rate_hz, in_channels) == (out_rate_hz, out_channels):
        return None
    return Resampler(in_rate_hz, in_channels, out_rate_hz, out_channels)
