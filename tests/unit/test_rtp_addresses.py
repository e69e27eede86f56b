"""Which addresses a plain RTP leg can have its far end at, on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.rtp import RtpEndpoint
from mixminus.media.transports.rtp_parameters import RtpParameters, normal_address

HERE = ("127.0.0.1", 5004)
OTHER_FAMILY = ("::1", 5004)


def to(remote: tuple[str, int]) -> RtpParameters:
    return RtpParameters(codec="pcmu", payload_type=0, remote=remote)


@pytest.fixture
async def platform() -> AsyncIterator[MediaPlatform]:
    async with MediaPlatform() as made:
        yield made


async def test_a_far_end_of_another_family_is_refused_and_nothing_is_left(
    platform: MediaPlatform,
) -> None:
    bridge = platform.create_bridge()
    leg = bridge.add_leg(1)
    endpoint = await RtpEndpoint.open(platform)
    with pytest.raises(ValueError, match="expected an IPv4 address of the far end, got ::1"):
        endpoint.connect(leg, to(OTHER_FAMILY))
    assert leg.peer is None
    transport = endpoint.connect(leg, to(HERE))
    with pytest.raises(ValueError, match="expected an IPv4 address"):
        transport.redirect(OTHER_FAMILY)
    assert transport.remote == HERE
    with pytest.raises(RuntimeError, match="another leg of this port has its far end at"):
        endpoint.connect(bridge.add_leg(2), to(HERE))
    await endpoint.close()
    bridge.close()


async def test_an_ipv4_address_written_as_ipv6_is_the_same_far_end(
    platform: MediaPlatform,
) -> None:
    assert normal_address(("::ffff:127.0.0.1", 5004)) == HERE
    bridge = platform.create_bridge()
    endpoint = await RtpEndpoint.open(platform)
    endpoint.connect(bridge.add_leg(1), to(HERE))
    with pytest.raises(RuntimeError, match="another leg of this port has its far end at"):
        endpoint.connect(bridge.add_leg(2), to(("::ffff:7f00:1", 5004)))
    with pytest.raises(ValueError, match="one host"):
        normal_address(("::ffff:224.0.0.1", 5004))
    await endpoint.close()
    bridge.close()
