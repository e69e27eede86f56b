"""Write down what a peer's set-up sends, as tests/data/webrtc_PEER.json: `python -m` this PEER.

PEER is chromium or aiortc. STUN and DTLS alone: the media of such calls is in tests/data/rtp.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from mixminus.media.platform import MediaPlatform
from mixminus.media.port import Datagram
from mixminus.media.transports.webrtc import WebRtcTransport
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint
from tests.browser.chromium import chromium
from tests.interop.stock_peer import StockPeer
from tests.support import ROOT, eventually

OFFER = """
async () => {
  const context = new AudioContext();
  const tone = context.createOscillator();
  const out = context.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  const pc = window.pc = new RTCPeerConnection();
  pc.addTrack(out.stream.getAudioTracks()[0], out.stream);
  await pc.setLocalDescription(await pc.createOffer());
  const changed = (done) => pc.addEventListener("icegatheringstatechange", done, { once: true });
  while (pc.iceGatheringState !== "complete") await new Promise(changed);
  return pc.localDescription.sdp;
}
"""
ACCEPT = "async (sdp) => window.pc.setRemoteDescription({ type: 'answer', sdp })"


async def call_chromium(transport: WebRtcTransport) -> tuple[str, str]:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto("about:blank")
        offer = await page.evaluate(OFFER)
        answer = await transport.answer(offer)
        await page.evaluate(ACCEPT, answer)
        await transport.connected()
        # Its checks of consent have USE-CANDIDATE.
        await eventually(lambda: transport._paths.is_nominated, 10)
        await page.evaluate("window.pc.close()")
        await transport.closed
    return offer, answer


async def call_aiortc(transport: WebRtcTransport) -> tuple[str, str]:
    async with StockPeer() as peer:
        offer = await peer.offer()
        answer = await transport.answer(offer)
        await peer.accept(answer)
        await transport.connected()
    await transport.closed
    return offer, answer


async def capture(peer: str) -> dict[str, Any]:
    datagrams: list[dict[str, str]] = []
    async with AsyncExitStack() as exits:
        platform = await exits.enter_async_context(MediaPlatform())
        endpoint = await WebRtcEndpoint.open(platform)
        exits.push_async_callback(endpoint.close)
        (port,) = endpoint._ports
        take, send = port.on_datagram, port.send

        def note_taken(datagram: Datagram) -> None:
            datagrams.append({"from": "far", "kind": datagram.kind, "data": datagram.data.hex()})
            take(datagram)

        def note_sent(data: bytes, address: tuple[str, int]) -> bool:
            kind = "stun" if data[0] < 4 else "dtls"
            datagrams.append({"from": "us", "kind": kind, "data": data.hex()})
            return send(data, address)

        port.on_datagram = note_taken
        port.send = note_sent  # type: ignore[method-assign]
        transport = endpoint.make(platform.create_bridge().add_leg(1))
        call = {"chromium": call_chromium, "aiortc": call_aiortc}[peer]
        offer, answer = await call(transport)
    lines = [text.split("\r\n")[:-1] for text in (offer, answer)]
    return {"offer": lines[0], "answer": lines[1], "datagrams": datagrams}


if __name__ == "__main__":
    (name,) = sys.argv[1:]
    written = json.dumps(asyncio.run(capture(name)), indent=1)
    (ROOT / f"tests/data/webrtc_{name}.json").write_text(written + "\n")
