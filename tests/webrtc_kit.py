"""WebRTC without sockets and engine: ports, peers and legs that note, and a far end by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from aioice import stun

from mixminus.media.bridge import Leg
from mixminus.media.peer import PeerSettings, Tone
from mixminus.media.platform import MediaPlatform
from mixminus.media.port import Datagram
from mixminus.media.transports.dtls import Certificate, DtlsSession, process_certificate
from mixminus.media.transports.webrtc import WebRtcTransport
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint
from tests.offers import CHROMIUM

Address = tuple[str, int]


class FakePeer:
    def __init__(self, settings: PeerSettings) -> None:
        self.settings = settings
        self.ssrc = settings.ssrc
        self.destination: Any = (None, None)
        self.keys: tuple[int, bytes, bytes] | None = None
        self.last_heard_ns = 0
        self.checks_heard = 0
        self.counts = {"received": 0, "sent_packets": 0, "byes_heard": 0, "byes_sent": 0}
        self.tones: list[Tone] = []
        self.says_bye = False

    def set_destination(self, port: FakePort | None, address: Address | None) -> None:
        self.destination = (port, address)

    def set_keys(self, profile: int, *, receive: bytes, send: bytes) -> None:
        assert self.keys is None
        self.keys = (profile, receive, send)

    def heard(self) -> None:
        self.checks_heard += 1

    def counters(self) -> dict[str, int]:
        return dict(self.counts)

    def read_tones(self) -> list[Tone]:
        tones, self.tones = self.tones, []
        return tones

    def say_bye(self) -> None:
        assert self.destination[0] is not None, "nobody to say it to"
        self.says_bye = True


class FakePort:
    """Notes what happened, in order; lets DTLS in by its routes, as the real one."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.on_datagram: Callable[[Datagram], None] = lambda _: None
        self.routes: dict[Address, FakePeer] = {}
        self.sent: list[tuple[bytes, Address]] = []
        self.log: list[str] = []
        self.is_closed = False

    def send(self, data: bytes, address: Address) -> bool:
        self.sent.append((data, address))
        self.log.append("send")
        return True

    def set_route(self, address: Address, peer: FakePeer) -> None:
        self.routes[address] = peer
        self.log.append("route")

    def remove_route(self, address: Address) -> None:
        self.routes.pop(address, None)

    def counters(self) -> dict[str, int]:
        return {"received": 1}

    def close(self) -> None:
        self.is_closed = True

    def take(self, kind: str, data: bytes, source: Address) -> list[bytes]:
        """A datagram comes; returns what is sent back to where it came from."""
        if kind == "dtls" and source not in self.routes:
            return []
        before = len(self.sent)
        self.on_datagram(Datagram(cast(Any, kind), source, data, 0))
        return [data for data, to in self.sent[before:] if to == source]


class FakeLeg:
    def __init__(self) -> None:
        self.peer: Any = None
        self.is_closed = False

    def attach(self, peer: FakePeer | None) -> None:
        if self.is_closed:
            raise RuntimeError("the leg is closed")
        self.peer = peer


class FakePlatform:
    def __init__(self) -> None:
        self.ports: list[FakePort] = []
        self.peers: list[FakePeer] = []
        self.callbacks: list[Callable[[], None]] = []
        self.taken: set[Address] = set()

    def open_port(self, host: str, port: int = 0) -> FakePort:
        number = port or 40_000 + len(self.ports)
        if (host, number) in self.taken:
            raise OSError(98, "taken")
        self.ports.append(FakePort((host, number)))
        return self.ports[-1]

    def make_peer(self, settings: PeerSettings) -> FakePeer:
        self.peers.append(FakePeer(settings))
        return self.peers[-1]

    def on_tick(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def tick(self, *, says_byes: bool = True) -> None:
        for peer in self.peers:
            if peer.says_bye and says_byes:
                peer.counts["byes_sent"] = 1
        for callback in tuple(self.callbacks):
            callback()

    async def endpoint(self, **settings: Any) -> WebRtcEndpoint:
        return await WebRtcEndpoint.open(cast(MediaPlatform, self), **settings)


def make(endpoint: WebRtcEndpoint, leg: FakeLeg | None = None) -> WebRtcTransport:
    return endpoint.make(cast(Leg, leg or FakeLeg()))


def credentials(answer: str) -> tuple[str, str]:
    """The ufrag and password that an answer tells."""
    return (
        cast(re.Match[str], re.search(r"a=ice-ufrag:(\S+)", answer))[1],
        cast(re.Match[str], re.search(r"a=ice-pwd:(\S+)", answer))[1],
    )


def binding_request(
    ufrag: str,
    password: str,
    *,
    nominates: bool = False,
    priority: int = 1_000,
    controlled: bool = False,
    **more: Any,
) -> bytes:
    attributes: dict[str, Any] = {
        "USERNAME": f"{ufrag}:far",
        "PRIORITY": priority,
        "ICE-CONTROLLED" if controlled else "ICE-CONTROLLING": 5,
        **more,
    }
    if nominates:
        attributes["USE-CANDIDATE"] = None
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    request.add_message_integrity(password.encode())
    return bytes(request)


class FarEnd:
    """A browser by hand: its offer, its checks, its DTLS."""

    certificate = Certificate.generate()

    def __init__(
        self,
        port: FakePort,
        address: Address = ("192.0.2.9", 5_000),
        *,
        is_dtls_client: bool = True,
        shows: Certificate | None = None,
    ) -> None:
        self.port = port
        self.address = address
        self.ufrag = self.password = ""
        self.dtls = DtlsSession(
            [process_certificate().fingerprint],
            is_client=is_dtls_client,
            certificate=shows or self.certificate,
        )

    def offer(self, text: str = CHROMIUM) -> str:
        digest = self.certificate.fingerprint.digest.hex(":").upper()
        return re.sub(r"(a=fingerprint:sha-256 )\S+", rf"\g<1>{digest}", text)

    def take(self, answer: str) -> None:
        self.ufrag, self.password = credentials(answer)

    def check(self, *, nominates: bool = False, **how: Any) -> stun.Message | None:
        """Make one ICE check; return what was answered."""
        request = binding_request(self.ufrag, self.password, nominates=nominates, **how)
        answers = self.port.take("stun", request, self.address)
        for answer in answers:
            if answer[0] < 4:
                message = stun.parse_message(answer)
                assert message.check_message_integrity(self.password.encode())
                return message
        return None

    def shake_hands(self) -> None:
        """Carry DTLS until neither end has more to say."""
        self.dtls.start()
        self.carry()

    def carry(self) -> None:
        moved = True
        while moved:
            moved = False
            for datagram in self.dtls.outgoing():
                moved = True
                for answer in self.port.take("dtls", datagram, self.address):
                    self.dtls.receive(answer)

    async def connect(self, transport: WebRtcTransport, offer: str = CHROMIUM) -> None:
        self.take(await transport.answer(self.offer(offer)))
        self.check()
        self.check(nominates=True)
        self.shake_hands()
        await transport.connected(1.0)
