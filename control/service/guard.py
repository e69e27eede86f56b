"""The guard of every address that comes from outside: whether this service may connect to it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

DEFAULT_PORTS: Final = {"https": 443, "wss": 443, "net.tcp": 808}
SCHEMES: Final = ("https", "wss")
"""What is connected to: HTTPS for all that is posted or fetched, WSS for a bot's media link."""

MAX_URI_CHARS: Final = 2048

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out; beyond it are only special addresses, some not yet in Python."""
NAT64: Final = IPv6Network("64:ff9b::/96")

_NOT_IN_A_URI = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)\Z")


class AddressRefusedError(ValueError):
    """This service does not connect to that address; the message says why."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of *host*, in the system's order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class AddressGuard:
    """Refuses private, local and reserved addresses unless they are allowed."""

    def __init__(self, *, allow_private: bool, resolver: Resolver = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolver

    async def pin(self, uri: str, schemes: tuple[str, ...] = SCHEMES) -> str | None:
        """Return the address that *uri* may be reached at, or None when any will do.

        The connection must go to that very address: a name may mean another one a moment later.

        Raises: AddressRefusedError when *uri* has another scheme or no proper host, and when its
                name is unknown or means a network that is not public.
        """
        parts = checked(uri, schemes)
        if self._allow_private:
            return None
        host = (parts.hostname or "").removesuffix(".")
        if host == "localhost" or host.endswith(".localhost"):
            # RFC 6761 section 6.3: never anything else, whatever a resolver says.
            raise AddressRefusedError(f"the host {host!r} is not on a public network")
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        try:
            addresses = [
                ip_address(text.partition("%")[0]) for text in await self._find(host, port)
            ]
        except (OSError, ValueError):
            raise AddressRefusedError(f"the host {host!r} has no address") from None
        if not addresses or not all(is_public(address) for address in addresses):
            raise AddressRefusedError(f"the host {host!r} is not on a public network")
        return str(addresses[0])

    async def _find(self, host: str, port: int) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            if _NUMBER.match(host.rpartition(".")[2]):
                # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to a resolver, and to nobody else.
                raise
            return await self._resolve(host, port)


def checked(uri: str, schemes: tuple[str, ...] = SCHEMES) -> SplitResult:
    """Take *uri* apart if it is one that every reader takes apart alike.

    Raises: AddressRefusedError naming what was expected and what came.
    """
    if len(uri) > MAX_URI_CHARS:
        raise AddressRefusedError(f"expected at most {MAX_URI_CHARS} characters, got {len(uri)}")
    if _NOT_IN_A_URI.search(uri) or not uri.isascii():
        raise AddressRefusedError(
            "expected a URI of ASCII without spaces and backslashes (a host name in punycode)"
        )
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise AddressRefusedError(f"expected a URI, got one that is broken: {error}") from None
    if parts.scheme not in schemes:
        expected = " or ".join(schemes)
        raise AddressRefusedError(f"expected a URI of {expected}, got {parts.scheme or 'none'!r}")
    if "@" in parts.netloc:
        raise AddressRefusedError("expected a URI without user information")
    if not parts.hostname or "%" in parts.netloc or port == 0:
        raise AddressRefusedError("expected a URI with a host name")
    return parts


def is_public(address: Address) -> bool:
    """Say whether *address* is one of the public Internet, seen through its IPv6 disguises."""
    if isinstance(address, IPv6Address):
        # 64:ff9b::/96 (RFC 6052), 2002::/16 (6to4) and ::ffff:0:0/96 carry an IPv4 address.
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = IPv4Address(address.packed[12:])
        if inner is not None:
            return is_public(inner)
        if address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast
