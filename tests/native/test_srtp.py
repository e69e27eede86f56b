"""SRTP: against a model of RFC 3711 and RFC 7714, against pylibsrtp, and with bad libraries."""

from __future__ import annotations

import ctypes as c
import hmac
import importlib
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from tests.native.clib import FUZZ, HERE, library, library_path

LIB = library("srtp.c", "srtp_test.c", "shared_library.c")
BUNDLED = Path(str(importlib.import_module("pylibsrtp._binding").__file__))
CM, GCM = 1, 7
KEY_BYTES = {CM: 30, GCM: 28}
TAG_BYTES = {CM: 10, GCM: 16}
GOOD, SHORT, FORGED, REPLAYED, REFUSED, FAILED = range(6)
SECOND = 1_000_000_000
PACKET: list[Any] = [c.c_void_p, c.c_char_p, c.POINTER(c.c_size_t)]
LIB.mm_srtp_library_open.argtypes = [c.c_void_p, c.c_char_p, c.c_char_p, c.c_size_t]
LIB.mm_srtp_key_bytes.argtypes = [c.c_void_p, c.c_int]
LIB.mm_srtp_key_bytes.restype = c.c_size_t
INIT: list[Any] = [c.c_void_p, c.c_void_p, c.c_int, c.c_char_p, c.c_size_t]
LIB.mm_srtp_init_in.argtypes = INIT
LIB.mm_srtp_init_out.argtypes = [*INIT, c.c_uint32]
LIB.mm_srtp_count.argtypes = [c.c_void_p, c.c_int]
LIB.mm_srtp_count.restype = c.c_uint64
LIB.mm_srtp_destroy.argtypes = [c.c_void_p]
for suffix in ("", "_rtcp"):
    getattr(LIB, f"mm_srtp_protect{suffix}").argtypes = [*PACKET, c.c_size_t]
    getattr(LIB, f"mm_srtp_unprotect{suffix}").argtypes = [*PACKET, c.c_int64]


def open_library(path: Path | str) -> tuple[c.Array[c.c_char], str]:
    """The library struct, and what was wrong with it."""
    memory, error = c.create_string_buffer(256), c.create_string_buffer(512)
    failed = LIB.mm_srtp_library_open(memory, str(path).encode(), error, len(error))
    assert bool(failed) == bool(error.value)
    return memory, error.value.decode()


LIBRARY, said = open_library(BUNDLED)
assert not said


class Context:
    def __init__(self, profile: int, key: bytes, ssrc: int | None = None) -> None:
        self.memory = c.create_string_buffer(1024)
        arguments = (self.memory, LIBRARY, profile, key, len(key))
        failed = (
            LIB.mm_srtp_init_in(*arguments)
            if ssrc is None
            else LIB.mm_srtp_init_out(*arguments, ssrc)
        )
        if failed:
            raise ValueError("no context")

    def __del__(self) -> None:
        LIB.mm_srtp_destroy(self.memory)

    def _call(self, name: str, packet: bytes, room: int, last: int) -> bytes | int:
        buffer, size = c.create_string_buffer(packet, room), c.c_size_t(len(packet))
        result = getattr(LIB, f"mm_srtp_{name}")(self.memory, buffer, size, last)
        return buffer.raw[: size.value] if result == 0 else int(-result)

    def protect(self, packet: bytes, rtcp: bool = False, room: int | None = None) -> bytes | int:
        room = len(packet) + 20 if room is None else room
        return self._call("protect_rtcp" if rtcp else "protect", packet, max(room, 1), room)

    def unprotect(self, packet: bytes, rtcp: bool = False, now_ns: int = 0) -> bytes | int:
        name = "unprotect_rtcp" if rtcp else "unprotect"
        return self._call(name, packet, max(len(packet), 1), now_ns)

    def counts(self) -> list[int]:
        return [LIB.mm_srtp_count(self.memory, which) for which in range(6)]


def rtp(sequence: int, ssrc: int = 7, payload: bytes = b"payload") -> bytes:
    return struct.pack("!BBHLL", 0x80, 111, sequence, sequence * 960 & 0xFFFFFFFF, ssrc) + payload


def rtcp(ssrc: int = 7) -> bytes:
    return struct.pack("!BBHLLLLLL", 0x80, 200, 6, ssrc, 1, 2, 3, 4, 5)


# ---- the model ---------------------------------------------------------------------------------


def keystream(key: bytes, iv: int, size: int) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv.to_bytes(16))).encryptor()
    return cipher.update(bytes(size))


def derive(master: bytes, label: int, size: int) -> bytes:
    """RFC 3711 section 4.3; RFC 7714's salt of 12 bytes counts as 14 with zeros behind."""
    salt = int.from_bytes(master[16:].ljust(14, b"\0"))
    return keystream(master[:16], (salt ^ label << 48) << 16, size)


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def model(profile: int, master: bytes, packet: bytes) -> bytes:
    """An RTP packet of the first 65,536, without CSRC and extension, protected."""
    head, payload = packet[:12], packet[12:]
    sequence, ssrc = int.from_bytes(packet[2:4]), int.from_bytes(packet[8:12])
    key = derive(master, 0, 16)
    if profile == GCM:
        iv = struct.pack("!HLLH", 0, ssrc, 0, sequence)
        nonce = xor(iv, derive(master, 2, 12))
        return head + AESGCM(key).encrypt(nonce, payload, head)
    salt = int.from_bytes(derive(master, 2, 14))
    iv_cm = salt << 16 ^ ssrc << 64 ^ sequence << 16
    out = head + xor(payload, keystream(key, iv_cm, len(payload)))
    tag = hmac.digest(derive(master, 1, 20), out + bytes(4), "sha1")
    return out + tag[:10]


profiles = pytest.mark.parametrize("profile", [CM, GCM])


@profiles
@given(
    key=st.binary(min_size=30, max_size=30),
    sequence=st.integers(0, 0xFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=200),
)
@settings(max_examples=60)
def test_packets_are_protected_as_the_model_does(
    profile: int, key: bytes, sequence: int, ssrc: int, payload: bytes
) -> None:
    key, packet = key[: KEY_BYTES[profile]], rtp(sequence, ssrc, payload)
    sealed = Context(profile, key, ssrc).protect(packet)
    assert sealed == model(profile, key, packet)
    assert Context(profile, key).unprotect(sealed) == packet


@profiles
def test_pylibsrtp_reads_what_we_write_and_we_what_it_writes(profile: int) -> None:
    key = random.Random(1).randbytes(KEY_BYTES[profile])
    out, into = Context(profile, key, 7), Context(profile, key)
    theirs_in = Session(Policy(key, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
    theirs_out = Session(Policy(key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
    for n in range(65_500, 65_600):  # across the roll-over
        packet = rtp(n & 0xFFFF)
        if n % 2:  # as a leg sends it: its level in an extension, which stays in the clear
            packet = b"\x90" + packet[1:12] + bytes.fromhex("bede000110850000") + packet[12:]
        sealed = out.protect(packet)
        assert isinstance(sealed, bytes)
        assert theirs_in.unprotect(sealed) == packet
        assert into.unprotect(theirs_out.protect(packet)) == packet
        report = out.protect(rtcp(), rtcp=True)
        assert isinstance(report, bytes)
        assert theirs_in.unprotect_rtcp(report) == rtcp()
        assert into.unprotect(theirs_out.protect_rtcp(rtcp()), rtcp=True) == rtcp()
    assert out.counts() == [200, 0, 0, 0, 0, 0]
    assert into.counts() == [200, 0, 0, 0, 0, 0]


@profiles
def test_fifty_packets_replayed_five_times_are_fifty_packets(profile: int) -> None:
    key = bytes(KEY_BYTES[profile])
    out, into = Context(profile, key, 7), Context(profile, key)
    sealed = [out.protect(rtp(n)) for n in range(50)]
    for _ in range(6):
        for packet in sealed:
            assert isinstance(packet, bytes)
            into.unprotect(packet)
    assert into.counts() == [50, 0, 0, 250, 0, 0]


def test_window_takes_what_is_a_thousand_packets_late_once() -> None:
    out, into = Context(CM, bytes(30), 7), Context(CM, bytes(30))
    sealed = [out.protect(rtp(n)) for n in range(2000)]
    assert all(isinstance(packet, bytes) for packet in sealed)
    assert into.unprotect(bytes(sealed[1999])) == rtp(1999)
    assert into.unprotect(bytes(sealed[1000])) == rtp(1000)
    assert into.unprotect(bytes(sealed[1000])) == REPLAYED
    assert into.unprotect(bytes(sealed[900])) == REPLAYED


@profiles
def test_a_changed_bit_anywhere_is_a_forgery_and_costs_only_itself(profile: int) -> None:
    key = random.Random(2).randbytes(KEY_BYTES[profile])
    out, into = Context(profile, key, 7), Context(profile, key)
    sealed = out.protect(rtp(5))
    assert isinstance(sealed, bytes)
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert into.unprotect(bytes(damaged)) in (FORGED, FAILED)
    assert into.unprotect(sealed) == rtp(5)
    counts = into.counts()
    assert counts[GOOD] == 1
    assert sum(counts) == 8 * len(sealed) + 1


@profiles
@given(data=st.binary(max_size=80), rtcp_too=st.booleans())
def test_any_bytes_are_counted_and_never_pass(profile: int, data: bytes, rtcp_too: bool) -> None:
    into = Context(profile, bytes(KEY_BYTES[profile]))
    result = into.unprotect(data, rtcp_too)
    assert isinstance(result, int)
    least = 12 + TAG_BYTES[profile]  # a header, or half of one and an index
    assert (result == SHORT) == (len(data) < least)
    assert sum(into.counts()) == 1


def test_a_leg_has_four_sources_and_a_quiet_one_gives_way() -> None:
    into, now_ns = Context(CM, bytes(30)), 0
    for ssrc in range(4):
        assert into.unprotect(model(CM, bytes(30), rtp(1, ssrc)), now_ns=now_ns) == rtp(1, ssrc)
        now_ns += SECOND // 2
    fifth = model(CM, bytes(30), rtp(1, 99))
    assert into.unprotect(fifth, now_ns=now_ns - SECOND // 2) == REFUSED
    assert into.unprotect(fifth, now_ns=now_ns) == rtp(1, 99)  # the first has been quiet for 2 s
    assert into.unprotect(model(CM, bytes(30), rtp(2, 1)), now_ns=now_ns) == rtp(2, 1)
    assert into.unprotect(model(CM, bytes(30), rtp(2, 0)), now_ns=now_ns) == REFUSED


def test_a_forged_source_takes_no_place() -> None:
    into = Context(CM, bytes(30))
    for ssrc in range(1000):
        assert into.unprotect(rtp(1, ssrc, bytes(30))) == FORGED
    for ssrc in range(4):
        assert into.unprotect(model(CM, bytes(30), rtp(1, ssrc))) == rtp(1, ssrc)


def test_a_flood_of_sources_costs_only_itself() -> None:
    into = Context(CM, bytes(30))
    for ssrc in range(4):
        into.unprotect(model(CM, bytes(30), rtp(1, ssrc)))
    before = resident_bytes()
    packet = c.create_string_buffer(rtp(1, 0, bytes(60)))
    size = c.c_size_t()
    for ssrc in range(4, 200_004):
        size.value = 72
        struct.pack_into("!L", packet, 8, ssrc)
        assert LIB.mm_srtp_unprotect(into.memory, packet, size, SECOND) == -REFUSED
    # And a peer with the key, who waits for each of its sources to grow quiet.
    for n in range(2000):
        sealed = model(CM, bytes(30), rtp(1, n + 4))
        assert into.unprotect(sealed, now_ns=(n + 4) * 3 * SECOND) == rtp(1, n + 4)
    assert resident_bytes() - before < 2_000_000
    assert into.counts()[GOOD] == 2004


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_out_sends_one_source_only_and_needs_room() -> None:
    out = Context(CM, bytes(30), 7)
    assert out.protect(rtp(1, 8)) == REFUSED
    assert out.protect(rtcp(8), rtcp=True) == REFUSED
    assert out.protect(rtp(1), room=len(rtp(1)) + 9) == SHORT
    assert out.protect(rtcp(), rtcp=True, room=len(rtcp()) + 13) == SHORT
    assert out.protect(b"\x80" * 11) == SHORT
    assert isinstance(out.protect(rtp(1), room=len(rtp(1)) + 10), bytes)
    assert isinstance(out.protect(rtcp(), rtcp=True, room=len(rtcp()) + 14), bytes)


@pytest.mark.parametrize(("profile", "size"), [(CM, 29), (CM, 0), (GCM, 30), (2, 30), (8, 44)])
def test_keys_and_profiles_that_do_not_fit_are_refused(profile: int, size: int) -> None:
    for ssrc in (None, 7):
        with pytest.raises(ValueError, match="no context"):
            Context(profile, bytes(size), ssrc)


def test_key_sizes_are_told() -> None:
    assert [LIB.mm_srtp_key_bytes(LIBRARY, profile) for profile in (CM, GCM, 8)] == [30, 28, 0]


# ---- which library -----------------------------------------------------------------------------


def proxy(fault: str) -> Path:
    flags = ("-O2", f'-DREAL="{BUNDLED}"', f"-D{fault}")
    return library_path(HERE / "proxy_srtp.c", flags=flags)


def test_bundled_library_does_not_allocate_and_has_both_profiles() -> None:
    version, has_gcm, allocates = struct.unpack_from("Iii", LIBRARY.raw, 8)
    assert version >> 24 == 2
    assert (has_gcm, allocates) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("ALLOCATES", "AES_CM_128_HMAC_SHA1_80 allocates memory for each packet"),
        ("REPEATS", "AES_CM_128_HMAC_SHA1_80 lets a replay pass"),
        ("FORGETS", "AES_CM_128_HMAC_SHA1_80 lets a forgery pass"),
    ],
)
def test_a_library_with_one_fault_is_refused(fault: str, says: str) -> None:
    assert open_library(proxy(fault))[1] == f"libsrtp's self-test: {says}"


def test_a_good_library_behind_a_proxy_is_taken() -> None:
    assert open_library(proxy("NO_FAULT"))[1] == ""


def test_a_library_that_protects_nothing_is_refused() -> None:
    toy = library_path(FUZZ / "toy_srtp.c")
    assert open_library(toy)[1].endswith("protects wrongly")


def test_another_major_version_is_refused() -> None:
    toy = library_path(FUZZ / "toy_srtp.c", flags=("-O2", "-DTOY_VERSION=0x03010000u"))
    assert open_library(toy)[1] == f"{toy} is libsrtp 3.1, expected 2.x"


def test_a_library_without_the_symbols_is_refused() -> None:
    other = library_path("rtp.c")
    memory, said = open_library(other)
    assert said == f"{other} has no srtp_get_version"
    assert memory.raw == bytes(256)
    assert "no-such-file" in open_library("/no-such-file")[1]


@pytest.mark.parametrize(
    ("call", "size", "allocates"),
    [
        ("nothing", 0, 0),
        ("once_a_thread", 0, 0),
        *(("give_back", size, 1) for size in (1, 24, 100, 500, 1000)),
        *(("keep_it", size, 1) for size in (1, 24, 100, 500, 1000, 5000)),
    ],
)
def test_the_probe_sees_allocations_even_when_given_back(
    call: str, size: int, allocates: int
) -> None:
    calls = library(HERE / "allocations.c", flags=("-O0",))
    probe = LIB.mm_shared_library_allocates
    probe.argtypes = [c.c_void_p, c.c_void_p, c.c_int]
    address = c.cast(getattr(calls, call), c.c_void_p)
    assert probe(address, size, 100) == allocates
