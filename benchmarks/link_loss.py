"""The media link over a network that loses: what its TCP holds up, and what is heard of that."""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import trustme
from tests.linkserver import ServerSocket
from tests.sim.link import Link
from websockets.asyncio.server import ServerConnection, serve

from benchmarks import tun
from benchmarks.arguments import number
from benchmarks.load.link_callers import murmur
from benchmarks.processes import BenchmarkError
from mixminus.media.pipeline import FilePlayer
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.link import HostLink, LinkGrant, accept_link, connect_link

NAME = "link-loss"
ROOT = Path(__file__).resolve().parent.parent
HOST, SERVICE = 0, 1
PORT = 7001
SECRET = bytes(range(32))
SESSION = "70d48ceb-0000-4e3a-9ee4-7d1b1d9e1a5c"
LOSSES_PERCENT = (0.0, 1.0)
START_S, END_S = 20.0, 20.0
WATCH_S = 0.2
HELD_UP_MS = 60.0
COLUMNS = [
    "loss %", "frames", "held up %", "longest gap ms", "delay p50 ms", "delay max ms",
    "concealed %", "dropped %", "link p99 ms",
]  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", type=number(0, 50), nargs="+", default=LOSSES_PERCENT)
    parser.add_argument("--round-trip", type=number(0, 1000), default=50.0, metavar="MS")
    parser.add_argument("--seconds", type=number(1, 3600), default=90.0, help="each figure")


# ---- one end, in its namespace -------------------------------------------------------------------


class TimedSocket(ServerSocket):
    """Remembers when each message came."""

    def __init__(self, connection: ServerConnection, came_s: list[float]) -> None:
        super().__init__(connection)
        self._came_s = came_s

    async def receive(self) -> bytes | str:
        message = await super().receive()
        self._came_s.append(time.monotonic())
        return message


async def be_the_host(task: dict[str, Any]) -> dict[str, Any]:
    """Take one link; return how its messages came, and what was played of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(task["certificate"])
    came_s: list[float] = []
    delays_ms: list[float] = []
    admitted: asyncio.Future[HostLink] = asyncio.get_running_loop().create_future()
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        leg = bridge.add_leg(1, relay=True)

        async def take(connection: ServerConnection) -> None:
            expires_ns = time.monotonic_ns() + int(START_S * 1e9)
            granted = LinkGrant(SECRET, leg, expires_ns, None)
            socket = TimedSocket(connection, came_s)
            found = await accept_link(platform, socket, lambda _: granted)
            admitted.set_result(found.link)
            await asyncio.wait([found.over])

        async with serve(take, task["bind"], PORT, ssl=context, compression=None):
            print("ready", flush=True)
            async with asyncio.timeout(task["seconds"] + START_S + END_S):
                link = await admitted
                while not link.closed.done():
                    if (delay_ms := link.quality().delay_ms) is not None:
                        delays_ms.append(delay_ms)
                    await asyncio.wait([link.closed], timeout=WATCH_S)
            heard, counts = link.quality(), link.counters()
            await link.close()
    gaps_ms = np.diff(came_s) * 1000
    played = heard.voice_ticks + heard.concealed_ticks
    sent = counts["frames_in"] + counts["missing"]
    return {
        "frames": counts["frames_in"],
        "held up %": 100 * float(np.mean(gaps_ms > HELD_UP_MS)),
        "longest gap ms": float(gaps_ms.max()),
        "delay p50 ms": float(np.median(delays_ms)),
        "delay max ms": max(delays_ms),
        "concealed %": 100 * heard.concealed_ticks / played,
        "dropped %": 100 * counts["missing"] / sent,
    }


async def be_the_service(task: dict[str, Any]) -> dict[str, Any]:
    """Speak over a link for a while; return its counters."""
    trust = ssl.create_default_context(cafile=task["authority"])
    async with MediaPlatform() as platform:
        bridge = platform.create_bridge()
        leg = bridge.add_leg(1)
        voice = bridge.add_leg(2, source_slots=64, paced=True)
        player = FilePlayer(platform, voice.source, murmur(1), loop=True)
        link = await connect_link(
            platform,
            leg,
            mp_uri=f"wss://{task['remote']}:{PORT}/media",
            session_id=SESSION,
            secret=SECRET,
            ssl_context=trust,
        )
        await asyncio.sleep(task["seconds"])
        counts = link.counters()
        player.close()
        await link.close()
    return counts


def main() -> int:
    task = json.loads(sys.argv[1])
    end = be_the_host if task["end"] == HOST else be_the_service
    print(json.dumps(asyncio.run(end(task))))
    return 0


# ---- both, from outside --------------------------------------------------------------------------


def talk(loss_percent: float, round_trip_ms: float, seconds: float) -> dict[str, Any]:
    """Return what the host heard over such a network."""
    link = Link(round_trip_ms / 2, loss=loss_percent / 100)
    with (
        tempfile.TemporaryDirectory(prefix="mixminus-link-") as folder,
        tun.joined(link, seconds=seconds + START_S + END_S) as net,
    ):
        authority, certificate = Path(folder) / "ca.pem", Path(folder) / "host.pem"
        issuer = trustme.CA()
        issuer.cert_pem.write_to_path(authority)
        issued = issuer.issue_cert(net.addresses[HOST])
        issued.private_key_and_cert_chain_pem.write_to_path(certificate)
        task = {"seconds": seconds, "certificate": str(certificate), "authority": str(authority)}
        task |= {"bind": net.addresses[HOST], "remote": net.addresses[HOST]}
        ends: list[subprocess.Popen[str]] = []
        try:
            for end in (HOST, SERVICE):
                said = json.dumps(task | {"end": end})
                command = net.inside(end, sys.executable, "-m", "benchmarks.link_loss", said)
                ends.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
                out = ends[HOST].stdout
                assert out is not None
                if end == HOST and out.readline() != "ready\n":
                    raise BenchmarkError("the host did not start")
            texts = [one.communicate(timeout=seconds + START_S + END_S)[0] for one in ends]
        finally:
            for one in ends:
                if one.poll() is None:
                    one.kill()
                    one.wait()
    if any(one.returncode for one in ends):
        raise BenchmarkError("an end of the link failed")
    found: dict[str, Any] = json.loads(texts[HOST])
    noise_ms = net.report["self_noise_ms"]["p99"]
    return {"loss %": loss_percent, **found, "link p99 ms": noise_ms, "link": net.report}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if reason := tun.refusal():
        raise BenchmarkError(reason)
    return {
        "benchmark": NAME,
        "title": f"The media link, {args.round_trip:g} ms of round trip, {args.seconds:g} s each",
        "columns": COLUMNS,
        "rows": [talk(loss, args.round_trip, args.seconds) for loss in args.loss],
        "notes": [
            f"Held up: messages that came more than {HELD_UP_MS:g} ms after the one before.",
            "Dropped: by the sender, because it was old when TCP took bytes again.",
        ],
    }


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw each share as bars, one a loss."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    places = np.arange(len(result["rows"]))
    for number_, name in enumerate(("held up %", "concealed %", "dropped %")):
        shares = [row[name] for row in result["rows"]]
        axes.bar(places + 0.25 * (number_ - 1), shares, 0.25, label=name.removesuffix(" %"))
    axes.set_xticks(places, [f"{row['loss %']:g} % lost" for row in result["rows"]])
    axes.set_ylabel("% of frames")
    axes.set_title(result["title"])
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
