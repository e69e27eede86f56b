"""The network benchmark judges what it should: its speech, its goals, its peers' absence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import mix, network, tun
from benchmarks.call import Call, Spoken, call, codecs, drift, drift_of
from benchmarks.peers import gstreamer_mixer, livekit_mixer
from benchmarks.processes import BenchmarkError
from benchmarks.speech import Voice, voices

from mixminus.media.pcm import FRAME_SAMPLES
from tests.native import codecs as kit
from tests.sim.link import Link
from tests.sim.receiver import Heard

TICKS = 60 * 50


def made() -> list[Voice]:
    return voices(synthesise=True)[0]


def a_call(delay_ms: Any) -> Call:
    """A call of which only the delay is known."""
    nothing = np.zeros(TICKS, np.int32)
    heard = Heard(np.zeros((1, 320), np.int16), np.zeros(TICKS, np.uint32), nothing, nothing)
    return Call(Spoken([b""], [0], [(0, 0)]), heard, {}, np.asarray(delay_ms, np.float64))


def stepped(settle_s: float, back_s: float) -> list[dict[str, Any]]:
    delay = np.full(TICKS, 34.0)
    delay[20 * 50 : round((20 + settle_s) * 50)] = np.nan
    delay[round((20 + settle_s) * 50) : round((40 + back_s) * 50)] = 134.0
    return list(network.step_goals([a_call(delay)]))


def test_speech_is_the_same_each_time_and_at_its_level() -> None:
    first, how = voices(synthesise=True)
    again = made()
    assert "synthesiser" in how
    assert len(first) == 4
    for one, other in zip(first, again, strict=True):
        assert one.name == other.name
        assert (one.pcm == other.pcm).all()
        assert len(one.pcm) % FRAME_SAMPLES == 0
        assert 4 <= len(one.pcm) / 16000 <= 20
        active = one.pcm[np.abs(one.pcm) > 0.01 * np.abs(one.pcm).max()].astype(float)
        level = 20 * np.log10(np.sqrt(np.mean(active**2)) / 32768)
        assert -28 <= level <= -24


@pytest.mark.slow
def test_a_call_is_repeatable_and_its_losses_are_filled() -> None:
    pcm = made()[0].pcm[: 3 * 16000]
    first, again = (call(pcm, Link(20, 3, loss=0.05), 4) for _ in range(2))
    assert (first.heard.pcm == again.heard.pcm).all()
    assert first.said.lost == again.said.lost != set()
    assert first.neither == 0
    assert first.concealed_ratio + first.fec_ratio <= first.lost_ratio + 0.005
    # The phase of two clocks is 13 ms, the path 20: what is lost to order is in the jitter.
    assert 20 <= first.percentile_ms(50) <= 100


@pytest.mark.slow
def test_a_clean_call_is_neither_concealed_nor_late() -> None:
    clean = call(made()[1].pcm[: 4 * 16000], Link(), 1)
    assert clean.lost_ratio == clean.concealed_ratio == clean.fec_ratio == 0
    assert clean.percentile_ms(95) <= 60


def test_drift_is_estimated() -> None:
    found = drift(made()[0].pcm, 200, 0.05)
    assert found.underruns == found.overruns == found.concealed == found.neither == 0
    assert abs(found.drift_ppm - 200) < 1


def test_frames_that_are_neither_played_nor_concealed_are_counted_in_a_drift() -> None:
    packets = codecs().encoder(kit.OPUS, (32_000, 5, 0, 0, 0)).frames(made()[0].pcm[: 3 * 16000])
    found = drift_of([*packets, *[b""] * 200], 0, 0.05)
    assert found.concealed > 0
    # Four seconds of packets without a payload, every seven: what is made up ends within one.
    assert 150 * 25 < found.neither < 200 * 26
    assert network.drift_row(0, 0.05, found)["neither"] == found.neither


def test_a_step_that_settles_and_is_given_back_meets_its_goals() -> None:
    settles, back = stepped(0.2, 5)
    assert settles["met"]
    assert settles["measured"] == pytest.approx(0.2)
    assert back["met"]


def test_a_step_that_does_not_misses_them() -> None:
    settles, back = stepped(3, 15)
    assert not settles["met"]
    assert not back["met"]
    assert back["measured"] == pytest.approx(100)


def test_an_outage_is_timed_from_its_end() -> None:
    delay = np.full(TICKS, 34.0)
    delay[20 * 50 : 26 * 50] = np.nan
    audible, back = network.outage_goals([a_call(delay)])
    assert audible["measured"] == pytest.approx(1.0)
    assert back["met"]


def test_namespaces_without_the_right_to_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(tun, "refusal", tun.refusal.__wrapped__)  # as it is before anybody asked
    args = argparse.Namespace(namespaces=True, quick=True, synthesise=True)
    with pytest.raises(BenchmarkError, match="root"):
        network.measure(args)


def test_peers_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livekit_mixer, "absence", lambda: "livekit's AudioMixer: pip install it")
    monkeypatch.setattr(gstreamer_mixer, "absence", lambda: "GStreamer's: apt-get install it")
    found = mix.measure(argparse.Namespace(legs=[4], rounds=1, no_peers=False))
    assert found["absent"] == [
        "livekit's AudioMixer: pip install it",
        "GStreamer's: apt-get install it",
    ]
    assert found["peer_versions"] == {}
    assert {"memcpy", "numpy"} <= {row["way"] for row in found["rows"]}


@pytest.mark.skipif(livekit_mixer.absence() is not None, reason=str(livekit_mixer.absence()))
def test_livekits_mixer_is_timed() -> None:
    assert (livekit_mixer.sample(mix.noise(2), 5) > 0).sum() >= 4


def test_gstreamers_pipeline_has_a_source_for_each_leg() -> None:
    mixed, alone = (" ".join(gstreamer_mixer.pipeline(3, 7, mixed=m)) for m in (True, False))
    assert mixed.count("audiotestsrc") == alone.count("audiotestsrc") == 3
    assert mixed.count("num-buffers=7") == 3
    assert "audiomixer" in mixed
    assert "audiomixer" not in alone


@pytest.mark.slow
def test_without_pesq_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "has_pesq", lambda: False)
    pcm = made()[0].pcm[: 2 * 16000]
    groups = {
        f"{percent} % loss": [
            network.carry_out(
                network.Run(f"{percent} % loss", pcm, ((0, len(pcm)),), Link(loss=percent / 100), 1)
            )
        ]
        for percent in network.LOSSES
    }
    rows = [network.row(name, group) for name, group in groups.items()]
    assert [row["PESQ"] for row in rows] == [None] * len(rows)
    told = [goal["what"] for goal in network.loss_goals(groups)]
    assert len(told) == 2 * len(rows)
    assert not any("PESQ" in what for what in told)
    profile = network.row("N0", groups["0 % loss"])
    step = network.step_series(groups["0 % loss"][0].call)
    result = {"benchmark": "network", "title": "t", "rows": [*rows, profile], "step": step}
    network.plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
