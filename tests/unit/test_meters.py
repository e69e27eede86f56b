"""Meters of legs in bridges, in virtual time: what each says and hears, through every path."""

from __future__ import annotations

import numpy as np
import pytest

from mixminus.media.bridge import SILENCE_DBOV, Bridge, Leg, LegMeter
from mixminus.media.pcm import FRAME_SAMPLES, Pcm, level_dbov
from tests.manual import ManualPlatform
from tests.unit.test_bridge_peers import Stage

SILENT = LegMeter(SILENCE_DBOV, SILENCE_DBOV)


def noise(dbov: float, seed: int = 1) -> Pcm:
    rms = 32_768 * 10 ** (dbov / 20)
    return np.random.default_rng(seed).normal(0, rms, FRAME_SAMPLES).astype(np.int16)


def three() -> tuple[ManualPlatform, Bridge, list[Leg]]:
    platform = ManualPlatform()
    bridge = platform.create_bridge()
    return platform, bridge, [bridge.add_leg(number) for number in (1, 2, 3)]


def say(platform: ManualPlatform, leg: Leg, pcm: Pcm, frames: int = 8) -> None:
    for _ in range(frames):
        leg.source.write(pcm)
        platform.tick()


def test_a_meter_shows_what_a_leg_says_and_what_the_others_hear() -> None:
    platform, bridge, legs = three()
    pcm = noise(-30)
    assert set(bridge.meters().values()) == {SILENT}, "the first reading switches them on"
    say(platform, legs[0], pcm)
    loud = round(level_dbov(pcm))
    assert legs[0].meter() == LegMeter(loud, SILENCE_DBOV)
    assert legs[1].meter() == legs[2].meter() == LegMeter(SILENCE_DBOV, loud)
    assert bridge.meters() == {leg: leg.meter() for leg in legs}


def test_a_meter_shows_two_speakers_as_one_mix() -> None:
    platform, bridge, legs = three()
    first, second = noise(-30, 1), noise(-36, 2)
    bridge.meters()
    for _ in range(8):
        legs[0].source.write(first)
        say(platform, legs[1], second, 1)
    assert legs[2].meter().outbound_dbov == round(level_dbov(first + second))
    assert legs[0].meter() == LegMeter(round(level_dbov(first)), round(level_dbov(second)))


def test_who_is_heard_by_nobody_still_has_a_level() -> None:
    """Muted people who speak: the console shows it."""
    platform, bridge, legs = three()
    bridge.set_routes({leg: [] for leg in legs})
    bridge.meters()
    say(platform, legs[0], noise(-20))
    assert legs[0].meter().inbound_dbov == round(level_dbov(noise(-20)))
    assert legs[1].meter() == SILENT


def test_a_level_falls_within_160_ms() -> None:
    platform, _, legs = three()
    legs[0].meter()
    say(platform, legs[0], noise(-20), 3)
    quiet = noise(-60)
    say(platform, legs[0], quiet, 7)
    assert legs[0].meter().inbound_dbov > -25
    say(platform, legs[0], quiet, 2)
    assert legs[0].meter().inbound_dbov == round(level_dbov(quiet))


def test_nobody_reads_for_two_seconds_and_the_meter_rests() -> None:
    platform, _, legs = three()
    legs[0].meter()
    say(platform, legs[0], noise(-20), 99)
    assert legs[0].meter().inbound_dbov > -25
    say(platform, legs[0], noise(-20), 100)
    assert legs[0].meter() == SILENT
    say(platform, legs[0], noise(-20), 1)
    assert legs[0].meter().inbound_dbov > -25


def test_a_closed_leg_is_silent() -> None:
    platform, bridge, legs = three()
    bridge.meters()
    say(platform, legs[0], noise(-20))
    legs[0].close()
    assert legs[0].meter() == SILENT
    assert list(bridge.meters()) == legs[1:]
    bridge.close()
    assert bridge.meters() == {}
    assert legs[1].meter() == SILENT


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_plugins_are_metered_by_what_they_make_of_it(direction: str) -> None:
    platform, bridge, legs = three()
    loud, made = noise(-20), noise(-40)
    speaker, listener = legs[0], legs[1]
    port = (speaker if direction == "inbound" else listener).insert(
        "inbound" if direction == "inbound" else "outbound"
    )
    bridge.meters()

    def plugin() -> None:
        while (frame := port.dry.read()) is not None:
            port.wet.write(made, timestamp=frame.timestamp)

    for _ in range(10):
        speaker.source.write(loud)
        platform.tick(between=plugin)
    soft, full = round(level_dbov(made)), round(level_dbov(loud))
    assert speaker.meter().inbound_dbov == (soft if direction == "inbound" else full)
    assert listener.meter().outbound_dbov == soft
    assert legs[2].meter().outbound_dbov == (soft if direction == "inbound" else full)


def test_peers_are_metered_also_below_the_gate() -> None:
    stage = Stage(3)
    try:
        meters = [party.leg.meter for party in stage.parties]
        for meter in meters:
            meter()
        stage.run(50, {0: 8000})
        said = round(20 * np.log10(8000 / np.sqrt(2) / 32_768))
        assert [meter() for meter in meters] == [(said, -127), (-127, said), (-127, said)]
        stage.run(60, {0: 40})  # 58 dB below full scale: the gate shuts, and says so to nobody
        whispered = round(20 * np.log10(40 / np.sqrt(2) / 32_768))
        says, _ = meters[0]()
        assert abs(says - whispered) <= 1
        assert meters[1]()[1] == SILENCE_DBOV
    finally:
        stage.close()
