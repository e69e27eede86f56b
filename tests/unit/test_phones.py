"""Scripted telephones do what their script says; a script that cannot be done is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mixminus.control.service.phones import DEFAULT_NUMBER, PhoneScript, ScriptedPhone
from mixminus.control.service.settings import ServiceSettings
from mixminus.media.dtmf import ToneDetector
from mixminus.media.pcm import FRAME_SAMPLES, Pcm
from tests.manual import ManualPlatform
from tests.signals import sine
from tests.support import eventually
from tests.unit.test_prompts import wav


class Line:
    """A telephone in a bridge with one who listens; ticks happen while anyone waits."""

    def __init__(self, script: PhoneScript) -> None:
        self.platform = ManualPlatform()
        self.bridge = self.platform.create_bridge()
        self.listener = self.bridge.add_leg(1, render_slots=64)
        self.leg = self.bridge.add_leg(2, paced=True)
        self.hang_ups = 0
        self.heard: list[Pcm] = []
        self.phone = ScriptedPhone(self.platform, self.leg, script, on_hung_up=self._hung_up)

    def tick(self) -> None:
        self.platform.tick()
        while (frame := self.listener.render.read()) is not None:
            self.heard.append(np.asarray(frame))

    def keys(self) -> str:
        return "".join(found.key for found in ToneDetector().push(np.concatenate(self.heard)))

    async def close(self) -> None:
        await self.phone.close()
        self.bridge.close()

    def _hung_up(self) -> None:
        self.hang_ups += 1


def script(**values: object) -> PhoneScript:
    return PhoneScript.model_validate({"number": DEFAULT_NUMBER, **values})


async def test_it_plays_its_file_then_its_tones(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    pcm = sine(300, 16_000, 0.5)
    path.write_bytes(wav(pcm))
    line = Line(script(file=path, tones="12#"))
    line.phone.start()

    def said() -> bool:
        line.tick()
        return line.keys() == "12#"

    await eventually(said)
    heard = np.concatenate(line.heard)
    loud = np.flatnonzero(heard)
    # A sine begins with a zero, which is not seen.
    np.testing.assert_array_equal(heard[loud[0] : loud[0] + 7999], pcm[1:])
    assert line.hang_ups == 0
    await line.close()
    await line.close()


async def test_it_hangs_up_once_even_in_the_middle_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(sine(300, 16_000, 5)))
    line = Line(script(file=path, hang_up_after_s=0.05))
    line.phone.start()
    await eventually(lambda: line.hang_ups)
    for _ in range(10):
        line.tick()
        await asyncio.sleep(0)
    assert line.hang_ups == 1
    await line.close()


async def test_it_stays_on_the_line_and_sends_silence_when_it_has_nothing_to_say() -> None:
    line = Line(script())
    line.phone.start()
    for _ in range(50):
        line.tick()
        await asyncio.sleep(0)
    assert line.hang_ups == 0
    counters = line.leg.counters()
    assert counters.silence >= 48
    assert counters.underruns == 0
    await line.close()
    line.tick()
    assert line.leg.source.depth_frames <= 2


async def test_one_that_is_moved_speaks_on_the_other_leg() -> None:
    line = Line(script(tones="5555"))
    line.phone.start()
    other = line.bridge.add_leg(3, paced=True)
    line.phone.move(other)

    def moved() -> bool:
        line.tick()
        return other.counters().voice * FRAME_SAMPLES > 3000

    await eventually(moved)
    await line.close()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"the phone \+14255550123: there is no file"):
        script(file=tmp_path / "no.wav")
    with pytest.raises(ValidationError, match="there is no file"):
        script(file=tmp_path)


def test_a_file_that_is_no_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("hello")
    with pytest.raises(ValidationError, match=r"the phone \+14255550123: .*got text"):
        script(file=path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": "14255550123"}, "E.164"),
        ({"number": "+0123"}, "E.164"),
        ({"number": "+1425555012x"}, "E.164"),
        ({"tones": "12e"}, "expected keys"),
        ({"answer_after_s": -1}, "greater than or equal"),
        ({"hang_up_after_s": 0}, "greater than"),
        ({"color": "red"}, "Extra inputs"),
        ({"rtp": "gateway:4000"}, "expected a numeric address and a port like"),
        ({"rtp": "192.0.2.10"}, "expected a numeric address and a port like"),
        ({"rtp": "192.0.2.10:0"}, "expected a numeric address and a port like"),
        ({"rtp": "192.0.2.10:65536"}, "expected a numeric address and a port like"),
        ({"rtp": "192.0.2.10:4\u0660"}, "expected a numeric address and a port like"),
        ({"rtp": "0.0.0.0:4000"}, "expected a numeric address and a port like"),
        ({"rtp": "224.0.0.1:4000"}, "expected a numeric address and a port like"),
        ({"rtp": "2001:db8::10:4000"}, "expected a numeric address and a port like"),
        ({"rtp": "[192.0.2.10]:4000"}, "expected a numeric address and a port like"),
        ({"rtp": "192.0.2.10:4000", "tones": "1"}, "it is the gateway that speaks"),
        ({"rtp": "192.0.2.10:4000", "codec": "speex"}, "'pcmu', 'pcma', 'g722' or 'opus'"),
        ({"rtp": "192.0.2.10:4000", "payload_type": 72}, "payload_type: expected 0 to 63"),
        ({"rtp": "192.0.2.10:4000", "payload_type": 101}, "which is the keys', got 101"),
        ({"codec": "opus", "learn_address": True}, "codec, learn_address: expected rtp beside it"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        script(**values)


def test_settings_have_one_telephone_and_no_number_twice() -> None:
    (phone,) = ServiceSettings().phones
    assert phone.number == DEFAULT_NUMBER
    assert phone.shown_name == "Pat"
    assert script().shown_name == DEFAULT_NUMBER
    with pytest.raises(ValidationError, match="two scripts"):
        ServiceSettings(phones=(script(), script(declines=True)))


def test_letters_on_keys_may_be_small() -> None:
    assert script(tones="1ab*").tones == "1AB*"


@pytest.mark.parametrize(
    ("values", "host", "payload_type"),
    [
        ({"rtp": "192.0.2.10:4000"}, "192.0.2.10", 0),
        ({"rtp": "[2001:DB8::10]:4000", "codec": "g722"}, "2001:db8::10", 9),
        ({"rtp": "192.0.2.10:4000", "codec": "opus"}, "192.0.2.10", 111),
        ({"rtp": "192.0.2.10:4000", "codec": "opus", "payload_type": 96}, "192.0.2.10", 96),
    ],
)
def test_a_gateway_is_named_by_address_and_codec(
    values: dict[str, object], host: str, payload_type: int
) -> None:
    line = script(**values).line
    assert line is not None
    assert (line.host, line.port, line.payload_type) == (host, 4000, payload_type)
    assert (line.event_type, line.learn_address) == (101, False)
    assert script().line is None
