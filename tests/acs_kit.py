"""Azure Communication Services offline: its call control over TLS, with a far end that speaks."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import websockets

from mixminus.control.acs.simulator import FakeAcs, StreamOrder
from mixminus.control.service.keys import SigningKey, new_key_pem
from mixminus.control.serving import HttpsServer
from mixminus.control.settings import MICROSOFT_ACS_ISSUER
from mixminus.control.tls import LocalAuthority, client_context

RESOURCE_ID = "6f8dd8f0-1111-4000-8000-0000000000ac"
ACCESS_KEY = base64.b64encode(bytes(range(32))).decode()
FRAME_S = 0.02


@dataclass
class Site:
    """The simulated service, its keys, and the streams that it opened."""

    acs: FakeAcs
    endpoint: str
    ca_file: Path
    keys_file: Path
    key: SigningKey
    heard: list[bytes] = field(default_factory=list)
    """What the application said into its streams, as it came."""
    stream_audience: str = RESOURCE_ID

    @property
    def connection_string(self) -> str:
        return f"endpoint={self.endpoint}/;accesskey={ACCESS_KEY}"

    def bearer(self, audience: str = RESOURCE_ID) -> str:
        now = int(time.time())
        claims = {"aud": audience, "iss": MICROSOFT_ACS_ISSUER, "iat": now, "nbf": now}
        return self.key.sign({**claims, "exp": now + 300, "jti": str(uuid.uuid4())})


@asynccontextmanager
async def running_acs(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve call control on loopback; calls' streams carry a quiet hum."""
    authority = LocalAuthority(tmp_path / "acs")
    certificate = authority.issue("localhost", directory=tmp_path / "acs")
    key = SigningKey(new_key_pem())
    keys_file = tmp_path / "acs-keys.json"
    keys_file.write_text(json.dumps(key.published()))
    trust = client_context(authority.ca_file)
    async with httpx2.AsyncClient(verify=trust, trust_env=False) as http:

        async def open_stream(order: StreamOrder) -> Callable[[], Awaitable[None]]:
            return await _open_stream(order, site, trust)

        acs = FakeAcs(
            base64.b64decode(ACCESS_KEY),
            http=http,
            bearer=lambda: site.bearer(),
            open_stream=open_stream,
        )
        server = HttpsServer(acs.app, certificate=certificate)
        port = await server.start()
        site = Site(acs, f"https://localhost:{port}", authority.ca_file, keys_file, key)
        try:
            yield site
        finally:
            await acs.close()
            await server.stop()


async def _open_stream(
    order: StreamOrder, site: Site, trust: ssl.SSLContext
) -> Callable[[], Awaitable[None]]:
    headers = {
        "Authorization": f"Bearer {site.bearer(site.stream_audience)}",
        "x-ms-call-connection-id": order.connection_id,
        "x-ms-call-correlation-id": order.correlation_id,
    }
    url = order.options.url
    try:
        socket = await websockets.connect(
            url,
            ssl=trust,
            additional_headers=headers,
            compression=None,
            proxy=None,
        )
        await socket.send(_metadata(order))
    except (OSError, websockets.WebSocketException) as exc:
        raise ConnectionError(f"{url}: {exc}") from exc

    async def speak() -> None:
        hum = base64.b64encode((b"\x00\x04\x00\xfc") * 160).decode()
        message = json.dumps({"kind": "AudioData", "audioData": {"data": hum, "silent": False}})
        with suppress(websockets.ConnectionClosed):
            while True:
                await socket.send(message)
                await asyncio.sleep(FRAME_S)  # The pace of a real one.

    async def listen() -> None:
        with suppress(websockets.ConnectionClosed):
            async for message in socket:
                said = json.loads(message)
                if said.get("Kind") == "AudioData":
                    site.heard.append(base64.b64decode(said["AudioData"]["Data"]))

    tasks = [asyncio.create_task(speak()), asyncio.create_task(listen())]

    async def close() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()

    return close


def _metadata(order: StreamOrder) -> str:
    rate_hz = order.options.rate_hz
    body = {
        "subscriptionId": str(uuid.uuid4()),
        "encoding": "PCM",
        "sampleRate": rate_hz,
        "channels": 1,
        "length": rate_hz // 50 * 2,
    }
    return json.dumps({"kind": "AudioMetadata", "audioMetadata": body})
