"""A bad network on this machine: two network namespaces joined by TUN devices, a link between.

    with joined(Link(30, 15, loss=0.01), seconds=60) as net:
        subprocess.run(net.inside(0, "ping", "-c", "3", net.addresses[1]))
    net.report

The kernel needs no netem: packets go through a process that delays, loses, doubles and overtakes
them as tests/sim/link.py does in virtual time, with the same seed the same way. It ends by itself
after *seconds*, and with whoever started it; the namespaces go with the `with`, and those of a run
that was killed with the next.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.sim.link import Link

from benchmarks.way import Way

DEVICE = "mixminus0"
ADDRESSES = ("192.0.2.1", "192.0.2.2")  # RFC 5737: nobody's
PREFIX = "mixminus-"
PACKET_BYTES = 2048
# linux/if_tun.h, sched.h and prctl.h.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
FIFO_PRIORITY = 20  # above the ticks of both ends: a network is not late because they are busy
READY_S, STOP_S = 10.0, 5.0
NETNS = Path("/run/netns")


class TunError(RuntimeError):
    """The namespaces or the devices cannot be had; the message is one line for a person."""


@dataclass
class Net:
    """Two namespaces that see each other through the link."""

    names: tuple[str, str]
    addresses: tuple[str, str] = ADDRESSES
    report: dict[str, Any] = field(default_factory=dict)
    """Of the link, once it has ended: packets in, lost, out; self_noise_ms as percentiles."""

    def inside(self, end: int, *command: str) -> list[str]:
        """Return *command* as it is run in the namespace of *end* (0 or 1)."""
        return ["ip", "netns", "exec", self.names[end], *command]


@cache
def refusal() -> str | None:
    """Why this process cannot do it, or None."""
    if os.geteuid() != 0:
        return "network namespaces want root: run this as root"
    if not Path("/dev/net/tun").exists():
        return "network namespaces are joined by TUN devices: there is no /dev/net/tun here"
    probe = f"{PREFIX}{os.getpid()}-probe"
    try:
        ip("netns", "add", probe)
        ip("netns", "delete", probe)
    except FileNotFoundError:
        return "network namespaces want iproute2: apt-get install iproute2"
    except TunError as exc:
        return f"network namespaces cannot be made here: {exc}"
    return None


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TunError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def joined(link: Link, *, seconds: float, seed: int = 1, back: Link | None = None) -> Iterator[Net]:
    """Join two namespaces by *link* one way and *back* (the same) the other, for at most *seconds*.

    Raises: TunError where that is not possible here.
    """
    if reason := refusal():
        raise TunError(reason)
    sweep()
    net = Net((f"{PREFIX}{os.getpid()}-a", f"{PREFIX}{os.getpid()}-b"))
    emulator: subprocess.Popen[str] | None = None
    try:
        for name in net.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        emulator = start(net, (link, back or link), seconds, seed)
        yield net
    finally:
        if emulator is not None:
            net.report |= stop(emulator)
        for name in net.names:
            if (NETNS / name).exists():
                ip("netns", "delete", name)


def sweep() -> None:
    """Remove what a run that was killed has left."""
    for path in NETNS.glob(f"{PREFIX}*-[ab]") if NETNS.is_dir() else ():
        pid = path.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            ip("netns", "delete", path.name)


def start(net: Net, links: tuple[Link, Link], seconds: float, seed: int) -> subprocess.Popen[str]:
    task = {"names": net.names, "links": [asdict(link) for link in links], "seconds": seconds}
    command = [sys.executable, "-m", "benchmarks.tun", json.dumps(task | {"seed": seed})]
    root = Path(__file__).resolve().parent.parent
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    assert process.stderr is not None
    ready, _, _ = select.select([process.stdout], [], [], READY_S)
    if not ready or process.stdout.readline().strip() != "ready":
        process.kill()
        raise TunError(f"the link did not come up: {process.communicate()[1].strip()[-300:]}")
    return process


def stop(process: subprocess.Popen[str]) -> dict[str, Any]:
    process.terminate()
    try:
        said, complaint = process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, complaint = process.communicate()
    if process.returncode:
        raise TunError(f"the link ended with {process.returncode}: {complaint.strip()[-300:]}")
    found: dict[str, Any] = json.loads(said)
    return found


# ---- the link's process --------------------------------------------------------------------------


def enter(name: str) -> None:
    """Put this thread into the namespace *name*."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(NETNS / name if name else "/proc/self/ns/net") as target:
        if libc.setns(target.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")


def open_tun(address: str, peer: str) -> int:
    """Open a TUN device in the namespace that this thread is in."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    ip("address", "add", address, "peer", peer, "dev", DEVICE)
    ip("link", "set", DEVICE, "mtu", "1500", "up")
    return device


class Emulator:
    """Packets from each device to the other, over a way each."""

    def __init__(self, devices: tuple[int, int], links: tuple[Link, Link], seed: int) -> None:
        self._devices = devices
        self._ways = tuple(Way(link, seed + n) for n, link in enumerate(links))
        self._began_ns = time.monotonic_ns()
        self._late_ns: list[int] = []
        self._counts = {"in": [0, 0], "out": [0, 0], "refused": [0, 0]}

    def run(self, until: float) -> None:
        """Carry packets until *until* (time.monotonic) or a SIGTERM."""
        ended = False

        def end(*_: object) -> None:
            nonlocal ended
            ended = True

        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        while not ended and (left := until - time.monotonic()) > 0:
            self._deliver()
            readable, _, _ = select.select(self._devices, [], [], min(left, self._wait_s()))
            for device in readable:
                self._accept(self._devices.index(device))

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._began_ns

    def _wait_s(self) -> float:
        due = [at for way in self._ways if (at := way.next_ns()) is not None]
        return max(0.0, (min(due) - self._now_ns()) / 1e9) if due else 0.1

    def _accept(self, end: int) -> None:
        while True:
            try:
                packet = os.read(self._devices[end], PACKET_BYTES)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue  # IPv6 looks for neighbours on every device
            self._counts["in"][end] += 1
            self._ways[end].put(packet, self._now_ns())

    def _deliver(self) -> None:
        for end, way in enumerate(self._ways):
            for at_ns, packet in way.take(self._now_ns()):
                try:
                    os.write(self._devices[1 - end], packet)
                    self._counts["out"][end] += 1
                except OSError:  # its namespace is going: told in the report
                    self._counts["refused"][end] += 1
                self._late_ns.append(self._now_ns() - at_ns)

    def report(self) -> dict[str, Any]:
        late = sorted(self._late_ns) or [0]
        shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        noise = {
            name: late[min(len(late) - 1, int(len(late) * share))] / 1e6
            for name, share in shares.items()
        }
        carriers = [way.carrier for way in self._ways]
        return self._counts | {
            "lost": [carrier.lost for carrier in carriers],
            "duplicated": [carrier.duplicated for carrier in carriers],
            "self_noise_ms": noise,
        }


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def read_link(fields: dict[str, Any]) -> Link:
    """Return the Link that went through JSON: its tuples came as lists."""
    pairs: dict[str, Any] = {name: tuple(map(tuple, fields[name])) for name in ("steps", "outages")}
    return Link(**(fields | pairs))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tun", description=__doc__)
    parser.add_argument("task", type=json.loads, help="JSON: names, links, seconds, seed")
    task = parser.parse_args().task
    end_with_parent()
    with suppress(PermissionError):  # slower where it is not allowed; self_noise_ms tells
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    devices = []
    for name, address, peer in zip(task["names"], ADDRESSES, reversed(ADDRESSES), strict=True):
        enter(name)
        devices.append(open_tun(address, peer))
    links = [read_link(link) for link in task["links"]]
    emulator = Emulator((devices[0], devices[1]), (links[0], links[1]), task["seed"])
    emulator.run(time.monotonic() + task["seconds"])
    print(json.dumps(emulator.report()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
