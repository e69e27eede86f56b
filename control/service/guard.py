"""The guard of every address that comes from outside: whether this service may connect to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

DEFAULT_PORTS = {"https": 443, "wss": 443}


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

    async def pin(self, uri: str) -> str | None:
        """Return the address that *uri* may be reached at, or None when any will do.

        The connection must go to that very address: a name may mean another one a moment later.

        Raises: AddressRefusedError when the name is unknown or means a network that is not public.
        """
        if self._allow_private:
            return None
        parts = urlsplit(uri)
        host = parts.hostname or ""
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
            return await self._resolve(host, port)


def is_public(address: Address) -> bool:
    """Say whether *address* is one of the public Internet, seen through its IPv6 disguises."""
    if isinstance(address, IPv6Address):
        # 64:ff9b::/96 (RFC 6052), 2002::/16 (6to4) and ::ffff:0:0/96 carry an IPv4 address.
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.packed[:12] == bytes.fromhex("0064ff9b") + bytes(8):
            inner = IPv4Address(address.packed[12:])
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
