"""The media link: a leg over a WebSocket between a call service and a bot host.

docs/media-link.md is the definition; the bytes are in link_frames.py, the hello in link_hello.py.
"""

from __future__ import annotations

import asyncio
import secrets
import socket as sockets
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from ..bridge import Leg
from ..fence import Fence
from ..platform import MediaPlatform
from .base import RemoteProtocolError, SpeakerLegs
from .link_connection import CLOSE_TIMEOUT_S
from .link_frames import MAX_MESSAGE_BYTES
from .link_hello import (
    Hello,
    is_proven,
    new_nonce,
    parse_challenge,
    parse_hello,
    parse_welcome,
    write_challenge,
    write_hello,
    write_welcome,
)
from .link_host import HostLink
from .link_service import (
    LinkError,
    LinkRefusedError,
    ServiceLink,
    SpeakerFeed,
    SpeakerFrame,
)
from .message_socket import ClientSocket, MessageSocket, SocketClosedError

__all__ = [
    "Admitted",
    "HostLink",
    "LinkError",
    "LinkGrant",
    "LinkRefusedError",
    "ServiceLink",
    "SpeakerFeed",
    "SpeakerFrame",
    "accept_link",
    "connect_link",
]

REFUSED_CODE: Final = 4401
REFUSED_REASON: Final = "refused"
"""One code and one reason for every refusal: a guess learns nothing from how it failed."""

LATER_CODE: Final = 1013
LATER_REASON: Final = "try again later"
"""RFC 6455 section 7.4, registered since: for who is right to come, and comes too early."""

PUT_OFF: Final = "put off a media link: this process stood still, its calls may be another's now"

PING_INTERVAL_S: Final = 10.0
QUEUE_MESSAGES: Final = 16
WRITE_LIMIT_BYTES: Final = 1024
SEND_BUFFER_BYTES: Final = 16 * 1024
"""What the kernel holds cannot be dropped any more: enough for the packets of 0.3 s in flight."""

SHOWN_URI_CHARS: Final = 200


@dataclass(slots=True)
class LinkGrant:
    """What a link must prove, until when, and the leg it may then carry; *speakers* apart, too.

    The first link makes ``link``. After that, whoever proves the same with a higher epoch or
    attempt takes the place of its socket, for as long as it has not ended. A hello of an epoch
    below *epoch*, the blob's, is of a session before this one.
    Units:  expires_ns on the monotonic clock (``time.monotonic_ns``), for the first.
    """

    secret: bytes
    leg: Leg
    expires_ns: int
    speakers: SpeakerLegs | None = None
    epoch: int = 1
    link: HostLink | None = None
    claim: tuple[int, int] | None = None
    """The epoch and attempt that were admitted last."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A link that was admitted, or that goes on; ``over`` is done when this socket is closed."""

    link: HostLink
    is_resumed: bool
    over: asyncio.Future[None]


# ---- bot host's end ------------------------------------------------------------------------------


async def accept_link(
    platform: MediaPlatform,
    socket: MessageSocket,
    authorize: Callable[[str], LinkGrant | None],
    *,
    fence: Fence | None = None,
    timeout_s: float = 5.0,
) -> Admitted:
    """Challenge a call service, and carry the leg of the session that it proves to be allowed.

    Raises: LinkRefusedError when it proved nothing in time, LinkError when it went away, or the leg
            or the link ended meanwhile, or the fence is shut. All close the socket; a refusal with
            4401 and the same reason whatever was wrong.
    Thread: the platform's loop.

    While *fence* is shut nobody is challenged: the call service is to try again (1013).
    *authorize* says what the named session's link must prove, None when there is no such session.
    A link that lives on after its socket was lost goes on over this one: it is the same object.
    """
    if _is_shut(fence):
        await _close_quietly(socket, LATER_CODE, LATER_REASON)
        raise LinkError(PUT_OFF)
    try:
        async with asyncio.timeout(timeout_s):
            nonce = new_nonce()
            await socket.send(write_challenge(nonce))
            hello = parse_hello(await socket.receive())
            grant = None if _is_shut(fence) else _admit(hello, nonce, authorize)
            if grant is not None:
                await socket.send(write_welcome())
    except (RemoteProtocolError, TimeoutError):
        grant = None
    except ConnectionError as exc:
        await _close_quietly(socket)
        raise LinkError(f"the media link was lost during its hello: {exc}") from exc
    if grant is None and _is_shut(fence):
        # The time that it took was ours: the service may be right to come.
        await _close_quietly(socket, LATER_CODE, LATER_REASON)
        raise LinkError(PUT_OFF)
    if grant is None:
        await _close_quietly(socket, REFUSED_CODE, REFUSED_REASON)
        raise LinkRefusedError("refused a media link that proved no right to a session")
    try:
        return _carry(platform, grant, socket, hello, fence)
    except ConnectionError as exc:
        await _close_quietly(socket)
        raise LinkError(f"let go of a socket that came too late: {exc}") from exc
    except RuntimeError as exc:
        await _close_quietly(socket)
        raise LinkError(f"the media link stands, but its leg ended meanwhile: {exc}") from exc


def _is_shut(fence: Fence | None) -> bool:
    return fence is not None and not fence.is_open


def _admit(
    hello: Hello, nonce: str, authorize: Callable[[str], LinkGrant | None]
) -> LinkGrant | None:
    grant = authorize(hello.session)
    # For a session that does not exist the proof is computed all the same: no clock can tell.
    proven = is_proven(hello, grant.secret if grant else secrets.token_bytes(32), nonce)
    if grant is None or not proven:
        return None
    claim = hello.epoch, hello.attempt
    if grant.claim is None:
        is_due = hello.epoch >= grant.epoch and time.monotonic_ns() < grant.expires_ns
    else:
        is_due = claim > grant.claim and grant.link is not None and not grant.link.closed.done()
    if not is_due:
        return None
    grant.claim = claim
    return grant


def _carry(
    platform: MediaPlatform,
    grant: LinkGrant,
    socket: MessageSocket,
    hello: Hello,
    fence: Fence | None,
) -> Admitted:
    is_resumed = grant.link is not None
    if grant.link is None:
        grant.link = HostLink(
            platform,
            grant.leg,
            socket,
            epoch=hello.epoch,
            speakers=grant.speakers,
            fence=fence,
        )
    elif grant.claim == (hello.epoch, hello.attempt):
        grant.link.resume(socket, hello.epoch)
    else:
        raise ConnectionError("a later connection was admitted meanwhile")
    return Admitted(grant.link, is_resumed, grant.link.over)


async def _close_quietly(socket: MessageSocket, code: int = 1000, reason: str = "") -> None:
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(code, reason)


# ---- call service's end --------------------------------------------------------------------------


async def connect_link(
    platform: MediaPlatform,
    leg: Leg,
    *,
    mp_uri: str,
    session_id: str,
    secret: bytes,
    ssl_context: ssl.SSLContext,
    address: str | None = None,
    epoch: int = 1,
    timeout_s: float = 5.0,
) -> ServiceLink:
    """Connect *leg* to the bot host that *mp_uri* names, at *address* if its name is resolved.

    Raises: LinkError with one line saying what could not be done; it quotes no secret.
    Thread: the platform's loop.
    """
    shown = _check_mp_uri(mp_uri)

    async def dial(attempt: int) -> MessageSocket:
        socket: ClientSocket | None = None
        try:
            async with asyncio.timeout(timeout_s):
                socket = ClientSocket(await _open(mp_uri, address, ssl_context, timeout_s))
                nonce = parse_challenge(await socket.receive())
                await socket.send(write_hello(secret, nonce, session_id, epoch, attempt))
                parse_welcome(await socket.receive())
        except BaseException as exc:
            if socket is not None:
                await _close_quietly(socket)
            # Cancellation and our own bugs pass; what the far end or the network did becomes one
            # error.
            why = _explain(exc)
            if why is None:
                raise
            refused = isinstance(exc, SocketClosedError) and exc.code == REFUSED_CODE
            kind = LinkRefusedError if refused else LinkError
            raise kind(f"cannot connect to {shown}: {why}") from exc
        return socket

    socket = await dial(1)
    try:
        return ServiceLink(platform, leg, socket, epoch=epoch, dial=dial)
    except RuntimeError as exc:
        await _close_quietly(socket)
        raise LinkError(f"the media link stands, but its leg ended meanwhile: {exc}") from exc


def _explain(exc: BaseException) -> str | None:
    if isinstance(exc, SocketClosedError) and exc.code == REFUSED_CODE:
        return "the bot host refused the link's hello"
    if isinstance(exc, RemoteProtocolError):
        return f"the far end speaks no media link ({exc})"
    if isinstance(exc, InvalidHandshake | InvalidURI):
        return f"the far end takes no WebSocket there ({exc})"
    if isinstance(exc, TimeoutError):
        return "it did not answer in time"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed ({exc.reason or exc})"
    if isinstance(exc, OSError):
        return exc.strerror or str(exc) or type(exc).__name__
    return None


def _check_mp_uri(mp_uri: str) -> str:
    """Return *mp_uri* fit to be shown, if the media link can go there."""
    try:
        parts = urlsplit(mp_uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise LinkError("cannot connect to the bot's media: mpUri is no valid URI") from None
    where = f"[{host}]" if host and ":" in host else host or ""
    shown = f"{parts.scheme}://{where}{f':{port}' if port else ''}{parts.path}"
    shown = "".join(c for c in shown if c.isprintable())[:SHOWN_URI_CHARS]
    if parts.scheme != "wss" or not host:
        raise LinkError(
            f"cannot connect to {shown}: this service reaches media over wss:// (the mixminus "
            "media link); what Microsoft's cloud speaks to another mpUri is unpublished"
        )
    return shown


class _Connect(connect):
    """A connection to exactly the address that was asked for."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def _open(
    mp_uri: str, address: str | None, ssl_context: ssl.SSLContext, timeout_s: float
) -> ClientConnection:
    # TLS and the Host header go by the name in the URI, whatever the address.
    elsewhere: dict[str, Any] = {} if address is None else {"host": address}
    connection = await _Connect(
        mp_uri,
        **elsewhere,
        ssl=ssl_context,
        compression=None,
        # Proxies of the environment are not for media.
        proxy=None,
        user_agent_header="mixminus",
        open_timeout=timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_INTERVAL_S,
        max_size=MAX_MESSAGE_BYTES,
        max_queue=QUEUE_MESSAGES,
        write_limit=WRITE_LIMIT_BYTES,
    )
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
    return connection
