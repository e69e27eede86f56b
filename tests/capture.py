"""Capture what Chromium and stock aiortc send: ``python -m tests.capture``, for tests/data.

Each calls a stock aiortc peer that answers; its decrypted RTP and RTCP of two seconds or more,
until a sender report has come, and the session descriptions are written. Chromium's offer is the
phone page's own; it presses a key in its call.
"""

from __future__ import annotations

import asyncio
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsTransport

from tests.browser.chromium import SPEECH, chromium, phone_page
from tests.service_kit import running_service
from tests.support import ROOT, eventually

OUT: Final = ROOT / "tests/data"
SECONDS: Final = 2.0
EVENT_TYPE: Final = 110
PCAP_NS: Final = 0xA1B23C4D
RAW_IP: Final = 101
PORT: Final = 5004
SENDER_REPORT: Final = 200

OFFER = """
async () => {
  const { Peer } = await import("/phone/peer.js");
  const { openMicrophone } = await import("/phone/microphone.js");
  window.peer = new Peer(await openMicrophone({ processed: false }));
  return await window.peer.offer();
}
"""


class Capture:
    """The decrypted datagrams that one aiortc peer receives, with the time of each."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[int, bytes]] = []

    def write(self, path: Path) -> None:
        """Write what came as a pcap file, which Wireshark reads."""
        begin_ns = self.datagrams[0][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            out.write(struct.pack("<IHHiIII", PCAP_NS, 2, 4, 0, 0, 65_535, RAW_IP))
            for at_ns, data in self.datagrams:
                seconds, ns = divmod(at_ns - begin_ns, 10**9)
                udp = struct.pack("!HHHH", PORT, PORT, 8 + len(data), 0) + data
                ip = struct.pack(
                    "!BBHHHBBH4s4s",
                    *(0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0),
                    *(b"\x7f\0\0\1", b"\x7f\0\0\1"),
                )
                size = len(ip) + len(udp)
                out.write(struct.pack("<IIII", seconds, ns, size, size) + ip + udp)


@asynccontextmanager
async def answering(
    offer_sdp: str, track: MediaStreamTrack, edit: Callable[[str], str] = str
) -> AsyncIterator[tuple[str, Capture]]:
    """A stock aiortc peer that answers; *edit* changes the answer on its way."""
    capture, peer = Capture(), RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def listen(transport: RTCDtlsTransport) -> None:
        handle_rtp, handle_rtcp = transport._handle_rtp_data, transport._handle_rtcp_data

        async def rtp(data: bytes, arrival_time_ms: int) -> None:
            capture.datagrams.append((time.monotonic_ns(), bytes(data)))
            await handle_rtp(data, arrival_time_ms)

        async def rtcp(data: bytes) -> None:
            capture.datagrams.append((time.monotonic_ns(), bytes(data)))
            await handle_rtcp(data)

        transport._handle_rtp_data = rtp  # type: ignore[method-assign]
        transport._handle_rtcp_data = rtcp  # type: ignore[method-assign]

    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        peer.addTrack(track)
        await peer.setLocalDescription(await peer.createAnswer())
        listen(peer.getSenders()[0].transport)
        yield edit(peer.localDescription.sdp), capture
    finally:
        await peer.close()


def with_events(answer_sdp: str) -> str:
    """Take telephone events, which aiortc does not know: they are captured all the same."""
    lines = answer_sdp.splitlines()
    media = next(n for n, line in enumerate(lines) if line.startswith("m=audio"))
    lines[media] += f" {EVENT_TYPE}"
    return "\r\n".join([*lines, f"a=rtpmap:{EVENT_TYPE} telephone-event/48000"]) + "\r\n"


async def chromium_to_aiortc() -> None:
    """Capture what the phone page sends, and its offer and the answer."""
    with tempfile.TemporaryDirectory() as state:
        async with (
            running_service(Path(state)) as service,
            chromium() as browser,
            phone_page(browser, service.dev_file) as phone,
        ):
            await phone.page.goto(phone.url)
            offer: str = await phone.page.evaluate(OFFER)
            async with answering(offer, AudioStreamTrack(), with_events) as (answer, capture):
                await phone.page.evaluate("(sdp) => window.peer.accept(sdp)", answer)
                await eventually(lambda: len(capture.datagrams) > 20, 20.0, "media")
                assert await phone.page.evaluate("window.peer.press('5')")
                await caught(capture)
    save("chromium", offer, answer, capture)


async def aiortc_to_aiortc() -> None:
    """The same between two stock aiortc peers."""
    player = MediaPlayer(str(SPEECH), loop=True)
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    assert player.audio is not None
    try:
        peer.addTrack(MediaRelay().subscribe(player.audio))
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp
        async with answering(offer, AudioStreamTrack()) as (answer, capture):
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await caught(capture)
    finally:
        await peer.close()
        player.audio.stop()
    save("aiortc", offer, answer, capture)


async def caught(capture: Capture) -> None:
    """Wait until two seconds, and a sender report with them, have come."""

    def is_enough() -> bool:
        came = capture.datagrams
        is_long = bool(came) and came[-1][0] - came[0][0] > SECONDS * 1e9
        return is_long and any(data[1] == SENDER_REPORT for _, data in came)

    await eventually(is_enough, 30.0, "two seconds of media and a sender report")


def save(name: str, offer: str, answer: str, capture: Capture) -> None:
    for kind, sdp in (("offer", offer), ("answer", answer)):
        path = OUT / f"sdp/{name}_{kind}.sdp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sdp.encode())
    capture.write(OUT / f"rtp/{name}.pcap")


async def main() -> None:
    await chromium_to_aiortc()
    await aiortc_to_aiortc()


if __name__ == "__main__":
    asyncio.run(main())
