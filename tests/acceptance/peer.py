"""A far end in a process of its own, to be killed: ``python -m tests.acceptance.peer KIND ...``."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

from mixminus.control.devfile import DevFile
from mixminus.control.simulate.keys import RESOURCE_ID, SimulatorKeys
from mixminus.control.simulate.ring import RingOptions, ring
from mixminus.control.simulate.services import SimulatedAcs
from mixminus.control.tls import client_context
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import connect_link
from tests.interop.caller import TestCaller
from tests.signals import sine

HZ = 440
FOR_EVER_S = 3600.0


async def link(mp_uri: str, session_id: str, secret: str) -> None:
    """Be a call service that speaks over the media link."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with MediaPlatform() as platform:
        leg = platform.create_bridge().add_leg(1, relay=True)
        await connect_link(
            platform,
            leg,
            mp_uri=mp_uri,
            session_id=session_id,
            secret=bytes.fromhex(secret),
            ssl_context=context,
        )
        await asyncio.sleep(FOR_EVER_S)


async def acs(url: str, state_dir: str, ca_file: str) -> None:
    """Be Azure Communication Services, with one person who speaks."""
    service = SimulatedAcs(SimulatorKeys(Path(state_dir)), rate_hz=16_000, audience=RESOURCE_ID)
    voice = sine(HZ, 16_000, 60.0)
    options = RingOptions(url=url, speakers=[voice], duration_s=FOR_EVER_S)
    await ring(service, options, client_context(Path(ca_file)))


async def webrtc(dev_file: str, meeting_id: str, passcode: str) -> None:
    """Be a person with a WebRTC device, who joins a meeting and speaks."""
    async with (
        MediaPlatform() as platform,
        TestCaller(DevFile.load(Path(dev_file)), "John", platform) as caller,
    ):
        await caller.join_meeting(join_meeting_id=meeting_id, passcode=passcode or None)
        caller.say_tone(HZ)
        await asyncio.sleep(FOR_EVER_S)


if __name__ == "__main__":
    kinds = {"link": link, "acs": acs, "webrtc": webrtc}
    asyncio.run(kinds[sys.argv[1]](*sys.argv[2:]))
