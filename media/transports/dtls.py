"""DTLS 1.2 for SRTP keys, over pyOpenSSL's public API. Datagrams in, datagrams out, no socket.

Source: RFC 5764 (DTLS-SRTP), RFC 8842 (roles), RFC 8122 (fingerprints), RFC 8827 section 6.5.
"""

from __future__ import annotations

import datetime
import hmac
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from .sdp_answer import Fingerprint

MTU_BYTES: Final = 1200
"""UDP payload that passes every path WebRTC runs over (RFC 8831 section 5 has the same)."""

MAX_DATAGRAM_BYTES: Final = 1500
MAX_RESTARTS: Final = 16
"""How often a handshake is begun again after an error; who provokes more of them is the peer."""

CERTIFICATE_DAYS: Final = 365
CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
)
"""A peer's certificate may be RSA where it is the server; ours is ECDSA."""

_DTLS_1_2: Final = 0xFEFD
_RECORD_HEADER_BYTES: Final = 13
_RECORD_VERSIONS: Final = (b"\xfe\xff", b"\xfe\xfd")
_RECORD_TYPES: Final = range(20, 24)
_ALERT, _HANDSHAKE = 21, 22
_EXPORTER: Final = b"EXTRACTOR-dtls_srtp"
_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """How SRTP is protected, by its number in RFC 5764 and RFC 7714."""

    number: int
    name: bytes
    key_bytes: int
    salt_bytes: int


AES_128_GCM: Final = SrtpProfile(7, b"SRTP_AEAD_AES_128_GCM", 16, 12)
AES_128_CM_SHA1_80: Final = SrtpProfile(1, b"SRTP_AES128_CM_SHA1_80", 16, 14)


@dataclass(frozen=True, slots=True, repr=False)
class SrtpKeys:
    """What a handshake gave: master key and salt, one after the other, of each direction."""

    profile: SrtpProfile
    receive: bytes
    send: bytes


class DtlsState(Enum):
    """How far a session is."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSED = "closed"
    """The far end or we said close_notify."""
    FAILED = "failed"
    """The far end's certificate is not the one that it told of, or no SRTP profile is shared."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate and its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> Fingerprint:
        """Its sha-256, as an SDP tells it."""
        return Fingerprint("sha-256", self.certificate.fingerprint(hashes.SHA256()))

    @classmethod
    def generate(cls) -> Certificate:
        """Make one on P-256."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(16))])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)


@cache
def process_certificate() -> Certificate:
    """Return this process's certificate, made at the first call and nowhere kept."""
    return Certificate.generate()


@cache
def _context(certificate: Certificate, profiles: tuple[SrtpProfile, ...]) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A certificate is demanded; which one it has to be is looked at afterwards, by its fingerprint.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.key)
    context.set_cipher_list(CIPHERS)
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in profiles))
    return context


class DtlsSession:
    """One end of a DTLS association, for SRTP keys alone.

    Thread: one at a time. Driven from outside: after each call send what :meth:`outgoing` has, and
    call :meth:`handle_timeout` when :attr:`timeout_s` has passed.

    Until the handshake is done nothing is authentic, so what is no DTLS is dropped, and an error
    begins the handshake anew: a stray datagram costs at most a retransmission. ``dropped`` counts
    both. Once it is done the certificate's fingerprint is compared, and only then there are keys.
    """

    def __init__(
        self,
        fingerprints: Sequence[Fingerprint],
        *,
        is_client: bool,
        profiles: Sequence[SrtpProfile] = (AES_128_GCM, AES_128_CM_SHA1_80),
        certificate: Certificate | None = None,
    ) -> None:
        if not fingerprints:
            raise ValueError("expected at least one fingerprint of the far end's certificate")
        self._fingerprints = tuple(fingerprints)
        self._is_client = is_client
        self._profiles = tuple(profiles)
        self._certificate = certificate or process_certificate()
        self._outgoing: deque[bytes] = deque()
        self._connection = self._new_connection()
        self._restarts = 0
        self.state = DtlsState.HANDSHAKE
        self.reason = ""
        """Why it failed, or the last error of a handshake that goes on."""
        self.keys: SrtpKeys | None = None
        self.dropped = 0

    @property
    def timeout_s(self) -> float | None:
        """After what time :meth:`handle_timeout` is to be called; None: not at all."""
        if self.state is not DtlsState.HANDSHAKE:
            return None
        return self._connection.DTLSv1_get_timeout()

    def start(self) -> None:
        """Begin, as a client; a server waits for the far end."""
        if self._is_client:
            self._advance()

    def handle_timeout(self) -> None:
        """Send the last flight again."""
        if self.state is not DtlsState.HANDSHAKE:
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._restart(error)
        self._collect()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram from the far end. Raises: nothing, whatever is in it."""
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        if not self._is_worth_reading(datagram):
            self.dropped += 1
            return
        self._connection.bio_write(datagram)
        if self.state is DtlsState.HANDSHAKE:
            self._advance()
        # Also after the handshake: a lost last flight is sent again by what answers here.
        if self.state is DtlsState.OPEN:
            self._read()
        self._collect()

    def outgoing(self) -> Iterator[bytes]:
        """Yield the datagrams that are to be sent, each once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def close(self) -> None:
        """Say close_notify, if there is someone to hear it. Again is no error."""
        if self.state is DtlsState.OPEN:
            try:
                self._connection.shutdown()
            except SSL.Error:
                self.dropped += 1
            self._collect()
        if self.state is not DtlsState.FAILED:
            self.state = DtlsState.CLOSED

    def _new_connection(self) -> SSL.Connection:
        connection = SSL.Connection(_context(self._certificate, self._profiles))
        connection.set_ciphertext_mtu(MTU_BYTES)
        if self._is_client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return connection

    def _is_worth_reading(self, datagram: bytes) -> bool:
        """Whether these are whole records of DTLS, and none that only harms.

        Nobody signs an alert before the keys are there: any stray one would end the handshake. A
        far end that really gave up is noticed by its silence.
        """
        if len(datagram) > MAX_DATAGRAM_BYTES:
            return False
        at = 0
        while at < len(datagram):
            end = _record_end(datagram, at)
            if (
                end > len(datagram)
                or datagram[at] not in _RECORD_TYPES
                or datagram[at + 1 : at + 3] not in _RECORD_VERSIONS
            ):
                return False
            is_plain = datagram[at + 3 : at + 5] == b"\0\0"
            if is_plain and datagram[at] == _ALERT:
                return False
            at = end
        return at > 0

    def _advance(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._restart(error)
        else:
            self._open()
        self._collect()

    def _restart(self, error: SSL.Error) -> None:
        self.dropped += 1
        self._restarts += 1
        self.reason = _explain(error)
        if self._restarts > MAX_RESTARTS:
            self.state = DtlsState.FAILED
            return
        # What it wanted to say of the error is not said: it may not have been the peer's.
        self._connection = self._new_connection()
        if self._is_client:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                return

    def _open(self) -> None:
        self._collect()
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or not self._is_expected(certificate):
            self._fail("the far end's certificate is not the one that its description tells of")
            return
        name = self._connection.get_selected_srtp_profile()
        profile = next((one for one in self._profiles if one.name == name), None)
        if profile is None:
            self._fail("the far end shares no SRTP profile with us")
            return
        key, salt = profile.key_bytes, profile.salt_bytes
        material = self._connection.export_keying_material(_EXPORTER, 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        receive, send = (server, client) if self._is_client else (client, server)
        self.keys = SrtpKeys(profile, receive, send)
        self.reason = ""
        self.state = DtlsState.OPEN

    def _is_expected(self, certificate: x509.Certificate) -> bool:
        """Whether it has one of the digests of every algorithm that was told."""
        for algorithm in {one.algorithm for one in self._fingerprints}:
            digest = certificate.fingerprint(_DIGESTS[algorithm])
            if not any(
                hmac.compare_digest(digest, one.digest)
                for one in self._fingerprints
                if one.algorithm == algorithm
            ):
                return False
        return True

    def _fail(self, reason: str) -> None:
        self.state = DtlsState.FAILED
        self.reason = reason
        self.keys = None
        # The far end has keys, and would take us for connected.
        try:
            self._connection.shutdown()
        except SSL.Error:
            self.dropped += 1

    def _read(self) -> None:
        """Take what is not the handshake's: nothing is expected but close_notify."""
        while True:
            try:
                self._connection.recv(MAX_DATAGRAM_BYTES)
                self.dropped += 1
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                self.reason = "the far end closed the connection"
                self.state = DtlsState.CLOSED
                return
            except SSL.Error as error:
                # Only what was authentic gets here: the far end ended it with a fatal alert.
                self.reason = f"the far end ended DTLS: {_explain(error)}"
                self.state = DtlsState.CLOSED
                return

    def _collect(self) -> None:
        """Cut what OpenSSL wrote back into datagrams: its memory BIO is a stream of bytes."""
        written = bytearray()
        while True:
            try:
                written += self._connection.bio_read(1 << 16)
            except SSL.WantReadError:
                break
        begin = at = 0
        while at < len(written):
            end = _record_end(written, at)
            if end - begin > MTU_BYTES and at > begin:
                self._outgoing.append(bytes(written[begin:at]))
                begin = at
            at = end
        if begin < len(written):
            self._outgoing.append(bytes(written[begin:]))


def _record_end(data: bytes | bytearray, at: int) -> int:
    length = int.from_bytes(data[at + 11 : at + _RECORD_HEADER_BYTES], "big")
    return at + _RECORD_HEADER_BYTES + length


def _explain(error: SSL.Error) -> str:
    """OpenSSL's own words: fixed strings, nothing of the far end's."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(entry[-1]) for entry in entries) or type(error).__name__
