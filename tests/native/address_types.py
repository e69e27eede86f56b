"""native/address.h as ctypes has it, and sockets on loopback."""

from __future__ import annotations

import ctypes as c
import ipaddress
import socket

from tests.native.clib import library

TEXT_BYTES = 64


class Address(c.Structure):
    ip: c.Array[c.c_uint8]
    port: int
    is_ipv6: int
    scope_id: int
    _fields_ = (
        ("ip", c.c_uint8 * 16),
        ("port", c.c_uint16),
        ("is_ipv6", c.c_uint16),
        ("scope_id", c.c_uint32),
    )

    def key(self) -> bytes:
        return bytes(self)


LIB = library("address.c")
LIB.mm_address_hash.restype = c.c_uint64
LIB.mm_address_parse.argtypes = [c.c_void_p, c.c_char_p, c.c_uint]
LIB.mm_address_format.argtypes = [c.c_void_p, c.c_char_p, c.c_size_t]
LIB.mm_address_from_socket.argtypes = [c.c_void_p, c.c_char_p, c.c_uint]


def parse(host: str, port: int = 0) -> Address | None:
    out = Address()
    said = LIB.mm_address_parse(c.byref(out), host.encode(), port)
    assert said in (0, -1)
    return None if said else out


def text(address: Address) -> str:
    out = c.create_string_buffer(TEXT_BYTES)
    assert LIB.mm_address_format(c.byref(address), out, TEXT_BYTES) == 0
    return out.value.decode()


def of(pair: tuple[str, int]) -> Address:
    """The address of a socket's ("host", port)."""
    out = parse(pair[0], pair[1])
    assert out is not None, pair
    return out


def udp(host: str = "127.0.0.1") -> socket.socket:
    """A bound socket that fails rather than waits for ever."""
    is_ipv6 = ipaddress.ip_address(host).version == 6
    made = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    made.settimeout(5)
    return made


def own(made: socket.socket) -> Address:
    name = made.getsockname()
    return of((name[0], name[1]))
