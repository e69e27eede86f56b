"""Where media go when the address that they went to proves nothing any more."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from mixminus.media.port import MediaPort
from mixminus.media.transports.webrtc_endpoint import Path
from tests.webrtc_kit import FakePlatform, FarEnd, make

S = 1_000_000_000


async def test_media_leave_an_address_without_consent_for_one_that_has_it() -> None:
    platform = FakePlatform()
    endpoint = await platform.endpoint()
    port, transport = platform.ports[0], make(endpoint)
    far = FarEnd(port)
    await far.connect(transport)
    gone = far.address
    far.address = ("192.0.2.10", 5_001)
    far.check()
    (peer,) = platform.peers
    assert peer.destination == (port, gone)
    # Half a minute on, only the other one still checks.
    later_ns = time.monotonic_ns() + 31 * S
    path = Path(cast(MediaPort, port), far.address)
    transport._paths.heard(path, generation=0, priority=1, nominates=False, now_ns=later_ns)
    peer.last_heard_ns = endpoint._polled_ns = later_ns
    endpoint.poll(later_ns)
    assert cast(Any, peer).destination == (port, far.address)
    assert set(port.routes) == {far.address}
    closing = asyncio.ensure_future(endpoint.close())
    while not closing.done():
        platform.tick()
        await asyncio.sleep(0)
    await closing
