"""What becomes of samples of a party's media: averages, maxima, and nothing that was not there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mixminus.control.service.gauge import Gauge, Sampler
from mixminus.control.service.records.quality import (
    WINDOW_SAMPLES,
    Measured,
    QualityMeter,
    duration,
)
from mixminus.media.quality import StreamQuality
from tests.service_kit import NOTHING_MEASURED
from tests.support import eventually


def quality(**values: Any) -> StreamQuality:
    return replace(NOTHING_MEASURED, **values)


def measured(*samples: StreamQuality, begin: StreamQuality = NOTHING_MEASURED) -> Measured:
    meter = QualityMeter()
    meter.begin(begin)
    for sample in samples:
        meter.sample(sample)
    found = meter.measured()
    assert found is not None
    return found


def test_averages_are_of_all_and_maxima_of_a_second() -> None:
    found = measured(
        quality(received_packets=50, voice_ticks=50, jitter_ms=2.0, round_trip_ms=30.0),
        quality(
            received_packets=90,
            lost_packets=10,
            voice_ticks=90,
            fec_ticks=5,
            concealed_ticks=5,
            jitter_ms=6.0,
            round_trip_ms=50.0,
            sent_packets=100,
            far_loss_ratio=0.25,
            far_jitter_ms=8.0,
        ),
    )
    assert (found.received_packets, found.sent_packets) == (90, 100)
    assert (found.average_loss, found.max_loss) == (0.1, 0.2)
    assert (found.average_concealed, found.max_concealed) == (0.05, 0.1)
    assert (found.average_jitter_ms, found.max_jitter_ms) == (4.0, 6.0)
    assert (found.average_round_trip_ms, found.max_round_trip_ms) == (40.0, 50.0)
    assert (found.average_far_loss, found.max_far_loss) == (0.25, 0.25)
    assert (found.average_far_jitter_ms, found.max_far_jitter_ms) == (8.0, 8.0)
    assert found.used_fec


def test_what_was_before_does_not_count() -> None:
    before = quality(received_packets=1000, lost_packets=500, voice_ticks=900, concealed_ticks=600)
    found = measured(quality(received_packets=1050, lost_packets=500), begin=before)
    assert (found.received_packets, found.average_loss) == (50, 0.0)


def test_nothing_that_came_leaves_nothing_measured() -> None:
    found = measured(NOTHING_MEASURED, quality(jitter_ms=9.0))
    assert found.average_loss is found.average_concealed is found.average_jitter_ms is None
    assert found.max_loss is found.max_window_jitter_ms is found.average_round_trip_ms is None
    assert not found.used_fec
    assert QualityMeter().measured() is None
    with pytest.raises(ValueError, match=r"begin\(\)"):
        QualityMeter().sample(NOTHING_MEASURED)


def test_a_packet_that_was_counted_as_lost_and_came_is_no_negative_loss() -> None:
    found = measured(
        quality(received_packets=48, lost_packets=2),
        quality(received_packets=100, lost_packets=0),
    )
    assert (found.average_loss, found.max_loss) == (0.0, 0.04)


def test_another_transport_goes_on_where_the_one_before_ended() -> None:
    meter = QualityMeter()
    meter.begin(NOTHING_MEASURED)
    meter.sample(quality(received_packets=90, lost_packets=10))
    meter.begin(NOTHING_MEASURED)
    meter.sample(quality(received_packets=100))
    found = meter.measured()
    assert found is not None
    assert (found.received_packets, found.average_loss) == (190, 0.05)


def test_the_network_jitter_is_that_of_windows() -> None:
    jitters = [1.0] * (WINDOW_SAMPLES - 1) + [21.0] + [1.5] * 10
    samples = [quality(received_packets=50 * (i + 1), jitter_ms=j) for i, j in enumerate(jitters)]
    found = measured(*samples)
    assert (found.max_window_jitter_ms, found.max_jitter_ms) == (2.0, 21.0)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(16.0, "PT0.016S"), (0.0, "PT0S"), (1500.0, "PT1.5S"), (0.0123, "PT0.000012S"), (None, None)],
)
def test_durations_are_written_as_graph_does(milliseconds: float | None, text: str | None) -> None:
    assert duration(milliseconds) == text


class Stream:
    """A transport that was measured as a test says."""

    def __init__(self) -> None:
        self.now: StreamQuality | None = None
        self.asked = 0

    def quality(self) -> StreamQuality | None:
        self.asked += 1
        return self.now


async def test_one_timer_samples_all_gauges_and_stops_with_the_last() -> None:
    sampler = Sampler(period_s=0.001)
    streams = [Stream() for _ in range(3)]
    gauges = [Gauge(sampler) for _ in streams]
    for gauge, stream in zip(gauges, streams, strict=True):
        stream.now = NOTHING_MEASURED
        gauge.follow(stream)
    await eventually(lambda: all(stream.asked > 10 for stream in streams))
    # In turns: nobody is asked twice before the others were.
    counts = [stream.asked for stream in streams]
    assert max(counts) - min(counts) <= 1
    for gauge in gauges:
        gauge.close()
        gauge.close()
    assert sampler._timer is None


async def test_a_transport_that_cannot_be_measured_costs_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Stream):
        def quality(self) -> StreamQuality | None:
            if self.asked:
                raise RuntimeError("a bug")
            return super().quality()

    sampler = Sampler(period_s=0.001)
    good, bad = Gauge(sampler), Gauge(sampler)
    stream, broken = Stream(), Broken()
    stream.now = broken.now = NOTHING_MEASURED
    good.follow(stream)
    bad.follow(broken)
    await eventually(lambda: "could not be measured" in caplog.text)
    asked = stream.asked
    await eventually(lambda: stream.asked > asked + 3)
    assert caplog.text.count("could not be measured") == 1
    good.close()


async def test_a_gauge_begins_with_the_first_that_is_measured_and_keeps_the_last() -> None:
    gauge = Gauge(Sampler(period_s=60.0))
    gauge.follow(object())
    assert gauge.measured() is None
    stream = Stream()
    gauge.follow(stream)
    assert gauge.measured() is None
    stream.now = quality(received_packets=10)
    gauge.sample()
    stream.now = quality(received_packets=30)
    gauge.close()
    stream.now = quality(received_packets=99)
    found = gauge.measured()
    assert found is not None
    assert found.received_packets == 20


async def test_a_new_stay_over_the_same_transport_counts_anew() -> None:
    gauge = Gauge(Sampler(period_s=60.0))
    stream = Stream()
    stream.now = NOTHING_MEASURED
    gauge.follow(stream)
    stream.now = quality(received_packets=50)
    gauge.restart()
    stream.now = quality(received_packets=75)
    found = gauge.measured()
    assert found is not None
    assert found.received_packets == 25
    gauge.close()
    await asyncio.sleep(0)
