"""A WebRTC caller at packet level: ICE checks, DTLS, SRTP, and nothing that decides by itself.

Datagrams in, datagrams out, time as an argument; the socket belongs to the generator.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import pylibsrtp
from aioice import stun
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from benchmarks.load.datagrams import Address

PROFILE = "SRTP_AES128_CM_SHA1_80"
"""The one that all must have (RFC 8827 section 6.5); all that is compared uses it."""
KEY_BYTES, SALT_BYTES = 16, 14
KEYS_LABEL = b"EXTRACTOR-dtls_srtp"
CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
DTLS_BYTES = 1500

CHECK_NS = 200_000_000
"""Between two checks until one was answered."""
CONSENT_NS = 5_000_000_000
"""RFC 7675 section 5.1."""
DTLS_TIMER_NS = 250_000_000

PAYLOAD_TYPE = 96
LEVEL_ID = 1


class Identity:
    """The certificate of all callers of a process: a load generator needs no more."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "load")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_cipher_list(CIPHERS)
        self.context.set_tlsext_use_srtp(PROFILE.encode())
        # The far end's fingerprint is not looked at: nobody is between on this machine.
        self.context.set_verify(SSL.VERIFY_PEER, lambda *_: True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the answer of a call says."""

    ufrag: str
    password: str
    address: Address
    active: bool
    payload_type: int


def parse_answer(sdp: str) -> Answer:
    """Read an answer.

    Raises: ValueError naming what it lacks.
    """

    def value(pattern: str, what: str) -> str:
        found = re.search(pattern, sdp, re.MULTILINE)
        if found is None:
            raise ValueError(f"expected {what} in the answer")
        return found[1].strip()

    candidates = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", sdp, re.M | re.I)
    usable = [(host, int(port)) for host, port in candidates if _is_ipv4(host)]
    if not usable:
        raise ValueError("expected an IPv4 candidate in the answer")
    return Answer(
        ufrag=value(r"^a=ice-ufrag:(.*)$", "ice-ufrag"),
        password=value(r"^a=ice-pwd:(.*)$", "ice-pwd"),
        address=usable[0],
        active=value(r"^a=setup:(.*)$", "setup") == "active",
        payload_type=int(value(r"^a=rtpmap:(\d+) opus/48000/2", "Opus")),
    )


def _is_ipv4(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 4
    except ValueError:
        return False


@dataclass(slots=True)
class Keys:
    """SRTP both ways."""

    send: pylibsrtp.Session
    receive: pylibsrtp.Session


@dataclass
class WebRtcCaller:
    """One caller: makes the offer, is controlling, connects, then has :attr:`keys`."""

    identity: Identity
    address: Address
    ssrc: int
    ufrag: str = field(default_factory=lambda: secrets.token_hex(4))
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    keys: Keys | None = None
    valid: bool = False
    answer: Answer | None = None
    _dtls: SSL.Connection | None = None
    _next_check_ns: int = 0
    _next_timer_ns: int = 0

    def offer(self) -> str:
        host, port = self.address
        lines = (
            "v=0",
            f"o=- {self.ssrc} 2 IN IP4 {host}",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            f"m=audio {port} UDP/TLS/RTP/SAVPF {PAYLOAD_TYPE}",
            f"c=IN IP4 {host}",
            f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
            "a=end-of-candidates",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.identity.fingerprint}",
            "a=setup:actpass",
            "a=mid:0",
            f"a=extmap:{LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "a=sendrecv",
            f"a=msid:load audio-{self.ssrc}",
            "a=rtcp-mux",
            f"a=rtpmap:{PAYLOAD_TYPE} opus/48000/2",
            f"a=fmtp:{PAYLOAD_TYPE} minptime=10;useinbandfec=1",
            f"a=ssrc:{self.ssrc} cname:load-{self.ssrc}",
        )
        return "\r\n".join(lines) + "\r\n"

    def accept(self, sdp: str) -> None:
        """Take the answer; the next `due` begins to connect."""
        self.answer = parse_answer(sdp)
        self._dtls = SSL.Connection(self.identity.context, None)
        self._dtls.set_ciphertext_mtu(1200)
        if self.answer.active:
            self._dtls.set_accept_state()
        else:
            self._dtls.set_connect_state()

    def due(self, now_ns: int) -> Iterator[bytes]:
        """Yield what is to be sent now: checks, and DTLS again when it was lost."""
        if self.answer is None:
            return
        if now_ns >= self._next_check_ns:
            self._next_check_ns = now_ns + (CONSENT_NS if self.valid else CHECK_NS)
            yield self._check()
        if self.valid and self.keys is None and now_ns >= self._next_timer_ns:
            self._next_timer_ns = now_ns + DTLS_TIMER_NS
            assert self._dtls is not None
            self._dtls.DTLSv1_handle_timeout()
            yield from self._shake_hands()

    def take(self, datagram: bytes, sender: Address) -> Iterator[bytes]:
        """Take a STUN or DTLS datagram and yield what it asks for."""
        if datagram[0] < 4:
            yield from self._take_stun(datagram, sender)
        elif 20 <= datagram[0] < 64 and self._dtls is not None and self.keys is None:
            self._dtls.bio_write(datagram)
            yield from self._shake_hands()

    def _check(self) -> bytes:
        assert self.answer is not None
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.answer.ufrag}:{self.ufrag}"
        request.attributes["PRIORITY"] = 1853824767
        request.attributes["ICE-CONTROLLING"] = self.ssrc
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self.answer.password.encode())
        request.add_fingerprint()
        return bytes(request)

    def _take_stun(self, datagram: bytes, sender: Address) -> Iterator[bytes]:
        message = stun.parse_message(datagram)
        if message.message_class == stun.Class.RESPONSE:
            self.valid = True
        elif message.message_class == stun.Class.REQUEST:
            response = stun.Message(
                stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=message.transaction_id
            )
            response.attributes["XOR-MAPPED-ADDRESS"] = sender
            response.add_message_integrity(self.password.encode())
            response.add_fingerprint()
            yield bytes(response)

    def _shake_hands(self) -> Iterator[bytes]:
        assert self._dtls is not None
        try:
            self._dtls.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            self.keys = self._take_keys(self._dtls)
        while True:
            try:
                yield self._dtls.bio_read(DTLS_BYTES)
            except SSL.WantReadError:
                return

    def _take_keys(self, dtls: SSL.Connection) -> Keys:
        assert self.answer is not None
        chosen = dtls.get_selected_srtp_profile().decode()
        if chosen != PROFILE:
            raise ValueError(f"expected {PROFILE}, got {chosen!r}")
        material = dtls.export_keying_material(KEYS_LABEL, 2 * (KEY_BYTES + SALT_BYTES))
        client = _key_and_salt(material, 0)
        server = _key_and_salt(material, 1)
        send, receive = (server, client) if self.answer.active else (client, server)
        policy = pylibsrtp.Policy
        return Keys(
            pylibsrtp.Session(policy(key=send, ssrc_type=policy.SSRC_ANY_OUTBOUND)),
            pylibsrtp.Session(policy(key=receive, ssrc_type=policy.SSRC_ANY_INBOUND)),
        )


def _key_and_salt(material: bytes, side: int) -> bytes:
    key = material[side * KEY_BYTES : (side + 1) * KEY_BYTES]
    begin = 2 * KEY_BYTES + side * SALT_BYTES
    return key + material[begin : begin + SALT_BYTES]
