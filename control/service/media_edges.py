"""The service's own media edges: WebRTC to callers, the media link to bots, RTP to gateways."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mixminus.media.bridge import Leg
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.libraries import BoundLibrary, CodecLibraries, codec_libraries
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.aiortc_transport import AiortcTransport
from mixminus.media.transports.base import Transport
from mixminus.media.transports.link import LinkError, connect_link
from mixminus.media.transports.opus_settings import OpusSettings
from mixminus.media.transports.rtp import RtpEndpoint, RtpTransport
from mixminus.media.transports.rtp_parameters import RtpParameters
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint

from ..tls import client_context
from .edges import CallerTransport, MediaEdges
from .guard import AddressGuard, AddressRefusedError
from .phones import RtpScript
from .settings import ServiceSettings

log = logging.getLogger("mixminus.control.service")


class MediaPortError(OSError):
    """Media cannot be received where the settings say; the message says what to change."""


@asynccontextmanager
async def open_edges(
    platform: MediaPlatform, settings: ServiceSettings, ca_file: Path
) -> AsyncIterator[MediaEdges]:
    """Reach callers by WebRTC, bots by the media link, telephones behind gateways by RTP.

    Callers share one port of the engine; where that lacks libopus or libsrtp, each has a peer
    connection of PyAV and aiortc instead, with ports of its own.
    Raises: MediaPortError.
    """
    libraries = codec_libraries()
    is_native = libraries.opus is not None and libraries.srtp is not None
    async with AsyncExitStack() as exits:
        make_caller: Callable[[Leg], CallerTransport]
        counters: Callable[[], dict[str, int]]
        if is_native:
            callers = await _webrtc_endpoint(platform, settings)
            exits.push_async_callback(callers.close)
            make_caller, counters = callers.make, callers.counters
        else:
            for problem in libraries.problems:
                log.warning("%s; aiortc and PyAV carry callers, at more cost", problem)
            _expect_addresses(settings)
            make_caller = partial(AiortcTransport, platform, bind=settings.media_addresses)
            counters = dict

        async def open_phone_line(script: RtpScript) -> RtpLine:
            if script.codec == "opus" and libraries.opus is None:
                raise ConnectionError("there is no libopus here to speak opus with")
            return await RtpLine.open(platform, settings, script)

        def health() -> Mapping[str, Any]:
            return {"codecs": describe_codecs(libraries), "media": counters()}

        links = _Links(platform, settings, ca_file)
        yield MediaEdges(make_caller, links.connect, open_phone_line, health)


def describe_codecs(libraries: CodecLibraries) -> dict[str, Any]:
    """Return which codec libraries are used, as JSON types."""
    is_native = libraries.opus is not None and libraries.srtp is not None
    return {
        "path": "native" if is_native else "pyav",
        "opus": _library(libraries.opus),
        "srtp": _library(libraries.srtp),
        "problems": list(libraries.problems),
    }


class RtpLine:
    """A port for one call with a gateway: by it the gateway's calls are told apart.

    Made by :meth:`open`. Thread: the loop's.
    """

    def __init__(self, endpoint: RtpEndpoint, parameters: RtpParameters) -> None:
        self._endpoint, self._parameters = endpoint, parameters

    @classmethod
    async def open(
        cls, platform: MediaPlatform, settings: ServiceSettings, script: RtpScript
    ) -> RtpLine:
        """Open a port that reaches the gateway of *script*.

        Raises: OSError when there is no address of ours from which it can be reached.
        """
        parameters = RtpParameters(
            codec=script.codec,
            payload_type=script.payload_type,
            event_type=script.event_type,
            remote=(script.host, script.port),
            learn_address=script.learn_address,
            bit_rate=settings.media_opus_bit_rate,
            complexity=settings.media_opus_complexity,
            fec=settings.media_opus_fec,
            dtx=settings.media_opus_dtx,
        )
        bind = _address_towards(script, settings.media_addresses)
        return cls(await RtpEndpoint.open(platform, bind=bind), parameters)

    @property
    def address(self) -> tuple[str, int]:
        """Where the gateway has to send to."""
        return self._endpoint.address

    def carry(self, leg: Leg) -> RtpTransport:
        """Carry *leg* to and from the gateway; once."""
        return self._endpoint.connect(leg, self._parameters)

    async def close(self) -> None:
        """Say goodbye, and let go of the port. Again is no error."""
        await self._endpoint.close()


class _Links:
    """Connects to bots' media endpoints."""

    def __init__(self, platform: MediaPlatform, settings: ServiceSettings, ca_file: Path) -> None:
        self._platform = platform
        self._ssl_context = client_context(ca_file, system_roots=True)
        self._guard = AddressGuard(allow_private=settings.may_reach_private)

    async def connect(self, leg: Leg, descriptor: MediaSessionDescriptor) -> Transport:
        """Carry *leg* to and from the bot. Raises: LinkError."""
        if descriptor.link_secret is None and descriptor.mp_uri.startswith("wss:"):
            raise LinkError("the blob has no mixminus member: nothing proves the media link")
        try:
            # The name was looked up when the call was made, and may mean another address by now.
            address = await self._guard.pin(descriptor.mp_uri, ("wss", "net.tcp"))
        except AddressRefusedError as error:
            raise LinkError(f"cannot connect to the bot's media: {error}") from None
        return await connect_link(
            self._platform,
            leg,
            mp_uri=descriptor.mp_uri,
            session_id=descriptor.mp_media_session_id,
            secret=descriptor.link_secret or b"",
            ssl_context=self._ssl_context,
            address=address,
            epoch=descriptor.link_epoch,
        )


async def _webrtc_endpoint(platform: MediaPlatform, settings: ServiceSettings) -> WebRtcEndpoint:
    addresses = settings.media_addresses
    try:
        return await WebRtcEndpoint.open(
            platform,
            bind=addresses,
            port=settings.media_port,
            public_address=settings.media_public_address,
            opus=OpusSettings(
                bit_rate=settings.media_opus_bit_rate,
                complexity=settings.media_opus_complexity,
                fec=settings.media_opus_fec,
                dtx=settings.media_opus_dtx,
            ),
        )
    except ValueError as error:
        raise MediaPortError(errno.EINVAL, f"media addresses: {error}") from None
    except OSError as error:
        raise _port_error(error, addresses, settings.media_port) from None


def _expect_addresses(settings: ServiceSettings) -> None:
    """Find out now that an address is not ours, and not at the first call."""
    for address in settings.media_addresses:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        except OSError as error:
            raise _port_error(error, (address,), 0) from None
    if settings.media_port or settings.media_public_address:
        log.warning("media_port and media_public_address have no effect without native media")


def _port_error(error: OSError, addresses: tuple[str, ...], port: int) -> MediaPortError:
    where = ", ".join(addresses)
    if error.errno == errno.EADDRINUSE:
        reason = f"UDP port {port} on {where} is in use: choose another media port, or 0"
    elif error.errno == errno.EADDRNOTAVAIL:
        reason = f"expected addresses of this machine for media, got {where}"
    elif error.errno == errno.EACCES:
        reason = f"UDP port {port} may not be opened by this user: choose one from 1024 on"
    else:
        reason = f"cannot receive media on {where} port {port}: {error.strerror or error}"
    return MediaPortError(error.errno or errno.EIO, reason)


def _address_towards(script: RtpScript, addresses: tuple[str, ...]) -> str:
    """Return the one of *addresses* from which the gateway is reached."""
    remote = ip_address(script.host)
    family = socket.AF_INET6 if remote.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((script.host, script.port))
        own = str(probe.getsockname()[0])
    if own in addresses or any(ip_address(address).is_unspecified for address in addresses):
        return own
    raise ConnectionError(
        f"the gateway {script.host} is reached from {own}, which media may not use: the media"
        f" addresses are {', '.join(addresses)}"
    )


def _library(library: BoundLibrary | None) -> dict[str, str] | None:
    return None if library is None else {"path": str(library.path), "version": library.version}
