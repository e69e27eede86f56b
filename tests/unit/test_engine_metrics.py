"""What the engine's source says: of streams, sessions and legs that are there, and that were."""

from __future__ import annotations

from mixminus.control.operation.metrics import EngineSource, Families
from mixminus.media.replay.platform import VirtualPlatform
from mixminus.media.transports.stream import AcsService
from tests.streamfar import Far, constant


async def values(source: EngineSource) -> dict[str, float]:
    """Return what *source* says, by name and values of labels."""
    await source.prepare()
    families = Families()
    source.collect(families)
    return {
        ",".join((sample.name, *sample.labels.values())): sample.value
        for family in families.collect()
        for sample in family.samples
    }


async def test_a_stream_and_its_session_are_counted_and_stay_counted() -> None:
    far = await Far.open(AcsService())
    source = EngineSource(far.platform)
    for _ in range(10):
        await far.say(constant(1000))
        far.session.audio.send_nowait(constant(500))
        await far.tick()
    listener = far.session.listen(slots=1)
    await far.tick(4)
    now = await values(source)
    counters = far.transport.counters()
    assert now["mixminus_transport_frames_total,stream,in"] == counters["frames_in"] == 10
    assert now["mixminus_transport_frames_total,stream,out"] == counters["frames_out"] > 0
    assert now["mixminus_transports,stream"] == 1
    assert now["mixminus_media_sessions"] == 1
    assert now["mixminus_bot_frames_total,said"] == 10
    assert now["mixminus_ring_frames_dropped_total,listener"] == listener.dropped > 0
    assert now["mixminus_legs,pcm16k"] == 1
    assert now["mixminus_legs,rings"] == 1
    assert now["mixminus_playout_delay_seconds,max"] > 0
    assert now["mixminus_packets_received_total"] == 10
    await far.close()
    after = await values(source)
    for name in ("mixminus_transports,stream", "mixminus_media_sessions", "mixminus_bridges"):
        assert after[name] == 0
    assert "mixminus_legs,pcm16k" not in after
    # Who is in no bridge any more has no delay either.
    assert "mixminus_playout_delay_seconds,max" not in after
    for name, value in now.items():
        if name.partition(",")[0].endswith(("_total", "_count")):
            assert after[name] >= value, name


def test_two_roles_that_share_an_engine_have_one_source() -> None:
    platform, other = VirtualPlatform(), VirtualPlatform()
    assert EngineSource(platform) == EngineSource(platform)
    assert hash(EngineSource(platform)) == hash(EngineSource(platform))
    assert EngineSource(platform) != EngineSource(other)
