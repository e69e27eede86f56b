"""Service-hosted media: what is played is heard sample for sample, what is said is recorded."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator

import numpy as np
import pytest

from mixminus.control.graph.operations import RecordReason
from mixminus.control.service.ivr.music import LOOP_S, hold_music
from mixminus.control.service.ivr.prompts import PromptError
from mixminus.control.service.ivr.recorder import Clip, RecordLimits, beep_pcm
from mixminus.control.service.ivr.voice import LoopingVoice, Voice
from mixminus.media.dtmf import ToneDetector, tone_pcm
from mixminus.media.pcm import FRAME_SAMPLES, Pcm, level_dbov
from tests.hosted import Files, HostedCall, infos, without_silence
from tests.signals import sine
from tests.support import ROOT
from tests.unit.test_prompts import wav


def ramp(samples: int) -> Pcm:
    """Samples that are all different from their neighbours, and none of them zero."""
    return (np.arange(samples) % 20_000 + 1).astype(np.int16)


def speech(seconds: float | None = None) -> Pcm:
    with wave.open(str(ROOT / "tests/data/speech.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return pcm if seconds is None else pcm[: int(seconds * 16_000)]


@pytest.fixture
async def call() -> AsyncIterator[HostedCall]:
    files = Files(a=wav(ramp(5000)), b=wav(-ramp(7777)), speech=wav(speech()))
    made = HostedCall(files)
    yield made
    await made.close()


def limits(
    initial: float = 5, silence: float = 5, duration: float = 5, keys: str = ""
) -> RecordLimits:
    return RecordLimits(initial, silence, duration, frozenset(keys))


async def test_prompts_are_heard_sample_for_sample_without_a_gap(call: HostedCall) -> None:
    playing = asyncio.create_task(call.media.play(infos("a", "b", "a")))
    await call.until(playing.done)
    await call.run(3)
    expected = np.concatenate([ramp(5000), -ramp(7777), ramp(5000)])
    np.testing.assert_array_equal(without_silence(call.heard_pcm), expected)
    assert call.leg.counters().concealed == 0


async def test_it_is_over_when_the_last_sample_was_heard(call: HostedCall) -> None:
    playing = asyncio.create_task(call.media.play(infos("a")))
    await call.until(playing.done)
    np.testing.assert_array_equal(without_silence(call.heard_pcm), ramp(5000))


async def test_cancelled_it_is_silent_within_40_ms(call: HostedCall) -> None:
    playing = asyncio.create_task(call.media.play(infos("a"), loop=True))
    await call.until(lambda: call.media.counters().said_frames > 30)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    call.heard.clear()
    await call.run(20)
    assert not any(frame.any() for frame in call.heard[2:])


async def test_a_loop_goes_on_without_a_seam(call: HostedCall) -> None:
    playing = asyncio.create_task(call.media.play(infos("a", "b"), loop=True))
    await call.until(lambda: call.media.counters().said_frames > 200)
    assert not playing.done()
    heard = without_silence(call.heard_pcm)
    np.testing.assert_array_equal(
        heard, np.resize(np.concatenate([ramp(5000), -ramp(7777)]), heard.size)
    )
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


async def test_a_prompt_that_cannot_be_had_is_no_sound(call: HostedCall) -> None:
    with pytest.raises(PromptError):
        await call.media.play(infos("a", "missing"))
    await call.run(10)
    assert not call.heard_pcm.any()


async def test_while_nothing_is_said_silence_flows(call: HostedCall) -> None:
    await call.run(50)
    counters = call.leg.counters()
    assert counters.silence >= 49
    assert counters.concealed == counters.underruns == 0


async def record(call: HostedCall, said: Pcm, chosen: RecordLimits, *, beep: bool = False) -> Clip:
    """Record while the caller says *said* and then is silent."""
    task = asyncio.create_task(call.media.record(chosen, beep=beep))
    await asyncio.sleep(0)
    frames = -(-said.size // FRAME_SAMPLES)
    padded = np.zeros(frames * FRAME_SAMPLES, np.int16)
    padded[: said.size] = said
    for start in range(0, padded.size, FRAME_SAMPLES):
        if task.done():
            break
        await call.tick(padded[start : start + FRAME_SAMPLES])
    await call.until(task.done)
    return await task


async def test_silence_after_speech_ends_a_recording(call: HostedCall) -> None:
    clip = await record(call, speech(2.5), limits(silence=1, duration=60))
    assert clip.reason is RecordReason.MAX_SILENCE
    np.testing.assert_array_equal(without_silence(clip.pcm), without_silence(speech(2.5)))


async def test_pauses_shorter_than_allowed_do_not(call: HostedCall) -> None:
    clip = await record(call, speech(), limits(silence=2, duration=60))
    assert clip.reason is RecordReason.MAX_SILENCE
    np.testing.assert_array_equal(without_silence(clip.pcm), without_silence(speech()))


async def test_no_speech_is_an_initial_silence(call: HostedCall) -> None:
    clip = await record(call, speech(0), limits(initial=2, silence=1))
    assert clip.reason is RecordReason.INITIAL_SILENCE
    assert clip.pcm.size == 2 * 16_000


async def test_a_click_is_no_speech(call: HostedCall) -> None:
    click = np.zeros(16_000, np.int16)
    click[8000:8020] = 30_000
    clip = await record(call, click, limits(initial=2, silence=1))
    assert clip.reason is RecordReason.INITIAL_SILENCE


async def test_the_longest_duration_is_kept_to_the_sample(call: HostedCall) -> None:
    clip = await record(call, speech(), limits(duration=2))
    assert clip.reason is RecordReason.MAX_DURATION
    assert clip.pcm.size == 2 * 16_000
    # A frame may be under way in the playout when the recording begins.
    np.testing.assert_array_equal(
        without_silence(clip.pcm)[:16_000], without_silence(speech())[:16_000]
    )


async def test_a_key_in_the_audio_ends_it_and_is_not_in_the_clip(call: HostedCall) -> None:
    said = speech(2)
    tone = tone_pcm("#", 120)
    pressed = np.concatenate([said, np.zeros(3200, np.int16), tone, np.zeros(3200, np.int16)])
    clip = await record(call, pressed, limits(duration=60, keys="#"))
    assert clip.reason is RecordReason.STOP_TONE
    np.testing.assert_array_equal(without_silence(clip.pcm)[-400:], without_silence(said)[-400:])
    assert ToneDetector().push(clip.pcm) == ()
    assert call.tones == ["pound"]


async def test_another_key_does_not_end_it(call: HostedCall) -> None:
    pressed = np.concatenate([tone_pcm("1", 120), np.zeros(3200, np.int16)])
    clip = await record(call, pressed, limits(silence=1, keys="#*"))
    assert clip.reason is RecordReason.MAX_SILENCE


async def test_a_signalled_key_ends_it(call: HostedCall) -> None:
    task = asyncio.create_task(call.media.record(limits(duration=60, keys="*"), beep=False))
    await call.run(60, speech(3))
    call.media.hear_tone("tone5")
    call.media.hear_tone("flash")
    await call.run(2)
    assert not task.done()
    call.media.hear_tone("star")
    clip = await task
    assert clip.reason is RecordReason.STOP_TONE
    assert 60 * FRAME_SAMPLES <= clip.pcm.size <= 63 * FRAME_SAMPLES
    assert call.tones == []


async def test_nobody_who_sends_is_a_media_timeout(call: HostedCall) -> None:
    task = asyncio.create_task(call.media.record(limits(initial=120, duration=120), beep=False))
    await call.run(10)
    for _ in range(400):
        if not task.done():
            await call.tick(None)
    assert (await task).reason is RecordReason.MEDIA_TIMEOUT


async def test_the_beep_is_heard_first_and_not_recorded(call: HostedCall) -> None:
    task = asyncio.create_task(call.media.record(limits(initial=1), beep=True))
    await call.until(lambda: call.media.counters().said_frames == 4)
    await call.run(4, sine(300, 16_000, 0.08))
    await call.until(task.done)
    np.testing.assert_array_equal(without_silence(call.heard_pcm), without_silence(beep_pcm()))
    clip = await task
    assert clip.reason is RecordReason.INITIAL_SILENCE
    assert level_dbov(clip.pcm) == -127.0


async def test_a_cancelled_recording_leaves_nothing_behind(call: HostedCall) -> None:
    task = asyncio.create_task(call.media.record(limits(), beep=False))
    await call.run(10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    clip = await record(call, speech(0), limits(initial=1))
    assert clip.pcm.size == 16_000


async def test_a_stalled_loop_leaves_silence_and_not_a_shorter_clip(call: HostedCall) -> None:
    task = asyncio.create_task(call.media.record(limits(initial=4), beep=False))
    await call.run(10)
    # As a loop that stands still for two seconds: the ring is lapped before anyone reads.
    call.platform._engine.run_ticks(100)
    await call.run(20)
    assert not task.done()
    ticks = await call.until(task.done)
    assert 130 + ticks == pytest.approx(200, abs=3)


async def test_keys_are_heard_only_while_someone_wants_them(call: HostedCall) -> None:
    await call.run(30, tone_pcm("1", 100))
    assert call.tones == []
    call.media.listen(True)
    await call.run(30, tone_pcm("2", 100))
    assert call.tones == ["tone2"]
    call.media.listen(False)
    await call.run(30, tone_pcm("3", 100))
    assert call.tones == ["tone2"]


async def test_a_key_that_was_signalled_and_sounds_is_one_press(call: HostedCall) -> None:
    call.media.listen(True)
    call.media.hear_tone("tone4")
    await call.run(40, tone_pcm("4", 200))
    assert call.tones == []
    await call.run(40, tone_pcm("4", 200))
    assert call.tones == ["tone4"]
    # What it found comes back through the call, and is not heard as another press.
    call.media.hear_tone("tone4")
    await call.run(40, tone_pcm("4", 200))
    assert call.tones == ["tone4", "tone4"]


async def test_a_tone_that_leaks_before_its_signal_is_one_press(call: HostedCall) -> None:
    call.media.listen(True)
    await call.run(15, tone_pcm("4", 60))
    assert call.tones == ["tone4"]
    assert call.media.hear_tone("tone4")  # Its own report, as it comes back through the call.
    assert not call.media.hear_tone("tone4")
    assert call.media.hear_tone("tone4")
    await call.run(40, tone_pcm("5", 60))
    assert call.media.hear_tone("tone5")
    # Signalled 0.8 s after it was heard: pressed again.
    assert call.media.hear_tone("tone5")


async def test_a_key_that_is_sent_is_heard_as_that_key(call: HostedCall) -> None:
    for key in "1*D":
        task = asyncio.create_task(call.media.play_key(key))
        await call.until(task.done)
        await call.run(5)
    assert "".join(found.key for found in ToneDetector().push(call.heard_pcm)) == "1*D"


async def test_a_clip_is_a_wav_file_of_the_documented_format(call: HostedCall) -> None:
    data = Clip(RecordReason.STOP_TONE, ramp(1000)).to_wav()
    assert data == wav(ramp(1000))


async def test_a_voice_says_one_thing_at_a_time(call: HostedCall) -> None:
    leg = call.bridge.add_leg(3, paced=True)
    voice = Voice(call.platform, leg)
    done = voice.start([ramp(10_000)])
    with pytest.raises(RuntimeError):
        voice.start([ramp(10)])
    voice.stop()
    assert done.cancelled()
    voice.start([ramp(10)])
    with pytest.raises(ValueError, match="samples"):
        Voice(call.platform, call.bridge.add_leg(4, paced=True)).start([np.zeros(0, np.int16)])
    voice.close()
    voice.close()


async def test_a_voice_moves_to_another_leg(call: HostedCall) -> None:
    leg, other = call.bridge.add_leg(3, paced=True), call.bridge.add_leg(4, paced=True)
    voice = Voice(call.platform, leg)
    done = voice.start([ramp(10 * FRAME_SAMPLES)])
    await call.run(3)
    voice.move(other)
    await call.until(done.done)
    assert other.counters().voice >= 4
    voice.close()


async def test_hold_music_loops_without_a_seam(call: HostedCall) -> None:
    music = hold_music()
    assert music is hold_music()
    assert music.size == LOOP_S * 16_000
    steps = np.abs(np.diff(np.concatenate([music[-800:], music[:800]]).astype(int)))
    assert steps.max() <= np.abs(np.diff(music.astype(int))).max()
    assert steps[795:805].max() < 1000
    assert -35 < level_dbov(music) < -18
    quiet = [level_dbov(music[at : at + 1600]) for at in range(0, music.size, 1600)]
    assert min(quiet) > -50
    leg = call.bridge.add_leg(3, paced=True)
    voice = LoopingVoice(call.platform, leg, music)
    await call.run(20)
    assert leg.counters().voice >= 17
    voice.close()
    await call.run(10)
    before = leg.counters().voice
    await call.run(10)
    assert leg.counters().voice == before
