"""An audio socket in other formats: exact in samples, without an edge at any joint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mixminus.media.pcm import FLAG_SILENCE, FRAME_SAMPLES, AudioFrame
from mixminus.media.session import MediaSession, ViewFrame
from mixminus.media.session.views import VIEW_RATES_HZ, FrameConverter
from tests.manual import ManualPlatform
from tests.session_kit import MP_URI, FakeTransport, constant, settle
from tests.signals import sine, sine_snr_db

FORMATS = [(rate_hz, channels) for rate_hz in VIEW_RATES_HZ for channels in (1, 2)]


@pytest.fixture
async def session() -> AsyncIterator[MediaSession]:
    session = MediaSession(ManualPlatform(), mp_uri=MP_URI)
    session.attach(FakeTransport())
    yield session
    await session.close()


def tick(session: MediaSession) -> None:
    platform = session._platform
    assert isinstance(platform, ManualPlatform)
    platform.tick()


@pytest.mark.parametrize(("rate_hz", "channels"), FORMATS)
async def test_each_frame_in_is_one_frame_out_both_ways(
    session: MediaSession, rate_hz: int, channels: int
) -> None:
    view = session.audio.view(rate_hz, channels)
    shape = (rate_hz // 50,) if channels == 1 else (rate_hz // 50, 2)
    tone = sine(440, 16_000, 4.0).reshape(-1, FRAME_SAMPLES)
    said = sine(440, rate_hz, 4.0)
    played = said if channels == 1 else np.repeat(said, 2).reshape(-1, 2)
    heard: list[ViewFrame] = []
    far: list[AudioFrame] = []
    for index, frame in enumerate(tone):
        session.legs.link.source.write(frame, speakers=(7,))
        await view.send(played[index * view.frame_samples :][: view.frame_samples])
        reading = asyncio.create_task(anext(view))
        await settle()
        tick(session)
        heard.append(await reading)
        rendered = session.legs.link.render.read()
        assert rendered is not None
        far.append(rendered)
    assert {frame.shape for frame in heard} == {shape}
    assert heard[9].active_speakers == (7,)
    assert heard[9].timestamp - heard[8].timestamp == 200_000
    inbound = np.concatenate([np.asarray(frame) for frame in heard])
    assert len(inbound) == rate_hz * 4
    mono = inbound if channels == 1 else inbound[:, 0]
    assert sine_snr_db(mono[rate_hz:], 440, rate_hz) > 60
    outbound = np.concatenate([np.asarray(frame) for frame in far])
    assert len(outbound) == 16_000 * 4
    assert sine_snr_db(outbound[16_000:], 440, 16_000) > 60
    assert abs(int(np.abs(outbound[16_000:]).max()) - 16_000) < 100, "neither louder nor quieter"


async def test_speakers_are_converted_beside_the_mix(session: MediaSession) -> None:
    view = session.audio.view(48_000, 2)
    session.audio.unmixed = True
    leg = session.open_speaker(7)
    reading = asyncio.create_task(anext(view))
    await settle()
    for _ in range(3):
        leg.source.write(constant(1000))
        tick(session)
    frames = [await reading, await anext(view), await anext(view)]
    pcm: list[NDArray[Any]] = [np.asarray(frame.unmixed[7]) for frame in frames]
    assert {frame.shape for frame in pcm} == {(960, 2)}
    assert np.abs(pcm[-1] - 1000).max() <= 1
    assert isinstance(frames[0].unmixed[7], ViewFrame)
    session.close_speaker(7)
    tick(session)
    assert not (await anext(view)).unmixed


async def test_a_view_takes_its_own_format_only(session: MediaSession) -> None:
    view = session.audio.view(44_100, 2)
    wrong: Any
    for wrong in (np.zeros((881, 2), np.int16), np.zeros(882, np.int16), np.zeros((882, 2))):
        with pytest.raises(ValueError, match=r"expected 20 ms, int16 of shape \(882, 2\), got"):
            await view.send(wrong)
        with pytest.raises(ValueError, match="expected 20 ms"):
            view.send_nowait(wrong)
    with pytest.raises(ValueError, match="got list"):
        await view.send([0] * 882)  # type: ignore[arg-type]
    for rate_hz in (0, 11_025, 96_000):
        with pytest.raises(ValueError, match="rate_hz: expected one of 8000, 16000, 24000"):
            session.audio.view(rate_hz)
    for channels in (0, 3):
        with pytest.raises(ValueError, match="channels: expected 1 or 2"):
            session.audio.view(48_000, channels)


async def test_what_is_refused_is_not_heard_later(session: MediaSession) -> None:
    view = session.audio.view(48_000)
    loud = np.full(960, 9000, np.int16)
    while view.send_nowait(np.zeros(960, np.int16)):
        pass
    assert not view.send_nowait(loud)
    for _ in range(10):
        tick(session)
    assert view.send_nowait(np.zeros(960, np.int16))
    tick(session)
    heard = []
    while (frame := session.legs.link.render.read()) is not None:
        heard.append(frame)
    assert not np.concatenate(heard).any()


def test_a_converted_frame_says_what_was_known_of_it() -> None:
    converter = FrameConverter(8_000)
    frame = AudioFrame.of(np.zeros(FRAME_SAMPLES, np.int16), 1234, FLAG_SILENCE, (3,))
    out = converter.convert(frame)
    assert out.shape == (160,)
    assert (out.timestamp, out.is_silence, out.active_speakers) == (1234, True, (3,))
