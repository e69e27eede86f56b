"""Datagrams of strangers at a WebRTC port, so many a second: STUN, DTLS, RTP, junk.

Run as a program, so that it can stand in another network namespace: HOST PORT RATE. It ends with
its input.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time

from mixminus.media.transports.dtls import Certificate, DtlsSession
from mixminus.media.transports.sdp_answer import Fingerprint
from tests.webrtc_kit import binding_request


def datagrams(seed: int = 1) -> list[bytes]:
    """One of each kind, and a few that are broken."""
    chance = random.Random(seed)
    stranger = DtlsSession(
        [Fingerprint("sha-256", bytes(32))], is_client=True, certificate=Certificate.generate()
    )
    stranger.start()
    hello = next(stranger.outgoing())
    rtp = bytes([0x80, 111]) + chance.randbytes(10)
    return [
        binding_request("AAAAAAAAAAAA", "x" * 32, nominates=True),
        hello,
        hello[:60] + chance.randbytes(40),
        b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",
        rtp + chance.randbytes(100),
        rtp,
        bytes([0x80, 200]) + chance.randbytes(26),
        b"",
        chance.randbytes(1_100),
        b"\x00\x01" + chance.randbytes(60),
    ]


def main(host: str, port: int, rate: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kinds = datagrams()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        sock.setblocking(False)
        begin_s, sent = time.monotonic(), 0
        sock.send(kinds[0])
        print("begun", flush=True)
        while not select.select([sys.stdin], [], [], 0.002)[0]:
            while sent < rate * (time.monotonic() - begin_s):
                sock.send(kinds[sent % len(kinds)])
                sent += 1
        try:
            print(f"answered with {len(sock.recv(2048))} bytes", flush=True)
        except BlockingIOError:
            print(f"sent {sent / (time.monotonic() - begin_s):.0f} a second, no answer", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
