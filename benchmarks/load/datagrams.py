"""One UDP socket that is a thousand callers: each has its own address of 127/8.

A caller costs no socket and no system call of its own: `sendmmsg` and `recvmmsg` move many
datagrams at once, and each says from or to which address it goes (IP_PKTINFO, ip(7)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_CALLERS = 1 << 14
ROOM = 2048
"""Bytes of a datagram: more than any of a call."""
BATCH = 256
SOCKET_BYTES = 8 << 20
NETWORK = 127 << 24 | 77 << 16
"""Callers are 127.77.0.0 and up: nobody else on the machine uses these."""

IP_PKTINFO = 8
MESSAGE = np.dtype(
    {
        "names": ["name", "name_bytes", "vector", "vectors", "control", "control_bytes", "bytes"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 56],
        "itemsize": 64,
    }
)
"""struct mmsghdr of 64-bit Linux."""
VECTOR = np.dtype([("base", "u8"), ("bytes", "u8")])
CONTROL = np.dtype(
    [("bytes", "u8"), ("level", "i4"), ("type", "i4"), ("interface", "i4")]
    + [("from", ">u4"), ("to", ">u4"), ("padding", "u4")]
)
"""struct cmsghdr with an in_pktinfo behind it."""
NAME = np.dtype([("family", "u2"), ("port", ">u2"), ("host", ">u4"), ("padding", "u8")])
"""struct sockaddr_in."""

Address = tuple[str, int]


def caller_host(caller: int) -> str:
    """Return the address of a caller by number."""
    if not 0 <= caller < MOST_CALLERS:
        raise ValueError(f"expected a caller from 0 to {MOST_CALLERS - 1}, got {caller}")
    return socket.inet_ntoa((NETWORK + caller + 1).to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Received:
    """Datagrams of one batch. Valid until the next is received.

    Shape: callers (n,) the number of the addressed caller, sizes (n,), data (n, 2048) uint8.
    """

    callers: NDArray[np.int64]
    sizes: NDArray[np.uint32]
    data: NDArray[np.uint8]
    senders: NDArray[np.void]

    def datagram(self, row: int) -> bytes:
        return self.data[row, : self.sizes[row]].tobytes()

    def sender(self, row: int) -> Address:
        name = self.senders[row]
        return socket.inet_ntoa(int(name["host"]).to_bytes(4, "big")), int(name["port"])


class Callers:
    """The socket. Rows of `data` are what each caller sends next; thread: one at a time."""

    def __init__(self, most: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._socket.bind(("0.0.0.0", 0))
        self.port = int(self._socket.getsockname()[1])
        self.data, self._names, self._controls, self._vectors, self._messages = _messages(most)
        self._names["family"] = socket.AF_INET
        self._controls["bytes"] = 28
        self._controls["level"] = socket.IPPROTO_IP
        self._controls["type"] = IP_PKTINFO
        into = _messages(BATCH)
        self._in_data, self._in_names, self._in_controls, self._in_vectors, self._in = into
        self.unsent = 0

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def address(self, caller: int) -> Address:
        return caller_host(caller), self.port

    def set_peer(self, row: int, caller: int, to: Address) -> None:
        """Let *row* go from *caller* to *to* from now on."""
        caller_host(caller)
        self._controls["from"][row] = NETWORK + caller + 1
        host, port = to
        self._names["host"][row] = int.from_bytes(socket.inet_aton(host), "big")
        self._names["port"][row] = port

    def send(self, begin: int, sizes: NDArray[np.int64]) -> None:
        """Send the first bytes of rows *begin* and on, as many as *sizes* has."""
        count = len(sizes)
        if not count:
            return
        self._vectors["bytes"][begin : begin + count] = sizes
        sent = 0
        while sent < count:
            at = self._messages.ctypes.data + (begin + sent) * MESSAGE.itemsize
            done = self._libc.sendmmsg(self.fileno(), ctypes.c_void_p(at), count - sent, 0)
            if done <= 0:
                # The first of the rest could not go; the others may.
                self.unsent += 1
                done = 1
            sent += done

    def send_one(self, caller: int, to: Address, datagram: bytes) -> None:
        """Send one datagram that is no caller's next: a handshake's."""
        info = np.zeros(1, CONTROL)
        info["from"] = NETWORK + caller + 1
        control = [(socket.IPPROTO_IP, IP_PKTINFO, info.tobytes()[16:28])]
        self._socket.sendmsg([datagram], control, 0, to)

    def receive(self) -> Iterator[Received]:
        """Yield batches of what has come, until nothing waits."""
        while True:
            self._in["name_bytes"] = NAME.itemsize
            self._in["control_bytes"] = CONTROL.itemsize
            count = self._libc.recvmmsg(
                self.fileno(),
                ctypes.c_void_p(self._in.ctypes.data),
                BATCH,
                socket.MSG_DONTWAIT,
                None,
            )
            if count < 0:
                error = ctypes.get_errno()
                if error in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                    return
                raise OSError(error, os.strerror(error))
            to = self._in_controls["to"][:count].astype(np.int64)
            yield Received(
                to - NETWORK - 1, self._in["bytes"][:count], self._in_data, self._in_names
            )
            if count < BATCH:
                return


Buffers = tuple[
    NDArray[np.uint8], NDArray[np.void], NDArray[np.void], NDArray[np.void], NDArray[np.void]
]


def _messages(count: int) -> Buffers:
    """Make *count* message headers, each with its name, control data, vector and buffer."""
    data = np.zeros((count, ROOM), np.uint8)
    names, controls = np.zeros(count, NAME), np.zeros(count, CONTROL)
    vectors, messages = np.zeros(count, VECTOR), np.zeros(count, MESSAGE)
    rows = np.arange(count, dtype=np.uint64)

    def addresses(array: NDArray[np.generic]) -> NDArray[np.uint64]:
        return np.uint64(array.ctypes.data) + rows * np.uint64(array.strides[0])

    vectors["base"], vectors["bytes"] = addresses(data), ROOM
    messages["name"], messages["name_bytes"] = addresses(names), NAME.itemsize
    messages["control"], messages["control_bytes"] = addresses(controls), CONTROL.itemsize
    messages["vector"], messages["vectors"] = addresses(vectors), 1
    return data, names, controls, vectors, messages
