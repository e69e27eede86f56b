"""A bot host's end of the media link behind a fence, as a process: for tests that freeze it.

Run with a directory. Prints a JSON object a line: where it listens, that its fence shut, how many
frames it has heard when it is asked (a line ``heard``), and obeys ``open``.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority
from mixminus.media.fence import Fence
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import HostLink, LinkError, LinkGrant, accept_link
from tests.linkfar import SECRET
from tests.linkserver import ServerSocket

LIMIT_NS = 2_000_000_000


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def main(directory: Path) -> None:
    certificate = LocalAuthority(directory).issue(*LOCAL_HOSTS)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.cert_file, certificate.key_file)
    fence, links = Fence(LIMIT_NS), list[HostLink]()
    fence.on_shut(lambda: tell(shut=fence.standstills))
    async with MediaPlatform() as platform:
        leg = platform.create_bridge().add_leg(1, relay=True)
        granted = LinkGrant(SECRET, leg, time.monotonic_ns() + 600 * 10**9)

        async def serve_one(connection: ServerConnection) -> None:
            try:
                admitted = await accept_link(
                    platform, ServerSocket(connection), lambda _: granted, fence=fence
                )
            except LinkError as error:
                tell(refused=str(error))
                return
            links.append(admitted.link)
            await admitted.over

        keeping = asyncio.create_task(fence.keep())
        async with serve(serve_one, "127.0.0.1", 0, ssl=tls, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            tell(mp_uri=f"wss://localhost:{port}/media")
            while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
                if command == "open":
                    tell(opened=fence.open(fence.standstills))
                else:
                    tell(heard=sum(link.counters()["frames_in"] for link in links[-1:]))
        keeping.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
