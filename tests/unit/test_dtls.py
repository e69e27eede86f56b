"""Two ends of DTLS-SRTP without a socket: keys, refusals, losses, and whatever strangers send."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

from mixminus.media.transports.dtls import (
    AES_128_CM_SHA1_80,
    AES_128_GCM,
    MTU_BYTES,
    Certificate,
    DtlsSession,
    DtlsState,
    SrtpProfile,
    process_certificate,
)
from mixminus.media.transports.sdp_answer import Fingerprint

OTHER = Certificate.generate()


def ends(
    *,
    server_profiles: tuple[SrtpProfile, ...] = (AES_128_GCM, AES_128_CM_SHA1_80),
    told: Fingerprint | None = None,
) -> tuple[DtlsSession, DtlsSession]:
    """A server, told of the client's certificate or of *told*, and a client elsewhere."""
    server = DtlsSession([told or OTHER.fingerprint], is_client=False, profiles=server_profiles)
    client = DtlsSession([process_certificate().fingerprint], is_client=True, certificate=OTHER)
    return server, client


def carry(
    server: DtlsSession, client: DtlsSession, pass_on: Callable[[bytes], bool] = lambda _: True
) -> None:
    """Begin, and carry datagrams until neither has any."""
    client.start()
    carry_on(server, client, pass_on)


def carry_on(
    server: DtlsSession, client: DtlsSession, pass_on: Callable[[bytes], bool] = lambda _: True
) -> None:
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.outgoing():
                moved = True
                if pass_on(datagram):
                    receiver.receive(datagram)


@pytest.mark.parametrize(
    ("profiles", "agreed"),
    [
        ((AES_128_GCM, AES_128_CM_SHA1_80), AES_128_GCM),
        ((AES_128_CM_SHA1_80,), AES_128_CM_SHA1_80),
    ],
)
def test_both_ends_come_to_the_same_keys(
    profiles: tuple[SrtpProfile, ...], agreed: SrtpProfile
) -> None:
    server, client = ends(server_profiles=profiles)
    carry(server, client)
    assert server.keys is not None
    assert client.keys is not None
    assert server.keys.profile == client.keys.profile == agreed
    assert server.keys.receive == client.keys.send
    assert server.keys.send == client.keys.receive
    assert server.keys.send != server.keys.receive
    assert len(server.keys.send) == agreed.key_bytes + agreed.salt_bytes
    assert server.timeout_s is client.timeout_s is None
    assert server.dropped == client.dropped == 0
    assert "keys" not in repr(server.keys).lower().replace("srtpkeys", "")


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_another_certificate_than_was_told_gives_no_keys(algorithm: str) -> None:
    digest = bytearray(
        OTHER.certificate.fingerprint(
            {"sha-256": hashes.SHA256(), "sha-384": hashes.SHA384(), "sha-512": hashes.SHA512()}[
                algorithm
            ]
        )
    )
    server, client = ends(told=Fingerprint(algorithm, bytes(digest)))
    carry(server, client)
    assert server.state is DtlsState.OPEN
    digest[-1] ^= 1
    server, client = ends(told=Fingerprint(algorithm, bytes(digest)))
    carry(server, client)
    assert server.state is DtlsState.FAILED
    assert server.keys is None
    assert "certificate" in server.reason
    # It is told at once, and not left to wait.
    assert client.state is DtlsState.CLOSED


def test_every_algorithm_that_was_told_has_to_agree() -> None:
    good = OTHER.fingerprint
    for wrong in (Fingerprint("sha-512", bytes(64)), Fingerprint("sha-384", bytes(48))):
        server = DtlsSession([good, wrong], is_client=False)
        carry(server, ends()[1])
        assert server.state is DtlsState.FAILED
    either = DtlsSession([Fingerprint("sha-256", bytes(32)), good], is_client=False)
    carry(either, ends()[1])
    assert either.state is DtlsState.OPEN


def test_without_a_fingerprint_there_is_no_session() -> None:
    with pytest.raises(ValueError, match="at least one fingerprint"):
        DtlsSession([], is_client=False)


def test_a_client_without_a_certificate_gets_no_keys() -> None:
    server, _ = ends()
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    context.set_tlsext_use_srtp(AES_128_GCM.name)
    nameless = SSL.Connection(context)
    nameless.set_connect_state()
    for _ in range(8):
        with pytest.raises(SSL.WantReadError):
            nameless.do_handshake()
        try:
            server.receive(nameless.bio_read(4096))
        except SSL.WantReadError:
            break
        for datagram in server.outgoing():
            nameless.bio_write(datagram)
    assert server.state is DtlsState.HANDSHAKE
    assert "certificate" in server.reason
    assert server.keys is None


@pytest.mark.slow
@pytest.mark.parametrize("lost", range(4))
def test_what_is_lost_is_sent_again(lost: int) -> None:
    server, client = ends()
    seen = 0

    def pass_on(_: bytes) -> bool:
        nonlocal seen
        seen += 1
        return seen - 1 != lost

    carry(server, client, pass_on)
    for _ in range(3):
        for end in (client, server):
            timeout_s = end.timeout_s
            if timeout_s is not None:
                assert 0 <= timeout_s <= 60
                time.sleep(timeout_s)  # OpenSSL's own timer, by the wall clock.
                end.handle_timeout()
        carry_on(server, client)
        if server.state is client.state is DtlsState.OPEN:
            break
    assert server.state is client.state is DtlsState.OPEN
    assert server.keys is not None


def test_garbage_before_and_within_a_handshake_is_dropped() -> None:
    server, client = ends()
    noise = random.Random(7)
    forged = 0

    def with_garbage(datagram: bytes) -> bool:
        nonlocal forged
        for end in (server, client):
            if end.state is not DtlsState.HANDSHAKE:
                continue
            for garbage in (
                noise.randbytes(noise.randrange(1, 200)),
                bytes([noise.randrange(20, 24)]) + b"\xfe\xfd" + noise.randbytes(100),
                b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",  # An alert: handshake failure.
                datagram[:-1],
                datagram[: len(datagram) // 2],
                b"",
                b"\x16" * 4000,
            ):
                end.receive(garbage)
                forged += 1
        return True

    carry(server, client, with_garbage)
    assert forged > 20
    assert server.state is client.state is DtlsState.OPEN
    assert server.dropped > 10


def test_a_strangers_client_hello_does_not_end_a_servers_handshake() -> None:
    for seed in range(20):
        server, client = ends()
        _, stranger = ends()
        stranger.start()
        (hello,) = stranger.outgoing()
        noise = random.Random(seed)
        server.receive(hello)
        spoiled = bytearray(hello)
        for _ in range(8):
            spoiled[noise.randrange(13, len(spoiled))] = noise.randrange(256)
        server.receive(bytes(spoiled))
        # What it answered goes to the stranger, not to the client.
        assert all(len(datagram) <= MTU_BYTES for datagram in server.outgoing())
        carry(server, client)
        assert server.state in (DtlsState.OPEN, DtlsState.HANDSHAKE)


def test_ten_thousand_random_datagrams_raise_nothing() -> None:
    noise = random.Random(11)
    server, client = ends()
    client.start()
    (hello,) = client.outgoing()
    for _ in range(10_000):
        spoiled = bytearray(hello[: noise.randrange(1, len(hello) + 1)])
        for _ in range(noise.randrange(5)):
            spoiled[noise.randrange(len(spoiled))] = noise.randrange(256)
        server.receive(bytes(spoiled))
        for datagram in server.outgoing():
            assert len(datagram) <= MTU_BYTES
        if server.state is DtlsState.FAILED:
            assert server.reason
            server, _ = ends()
    assert server.keys is None


def test_a_close_is_heard_by_the_other_end() -> None:
    for closing_first in (0, 1):
        pair = ends()
        carry(*pair)
        near, far = pair[closing_first], pair[1 - closing_first]
        near.close()
        near.close()
        for datagram in near.outgoing():
            far.receive(datagram)
        assert near.state is far.state is DtlsState.CLOSED
        assert far.reason == "the far end closed the connection"
        far.receive(b"\x17\xfe\xfd" + bytes(50))


def test_renegotiation_is_refused() -> None:
    server, _ = ends()
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_max_proto_version(0xFEFD)
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    context.use_certificate(OTHER.certificate)
    context.use_privatekey(OTHER.key)
    context.set_tlsext_use_srtp(AES_128_GCM.name)
    stubborn = SSL.Connection(context)
    stubborn.set_connect_state()
    for _ in range(4):
        with suppress(SSL.WantReadError):
            stubborn.do_handshake()
        exchange(stubborn, server)
    assert server.state is DtlsState.OPEN
    keys = server.keys
    stubborn.renegotiate()
    with suppress(SSL.WantReadError):
        stubborn.do_handshake()
    exchange(stubborn, server)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        stubborn.do_handshake()
    assert server.keys is keys


def exchange(connection: SSL.Connection, end: DtlsSession) -> None:
    with suppress(SSL.WantReadError):
        end.receive(connection.bio_read(4096))
    for datagram in end.outgoing():
        connection.bio_write(datagram)
