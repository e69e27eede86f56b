"""Addresses: the same bytes for the same place, however it was written."""

from __future__ import annotations

import ctypes as c
import ipaddress
import socket
import struct
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.native.address_types import LIB, TEXT_BYTES, Address, of, parse, text

PORTS = st.integers(0, 65535)
HOSTS = st.ip_addresses()
NEEDED_BYTES: dict[int, int] = {socket.AF_INET: 16, socket.AF_INET6: 28}


def from_socket(raw: bytes) -> Address | None:
    out = Address()
    return None if LIB.mm_address_from_socket(c.byref(out), raw, len(raw)) else out


def to_socket(address: Address) -> bytes:
    out = c.create_string_buffer(128)
    used = LIB.mm_address_to_socket(c.byref(address), out)
    return out.raw[:used]


def sockaddr(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, scope: int) -> bytes:
    if host.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, host.packed)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, 7, host.packed)
    return head + struct.pack("=I", scope)


@given(HOSTS, PORTS)
def test_what_is_written_is_read_back(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    read = parse(str(host), port)
    assert read is not None
    assert read.port == port
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    plain = mapped or host
    assert read.is_ipv6 == (plain.version == 6)
    assert ipaddress.ip_address(text(read)) == plain
    again = of((text(read), port))
    assert again.key() == read.key()


@given(HOSTS, PORTS, st.integers(0, 2**32 - 1))
def test_a_socket_address_comes_back_as_it_was(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, scope: int
) -> None:
    read = from_socket(sockaddr(host, port, scope))
    assert read is not None
    plain = parse(str(host), port)
    assert plain is not None
    scoped = isinstance(host, ipaddress.IPv6Address) and (
        host.is_link_local or (host.packed[0] == 0xFF and host.packed[1] & 15 == 2)
    )
    if scoped:
        plain.scope_id = scope
    assert read.key() == plain.key()
    back = from_socket(to_socket(read))
    assert back is not None
    assert back.key() == read.key()


@given(HOSTS, HOSTS, PORTS, PORTS)
def test_equal_means_equal_hash_and_only_the_same_place(
    one: ipaddress.IPv4Address, other: ipaddress.IPv4Address, port: int, other_port: int
) -> None:
    a, b = of((str(one), port)), of((str(other), other_port))
    equal = LIB.mm_address_equal(c.byref(a), c.byref(b))
    assert bool(equal) == (text(a) == text(b) and port == other_port)
    same = of((str(one), port))
    assert LIB.mm_address_equal(c.byref(a), c.byref(same))
    assert LIB.mm_address_hash(c.byref(a)) == LIB.mm_address_hash(c.byref(same))


def test_ipv4_in_ipv6_is_ipv4() -> None:
    assert of(("::ffff:192.0.2.1", 5)).key() == of(("192.0.2.1", 5)).key()
    assert text(of(("::ffff:192.0.2.1", 5))) == "192.0.2.1"


def test_a_scope_is_a_number_or_an_interface_and_belongs_to_link_local() -> None:
    index = socket.if_nametoindex("lo")
    assert of(("fe80::1%lo", 1)).scope_id == index
    assert of((f"fe80::1%{index}", 1)).scope_id == index
    assert text(of(("fe80::1%7", 1))) == "fe80::1%7"
    assert of(("2001:db8::1%lo", 1)).key() == of(("2001:db8::1", 1)).key()


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.1",
        "127.0.0.1%lo",
        "256.0.0.1",
        "1.2.3.4.5",
        " 1.2.3.4",
        ":::",
        "fe80::1%",
        "fe80::1%no-such-interface",
        "fe80::1%4294967296",
        "fe80::1%99999999999",
        "[::1]",
        "1" * 64,
        "fe80::1%" + "9" * 200,
    ],
)
def test_what_is_no_address_is_refused_and_changes_nothing(host: str) -> None:
    out = of(("192.0.2.9", 9))
    before = out.key()
    assert LIB.mm_address_parse(c.byref(out), host.encode(), 5) == -1
    assert out.key() == before


def test_no_host_and_no_such_port_are_refused() -> None:
    assert LIB.mm_address_parse(c.byref(Address()), None, 5) == -1
    assert parse("192.0.2.1", 65535) is not None
    assert parse("192.0.2.1", 65536) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_an_address_or_refused(raw: bytes) -> None:
    family = int.from_bytes(raw[:2], sys.byteorder)
    assert (from_socket(raw) is not None) == (len(raw) >= NEEDED_BYTES.get(family, 1000))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_cut_socket_address_is_refused(family: int) -> None:
    for size in range(40):
        raw = (struct.pack("=H", family) + bytes(38))[:size]
        assert (from_socket(raw) is not None) == (size >= NEEDED_BYTES.get(family, 1000))


def test_format_needs_room_for_all_of_it() -> None:
    address = of(("2001:db8:1111:2222:3333:4444:5555:6666", 1))
    needed = len(text(address)) + 1
    out = c.create_string_buffer(TEXT_BYTES)
    assert LIB.mm_address_format(c.byref(address), out, needed) == 0
    assert LIB.mm_address_format(c.byref(address), out, needed - 1) == -1


def test_hash_spreads_the_addresses_of_one_network() -> None:
    """Neighbours in address and port, as callers behind one NAT or in one /24 are."""
    hashes = [
        LIB.mm_address_hash(c.byref(of((f"198.51.100.{host}", port))))
        for host in range(64)
        for port in range(1024, 1088)
    ]
    assert len(set(hashes)) == len(hashes)
    for shift in range(0, 54, 6):
        buckets = Counter(h >> shift & 1023 for h in hashes)
        chi_square = sum((buckets[i] - 4) ** 2 / 4 for i in range(1024))
        assert 1023 - 6 * 45 < chi_square < 1023 + 6 * 45, shift  # its mean and six deviations
