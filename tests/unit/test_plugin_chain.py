"""A chain of plugins: each as good or bad as it is, the others as if it were not there."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import numpy as np
import pytest

from mixminus.media.pcm import FLAG_SILENCE, FRAME_TICKS, AudioFrame, Pcm
from mixminus.media.plugins.chain import Chain, open_chain
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.contract import PluginContext
from mixminus.media.plugins.errors import PluginConfigError, PluginError
from mixminus.media.plugins.meter import OwnTimeMeter
from tests.plugin_engine_kit import Busy, Double, Heard, Raises, Sleeps, returns, tone_frame
from tests.support import ROOT


def double(frame: AudioFrame, times: float = 2.0) -> Pcm:
    result: Pcm = np.clip(frame * times, -32768, 32767).astype(np.int16)
    return result


def test_functions_and_classes_are_plugins() -> None:
    chain = Chain()
    chain.add(double, times=3.0)
    chain.add(Double)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 6)
    assert chain.names == ("double", "Double")


def test_the_gain_plugin_of_the_page_fits_in_ten_lines_and_works() -> None:
    page = (ROOT / "docs/plugins.md").read_text()
    source = page.partition("```python\n")[2].partition("```")[0]
    assert len(source.splitlines()) <= 10
    space: dict[str, Any] = {}
    exec(source, space)
    chain = Chain()
    chain.add(space["Gain"], gain_db=20.0)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 10)
    chain.set("Gain", gain_db=0)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame())


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Raises, "ZeroDivisionError: at the third bar"),
        (returns("sound"), "got str"),
        (returns(np.zeros(100, np.int16)), "got int16 of shape (100,)"),
        (returns(np.full(320, np.nan)), "got float64 of shape (320,) with NaN"),
        (returns(np.zeros((320, 1), np.int16)), "got int16 of shape (320, 1)"),
        (returns(np.zeros(320, np.float32)), "got float32 of shape (320,)"),
    ],
)
def test_a_plugin_that_fails_is_passed_by_and_named(plugin: type, said: str) -> None:
    heard = Heard()
    chain = Chain(on_event=heard, call_id="c1", source_id=7)
    chain.add(Double)
    chain.add(plugin, name="bad")
    chain.add(Double, name="after")
    for index in range(60):
        frame = tone_frame(index)
        np.testing.assert_array_equal(chain.process(frame), frame * 4)
    metrics = chain.metrics()
    assert metrics["bad"].errors == 3
    assert metrics["bad"].bypassed == 57
    assert not metrics["bad"].is_active
    assert metrics["after"].frames == metrics["Double"].frames == 60
    assert heard.kinds("bad") == ["opened", "error", "disabled"]
    event = heard.of("error")[0]
    assert said in event.detail
    assert (event.call_id, event.source_id, event.plugin) == ("c1", 7, "bad")


def test_faults_apart_from_each_other_disable_nothing() -> None:
    heard = Heard()
    chain = Chain(on_event=heard)

    def moody(frame: AudioFrame) -> None:
        if int(frame.timestamp) // 200_000 % 30 == 0:
            raise ValueError("now and then")

    chain.add(moody)
    for index in range(300):
        chain.process(tone_frame(index))
    assert chain.metrics()["moody"].errors == 10
    assert "disabled" not in heard.kinds("moody")


def judged(plugin: type) -> tuple[Heard, Chain]:
    heard = Heard()
    chain = Chain(on_event=heard)
    chain.add(Double)
    chain.add(plugin, name="slow")
    for index in range(8):
        chain.process(tone_frame(index))
    return heard, chain


@pytest.mark.parametrize("plugin", [Busy, Sleeps])
def test_six_milliseconds_of_its_own_are_an_overrun(plugin: type) -> None:
    heard, chain = judged(plugin)
    metrics = chain.metrics()
    assert metrics["slow"].overruns == 3
    assert heard.kinds("slow") == ["opened", "overrun", "disabled"]
    assert metrics["Double"].frames == 8
    assert metrics["Double"].overruns == 0


@pytest.mark.slow
def test_a_full_collection_is_no_plugins_fault() -> None:
    heap = [[index] for index in range(200_000)]

    class Collects:
        def process(self, frame: AudioFrame) -> None:
            if frame.timestamp < 4 * FRAME_TICKS:
                gc.collect()

    heard, chain = judged(Collects)
    assert chain.metrics()["slow"].overruns == 0
    assert heard.kinds("slow") == ["opened"]
    assert len(heap) == 200_000


def test_waiting_for_the_gil_is_not_a_plugins_own_time() -> None:
    meter = OwnTimeMeter.of_this_thread()
    is_over = False

    def burn() -> None:
        while not is_over:
            sum(range(20_000))

    threads = [threading.Thread(target=burn) for _ in range(3)]
    for thread in threads:
        thread.start()
    own_ns = wall_ns = 0
    try:
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            meter.begin()
            # Gives up the GIL thirty times, and has to wait for it as often.
            for _ in range(30):
                time.sleep(0)
            own_ns, wall_ns = meter.end()
            if wall_ns > 20_000_000 and own_ns < 5_000_000:
                break
    finally:
        is_over = True
        for thread in threads:
            thread.join()
    assert own_ns < 5_000_000 < 20_000_000 < wall_ns


def test_one_that_comes_back_late_counts_for_all_frames_it_held_up() -> None:
    heard = Heard()
    chain = Chain(on_event=heard)

    class Once:
        def process(self, frame: AudioFrame) -> None:
            time.sleep(0.08)

    chain.add(Once)
    chain.process(tone_frame())
    assert heard.kinds("Once") == ["opened", "overrun", "disabled"]


def test_late_results_without_a_culprit_are_host_stalls() -> None:
    heard = Heard()
    chain = Chain(on_event=heard)
    chain.add(Double)
    for index in range(60):
        chain.process(tone_frame(index))
        chain.note_missed(1)
    metrics = chain.metrics()["Double"]
    assert (metrics.host_stalls, metrics.disabled, metrics.is_active) == (60, 0, True)
    assert heard.kinds("Double").count("host_stall") == 2


def test_bypass_and_enable_again() -> None:
    heard = Heard()
    chain = Chain(on_event=heard)
    chain.add(Double)
    chain.add(Raises)
    for index in range(5):
        chain.process(tone_frame(index))
    assert not chain.metrics()["Raises"].is_active
    chain.bypass("Raises", False)
    assert chain.metrics()["Raises"].is_active
    chain.bypass("Double")
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame())
    chain.bypass("Double", False)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 2)
    assert "enabled" in heard.kinds("Raises")


def test_parameters_change_between_two_frames() -> None:
    class Gain:
        def __init__(self, times: float = 2.0) -> None:
            self.times = times

        def process(self, frame: AudioFrame) -> Pcm:
            return (frame * self.times).astype(np.int16)

    chain = Chain()
    chain.add(Gain)
    chain.add(double, name="function", times=1.0)
    chain.set("Gain", times=3)
    chain.set("function", times=2.0)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 6)
    with pytest.raises(PluginConfigError, match=r"config\.times: expected float, got 'loud'"):
        chain.set("Gain", times="loud")
    with pytest.raises(KeyError, match="there are Gain, function"):
        chain.set("Gian", times=1)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 6)


def test_plugins_come_and_go_in_order() -> None:
    closed: list[str] = []

    class Closes:
        def __init__(self, tag: str) -> None:
            self.tag = tag

        def process(self, frame: AudioFrame) -> None:
            return None

        def close(self) -> None:
            closed.append(self.tag)

    chain = Chain()
    chain.add(Closes, tag="a")
    chain.add(Closes, tag="b", index=0)
    assert chain.names == ("Closes-2", "Closes")
    chain.remove("Closes")
    assert closed == ["a"]
    chain.close()
    chain.close()
    assert closed == ["a", "b"]
    with pytest.raises(RuntimeError, match="closed"):
        chain.add(Double)


def test_what_cannot_be_opened_is_not_used() -> None:
    class Unopenable:
        def open(self, context: PluginContext) -> None:
            raise OSError("no such model")

        def process(self, frame: AudioFrame) -> Pcm:
            raise AssertionError

    heard = Heard()
    chain = Chain(on_event=heard)
    slot = chain.add(Unopenable)
    assert isinstance(slot.opened.exception(), OSError)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame())
    assert heard.of("error")[0].detail == "not opened: no such model"
    with pytest.raises(PluginError, match="no such model"):
        open_chain([PluginSpec(Unopenable)])


def test_values_are_told_until_the_chain_is_closed() -> None:
    contexts: list[PluginContext] = []

    class Tells:
        def open(self, context: PluginContext) -> None:
            contexts.append(context)

        def process(self, frame: AudioFrame) -> None:
            contexts[0].emit("level", int(frame[0]))

    heard = Heard()
    chain = Chain([PluginSpec(Tells, "mix")], stream="mix", source_id=3, on_event=heard)
    chain.process(tone_frame(level=5))
    value = heard.of("value")[0]
    assert (value.detail, value.value, value.stream, value.source_id) == ("level", 5, "mix", 3)
    chain.close()
    contexts[0].emit("level", 1)
    assert len(heard.of("value")) == 1


def test_taps_hear_their_place_and_change_nothing() -> None:
    seen: list[tuple[str, int]] = []

    class Listens:
        listens = True

        def process(self, frame: AudioFrame) -> None:
            seen.append(("thread", int(frame[0])))
            frame[:] = 0

    async def listens(frame: AudioFrame) -> None:
        seen.append(("loop", int(frame[0])))

    chain = Chain()
    for plugin in (Listens, Double, listens):
        chain.add(plugin)
    np.testing.assert_array_equal(chain.process(tone_frame()), tone_frame() * 2)
    assert seen == [("thread", 1000), ("loop", 2000)]
    chain.close()


def test_what_is_put_into_silence_is_no_silence_to_the_next() -> None:
    flags: list[bool] = []

    def injects(frame: AudioFrame) -> Pcm:
        return np.full(320, 9, np.int16)

    def looks(frame: AudioFrame) -> None:
        flags.append(frame.is_silence)

    chain = Chain()
    chain.add(looks)
    chain.add(injects)
    chain.add(looks)
    chain.process(AudioFrame.of(np.zeros(320, np.int16), 0, FLAG_SILENCE))
    assert flags == [True, False]


def test_an_error_that_is_another_one_is_told_as_well() -> None:
    heard = Heard()
    chain = Chain(on_event=heard)

    def fails(frame: AudioFrame) -> None:
        if frame[0] in (1, 2, 30):
            raise ValueError("first" if frame[0] < 30 else "second")

    chain.add(fails)
    for level in range(1, 31):
        chain.process(tone_frame(level=level))
    assert [event.detail for event in heard.of("error")] == [
        "ValueError: first",
        "ValueError: second",
    ]
