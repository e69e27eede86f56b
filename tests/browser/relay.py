"""A network between Chromium and the service that can be cut: a UDP relay that both believe in."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from playwright.async_api import Page

Address = tuple[str, int]

# The service is told no address of the browser's, and the browser the relay's for the service's:
# all packets go through the relay.
INTERPOSE = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  const message = JSON.parse(text);
  if (message.sdp) message.sdp = message.sdp.replace(/^a=candidate:.*\\r\\n/gm, "");
  send.call(this, JSON.stringify(message));
};
const accept = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = async function ({ type, sdp }) {
  return accept.call(this, { type, sdp: await window.relayed(sdp) });
};
"""
CANDIDATE = re.compile(r"^(a=candidate:\S+ 1 udp \S+) (\S+) (\d+) ", re.MULTILINE | re.IGNORECASE)


class Relay:
    """Carries datagrams between a page's peer connections and the service until it is cut.

    Install it before the page is opened. Thread: the loop's. Close it.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self.carried = 0
        self._sockets: list[asyncio.DatagramTransport] = []

    async def install(self, page: Page) -> None:
        await page.expose_function("relayed", self._relayed)
        await page.add_init_script(INTERPOSE)

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()

    async def _relayed(self, sdp: str) -> str:
        found = CANDIDATE.search(sdp)
        assert found, sdp
        way = await self._socket(_Way(self, (found[2], int(found[3]))))
        host, port = way.get_extra_info("sockname")
        here = f"{found[1]} {host} {port} typ host\r\n"
        others = re.sub(r"^a=candidate:.*\r\n", "", sdp, flags=re.MULTILINE)
        return others.rstrip("\r\n") + "\r\n" + here

    async def _socket(self, protocol: asyncio.DatagramProtocol) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: protocol, ("127.0.0.1", 0)
        )
        self._sockets.append(transport)
        return transport


class _Way(asyncio.DatagramProtocol):
    """One address of the service, as the browser sees it."""

    def __init__(self, relay: Relay, service: Address) -> None:
        self.relay, self.service = relay, service
        self.transport: asyncio.DatagramTransport
        self.back: dict[Address, asyncio.Task[asyncio.DatagramTransport]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, browser: Address) -> None:
        if self.relay.is_cut:
            return
        if browser not in self.back:
            end = self.relay._socket(_Back(self, browser))
            self.back[browser] = asyncio.ensure_future(end)
        opened = self.back[browser]
        if opened.done():  # What comes earlier is lost; ICE asks again.
            self.relay.carried += 1
            opened.result().sendto(data, self.service)


class _Back(asyncio.DatagramProtocol):
    """One address of the browser, as the service sees it."""

    def __init__(self, way: _Way, browser: Address) -> None:
        self.way, self.browser = way, browser

    def datagram_received(self, data: bytes, service: Address) -> None:
        if not self.way.relay.is_cut:
            self.way.relay.carried += 1
            self.way.transport.sendto(data, self.browser)
