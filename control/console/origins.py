"""Which names a listener goes by, and which pages are its own. Pure.

A page of another site may send requests here with a browser that is signed in, or have its own
name resolved to this machine (DNS rebinding). The Host header gives the second away, Origin and
Sec-Fetch-Site the first. Source: Fetch standard, section 3.2; Fetch Metadata, section 2.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

OWN_SITES = ("same-origin", "none")
"""What Sec-Fetch-Site says of our own page, and of what a person typed."""


@dataclass(frozen=True, slots=True)
class Origins:
    """The names of one listener. With *port*, the Host header must name that port, too.

    ``public_origin`` is what browsers call it through a proxy.
    """

    scheme: str
    hosts: Collection[str]
    port: int | None = None
    public_origin: str | None = None

    def knows_host(self, host: str | None) -> bool:
        """Say whether a Host header is one of ours."""
        if not host:
            return False
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname, parts.port
        except ValueError:
            return False
        if name is None or parts.path or parts.query or parts.fragment or parts.username:
            return False
        if self.public_origin is not None and name == urlsplit(self.public_origin).hostname:
            return True
        if self.port is not None and port != self.port:
            return False
        return name in {known.casefold() for known in self.hosts}

    def of_request(self, host: str) -> str:
        """Return the origin that a browser was at which sent that (known) Host header."""
        public = self.public_origin
        if public is not None and urlsplit(f"//{host}").hostname == urlsplit(public).hostname:
            return public
        return f"{self.scheme}://{host}"

    def is_own(self, origin: str, host: str) -> bool:
        """Say whether a page of *origin* is ours, for a request with that (known) Host header."""
        return origin.casefold() == self.of_request(host).casefold() or origin == self.public_origin
