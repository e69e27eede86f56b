"""The ports that the settings name: free, or in use by whom."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .findings import Finding, Level

Protocol: TypeAlias = Literal["tcp", "udp"]
CHECK: Final = "ports"

LISTENING: Final = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""
UNCONNECTED: Final = "07"
"""What a UDP socket without a peer says there."""
FIRST_FOR_ALL: Final = 1024


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port that a setting names. Port 0 is any free one."""

    what: str
    setting: str
    bind: str
    port: int
    protocol: Protocol = "tcp"
    is_public: bool = False
    """Whether others are told the port beforehand, so that it has to be a fixed one."""

    @property
    def name(self) -> str:
        """How it is called in findings."""
        return f"{self.protocol.upper()} {self.bind} port {self.port} ({self.what})"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a socket; without a pid it is another user's process, which we may not look into."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        if self.pid is None:
            return "a process of another user"
        return f"{self.command} (pid {self.pid})"


def check_port(wanted: WantedPort, own_pids: Collection[int] = ()) -> Finding:
    """Judge one port; one that a process of *own_pids* has is as it should be."""
    details = {"setting": wanted.setting, "port": wanted.port, "protocol": wanted.protocol}
    if wanted.port == 0:
        if wanted.is_public:
            return Finding(
                CHECK,
                Level.WARNING,
                f"{wanted.what}: any free port, though others are told an address beforehand",
                f"Set {wanted.setting} to the port that your public address leads to.",
                details,
            )
        return Finding(CHECK, Level.OK, f"{wanted.what}: any free port", details=details)
    failure = why_not(wanted.bind, wanted.port, wanted.protocol)
    if failure is None:
        return Finding(CHECK, Level.OK, f"{wanted.name} is free", details=details)
    if failure == errno.EADDRINUSE:
        owners = owners_of(wanted.port, wanted.protocol)
        details["pids"] = [owner.pid for owner in owners if owner.pid is not None]
        who = ", ".join(str(owner) for owner in owners) or "a process that cannot be seen from here"
        if owners and all(owner.pid in own_pids for owner in owners):
            return Finding(CHECK, Level.OK, f"{wanted.name} is ours: {who}", details=details)
        return Finding(
            CHECK,
            Level.ERROR,
            f"{wanted.name} is in use by {who}",
            f"Stop that process, or set {wanted.setting} to another port.",
            details,
        )
    if failure in (errno.EACCES, errno.EPERM):
        return Finding(
            CHECK,
            Level.ERROR,
            f"{wanted.name}: permission denied",
            f"Set {wanted.setting} to {FIRST_FOR_ALL} or above, or grant CAP_NET_BIND_SERVICE"
            " (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE).",
            details,
        )
    return Finding(
        CHECK,
        Level.ERROR,
        f"{wanted.name}: {os.strerror(failure)}",
        f"Set {wanted.setting.rpartition('.')[0]}.bind to an address of this machine (ip address).",
        details,
    )


def why_not(bind: str, port: int, protocol: Protocol) -> int | None:
    """Return the errno with which *port* cannot be bound, or None when it can."""
    address = "127.0.0.1" if bind == "localhost" else bind
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, kind) as sock:
            if protocol == "tcp":
                # As our servers do: a connection in TIME_WAIT is nobody's.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            if protocol == "tcp":
                sock.listen(1)
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def owners_of(port: int, protocol: Protocol, proc: Path = Path("/proc")) -> list[Owner]:
    """Return the processes that listen on *port*, as far as they can be seen."""
    inodes = {
        inode
        for family in ("", "6")
        for inode in _inodes(proc / f"net/{protocol}{family}", port, protocol)
    }
    if not inodes:
        return []
    found = {owner.pid: owner for owner in _holders(inodes, proc)}
    return sorted(found.values(), key=lambda owner: owner.pid or 0) or [Owner(None, "")]


def _inodes(table: Path, port: int, protocol: Protocol) -> Iterator[str]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return  # No IPv6 here.
    wanted = LISTENING if protocol == "tcp" else UNCONNECTED
    for line in lines:
        fields = line.split()
        local, state, inode = fields[1], fields[3], fields[9]
        if state == wanted and int(local.rpartition(":")[2], 16) == port:
            yield inode


def _holders(inodes: Collection[str], proc: Path) -> Iterator[Owner]:
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(os.readlink(entry) in links for entry in (process / "fd").iterdir()):
                yield Owner(int(process.name), _command(process))
        except OSError:
            continue  # Another user's, or it has just ended.


def _command(process: Path) -> str:
    """Return what runs there: the program and its first two arguments, not those with secrets."""
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    short = [Path(words[0]).name, *(Path(word).name for word in words[1:3] if word[:1] != "-")]
    return " ".join(filter(None, short)) or (process / "comm").read_text().strip()
