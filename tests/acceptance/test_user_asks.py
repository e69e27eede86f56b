"""The acceptance checks that users asked for, by their numbers, in virtual time.

Check 3 is in test_delay.py, 4 in test_unread.py, 5 in test_barge_in.py, 7 in test_calls_a_core.py,
8 in test_killed_peers.py, 10 in test_stream_access.py; plugins in test_plugins_in_a_call.py.
"""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.media.pcm import FRAME_MS, FRAME_SAMPLES, Pcm
from mixminus.media.peer import Peer, PeerSettings
from mixminus.media.pipeline.resample import Resampler
from mixminus.media.player.feed import FIRST_PREROLL_FRAMES
from mixminus.media.recorder import Recording, RecordingOptions, Speaker
from mixminus.media.session import MediaSession
from mixminus.media.transports.stream import AcsService
from tests.manual import ManualPlatform
from tests.player_kit import stage
from tests.recorder_kit import read, segments, store_at
from tests.session_kit import MP_URI, FakeTransport
from tests.signals import sine, sine_snr_db
from tests.sim.test_recording_hour import lag_samples
from tests.streamfar import Far, constant
from tests.unit.test_player_feed import Producer

LINK_TYPE = 126
MINUTE = 60 * 50


def test_each_of_the_ten_checks_is_found_by_its_number() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    numbers = {int(found) for text in sources for found in re.findall(r"def test_(\d\d)_", text)}
    assert numbers == set(range(1, 11))


class Receiver:
    """A far end's own engine: what was sent comes through a real playout, one tick later."""

    def __init__(self) -> None:
        self.platform = ManualPlatform()
        bridge = self.platform.create_bridge()
        leg, self.listener = bridge.add_leg(1, relay=True), bridge.add_leg(2)
        self.peer = link_peer(self.platform)
        leg.attach(self.peer)
        self.platform.tick()
        self.heard: list[Pcm] = []
        self._sequence = 0

    def take(self, frame: Pcm) -> None:
        push(self.peer, self._sequence, frame)
        self._sequence += 1
        self.platform.tick()
        while (heard := self.listener.render.read()) is not None:
            self.heard.append(np.asarray(heard))


def link_peer(platform: ManualPlatform) -> Peer:
    settings = PeerSettings(payload_types={LINK_TYPE: "pcm16k"}, codec=None, secure=False)
    return Peer.make(platform._engine, settings)


def push(peer: Peer, sequence: int, frame: Pcm) -> None:
    peer.push(
        frame.tobytes() if frame.any() else b"",
        sequence=sequence,
        timestamp_samples=sequence * FRAME_SAMPLES,
        speakers=(),
    )


@pytest.mark.slow
async def test_01_ten_minutes_of_a_live_sine_through_player_and_receiver_have_no_gap() -> None:
    """Acceptance check 1: 20 ms pieces, +-15 ms of jitter, 0 gaps."""
    chance = random.Random(20261121)
    frames = 10 * MINUTE
    one_period = sine(400, 16_000, 0.02)
    arrives_ms = sorted(at * FRAME_MS + chance.uniform(-15, 15) for at in range(frames))
    receiver = Receiver()
    async with stage() as it:
        producer = Producer()
        clip = it.player.feed(producer, rate_hz=16_000)
        coming = iter(arrives_ms)
        due = next(coming, None)
        for tick in range(frames):
            while due is not None and due <= tick * FRAME_MS:
                producer.put(one_period)
                due = next(coming, None)
            await it.tick()
            receiver.take(np.asarray(it.heard[-1]))
        first = next(i for i, frame in enumerate(it.heard) if frame.any())
        assert first <= FIRST_PREROLL_FRAMES + 1
        assert all(np.array_equal(frame, one_period) for frame in it.heard[first:])
        assert it.session.counters().application.concealed == 0
        assert it.session.audio.counters().silence_unsent == 0
        assert len(it.heard) == frames
        begun = next(i for i, frame in enumerate(receiver.heard) if frame.any())
        gaps = sum(not np.array_equal(frame, one_period) for frame in receiver.heard[begun:])
        assert gaps == 0
        assert len(receiver.heard) - begun >= frames - 12
        assert receiver.peer.counters()["concealed_ticks"] == 0
        it.player.clear()
        await it.tick(2)
        assert await clip.done == "cleared"


async def test_02_files_of_two_speakers_with_pauses_are_as_long_as_the_mix_and_in_step(
    tmp_path: Path,
) -> None:
    """Acceptance check 2: length +-1 frame, lag 0, through playouts that lose 2 % and conceal.

    An hour of made-up ticks with joins and leaves is in tests/sim/test_recording_hour.py.
    """
    ticks, people = MINUTE, {101: 3, 102: 5}
    chance, rng = random.Random(2), np.random.default_rng(2)
    platform = ManualPlatform()
    session = MediaSession(platform, mp_uri=MP_URI)
    session.attach(FakeTransport())
    listener = session.listen()
    peers = {source_id: link_peer(platform) for source_id in people}
    for source_id, peer in peers.items():
        session.open_speaker(source_id).attach(peer)
    recording = Recording(store_at(tmp_path).create(), RecordingOptions())
    for source_id in people:
        recording.name_speaker(Speaker(source_id, f"p{source_id}", f"Person {source_id}"))
    for number in range(ticks):
        for source_id, period_s in people.items():
            # Turns of as many seconds, and as many of pause; in a pause nothing is said at all.
            if number // 50 // period_s % 2 == 0 and chance.random() >= 0.02:
                voice = rng.integers(-6000, 6000, FRAME_SAMPLES).astype(np.int16)
                push(peers[source_id], number, voice)
        platform.tick()
        while (frame := listener.read_nowait()) is not None:
            recording.write(frame)
    report = recording.close()
    await session.close()
    assert report.error is None
    sounds = {path.stem: read(path) for path in report.files if path.suffix == ".wav"}
    assert set(sounds) == {"mixed", "speaker-101", "speaker-102"}
    for name, pcm in sounds.items():
        assert abs(pcm.size - ticks * FRAME_SAMPLES) <= FRAME_SAMPLES, name
    speakers = [sounds[f"speaker-{source_id}"] for source_id in people]
    total = np.zeros(sounds["mixed"].size, np.int32)
    for voice in speakers:
        total += voice
    np.testing.assert_array_equal(sounds["mixed"], total)
    for start in range(0, total.size, 10 * 16_000):
        part = slice(start, start + 10 * 16_000)
        for voice in speakers:
            assert lag_samples(sounds["mixed"][part], voice[part]) == 0
        assert lag_samples(sounds["mixed"][part], total[part]) == 0
    for source_id, period_s in people.items():
        concealed = peers[source_id].counters()["concealed_ticks"]
        assert concealed > 20, "losses were made up"
        pcm = sounds[f"speaker-{source_id}"]
        # The pause is where it was: its last second is silent in the file.
        end = (2 * period_s - 1) * 16_000
        assert not pcm[end : end + 16_000 - 10 * FRAME_SAMPLES].any()
    assert {row["name"] for row in segments(report.directory)} == {"Person 101", "Person 102"}


# ---- check 6 -------------------------------------------------------------------------------------


def test_06_four_rates_in_a_row_keep_a_tone_clean_and_every_sample() -> None:
    """Acceptance check 6: 440 Hz, 48 -> 16 -> 24 -> 48 kHz, streaming, in pieces of any size."""
    rates = (48_000, 16_000, 24_000, 48_000)
    chain = [Resampler(a, 1, b, 1) for a, b in pairwise(rates)]
    seconds = 10
    tone = sine(440, 48_000, seconds)
    rng = np.random.default_rng(1)
    came: list[list[Pcm]] = [[] for _ in chain]
    position = 0
    while position < tone.size:
        piece = tone[position : position + int(rng.integers(1, 3000))]
        position += piece.size
        for index, resampler in enumerate(chain):
            piece = resampler.push(piece)
            came[index].append(piece)
    for rate_hz, pieces in zip(rates[1:], came, strict=True):
        whole = np.concatenate(pieces)
        assert abs(whole.size - rate_hz * seconds) <= 1, f"at {rate_hz} Hz"
        assert sine_snr_db(whole[rate_hz:], 440, rate_hz) >= 60
        # An edge at a joint would be a step: a clean sine's is never above this.
        steepest = 16_000 * 2 * np.pi * 440 / rate_hz
        steps = np.abs(np.diff(whole[rate_hz:].astype(np.int32)))
        assert steps.max() <= steepest + 4


def test_06_the_same_chain_in_frames_is_exact() -> None:
    """Acceptance check 6: the count of samples, after every 20 ms."""
    rates = (48_000, 16_000, 24_000, 48_000)
    chain = [Resampler(a, 1, b, 1) for a, b in pairwise(rates)]
    for _ in range(500):
        piece = np.zeros(960, np.int16)
        for resampler, rate_hz in zip(chain, rates[1:], strict=True):
            piece = resampler.push(piece)
            assert piece.size == rate_hz // 50


# ---- check 9 -------------------------------------------------------------------------------------


async def test_09_odd_acs_messages_crash_nothing_and_each_is_counted() -> None:
    """Acceptance check 9: casing, no `silent`, null participant, odd base64, other members."""
    far = await Far.open(AcsService())
    data = json.loads(AcsService().write_audio(constant(700).tobytes(), time_ms=0.0))
    text = next(v for k, v in data["audioData"].items() if k.lower() == "data")
    taken: list[dict[str, Any]] = [
        {"KIND": "AUDIODATA", "AUDIODATA": {"DATA": text, "SILENT": False}},
        {"kind": "audiodata", "audiodata": {"data": text, "silent": False}},
        {"Kind": "AudioData", "AudioData": {"Data": text}, "StopAudio": None},
        {"kind": "AudioData", "audioData": {"data": text}},
        {"kind": "AudioData", "audioData": {"data": text, "participantRawID": None}},
        {"kind": "AudioData", "audioData": {"data": text, "participant": None, "silent": None}},
    ]
    for number, message in enumerate(taken, 1):
        await far.tell(json.dumps(message))
        assert far.transport.counters()["frames_in"] == number, message
        await far.tick()
    refused: list[dict[str, Any]] = [
        {"kind": "AudioData", "audioData": {"data": text[:-1]}},
        {"kind": "AudioData", "audioData": {"data": None}},
        {"kind": "AudioData", "audioData": None},
        {"kind": "AudioData", "audioData": [text]},
    ]
    for number, message in enumerate(refused, 1):
        await far.tell(json.dumps(message))
        assert far.transport.counters()["malformed"] == number, message
    # An odd number of bytes: half a sample is waited for, and the message is counted.
    await far.say(constant(700).tobytes()[:-1])
    assert far.transport.counters()["reframed"] == 1
    assert not far.transport.closed.done()
    await far.tick(3)
    assert 700 in {int(frame[160]) for frame in far.heard}
    await far.close()


async def test_09_24_khz_metadata_is_taken_and_every_frame_is_counted() -> None:
    """Acceptance check 9, the rate."""
    far = await Far.open(AcsService(24_000))
    for _ in range(20):
        await far.say(constant(700, 480))
        await far.tick()
    counts = far.transport.counters()
    assert (counts["frames_in"], counts["malformed"], counts["reframed"]) == (20, 0, 0)
    assert int(far.heard[-1][160]) == pytest.approx(700, abs=2)
    await far.close()
