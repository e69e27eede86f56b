"""Pages: how long they are, and the signed tokens that lead from one to the next."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ...graph import errors

MAX_SESSIONS: Final = 60
"""Also the size of a page of records."""
MAX_PARTICIPANTS: Final = 130
MAC_BYTES: Final = 16


class SkipTokens:
    """Makes and reads ``$skiptoken``: opaque, and good for nothing but the list it was made for."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, scope: tuple[str, ...], position: int) -> str:
        """Return the token for what comes after *position* in the list that *scope* names."""
        number = position.to_bytes(8, "big")
        return base64.urlsafe_b64encode(self._mac(scope, number) + number).decode()

    def read(self, scope: tuple[str, ...], token: str | None) -> int:
        """Return the position that *token* stands for; without one it is the beginning.

        Raises: GraphError 400 on a token that was not made here for that list.
        """
        if token is None:
            return 0
        try:
            raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        except ValueError:
            raw = b""
        mac, number = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if len(number) != 8 or not hmac.compare_digest(mac, self._mac(scope, number)):
            raise errors.bad_request("$skiptoken: expected the one of a nextLink of this list.")
        return int.from_bytes(number, "big")

    def _mac(self, scope: tuple[str, ...], number: bytes) -> bytes:
        named = json.dumps(scope).encode() + number
        return hmac.digest(self._key, named, hashlib.sha256)[:MAC_BYTES]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a request's Prefer headers ask for. Those not known are passed over (RFC 7240)."""

    max_page_size: int | None = None
    all_enum_members: bool = False
    omit_nulls: bool = False

    @classmethod
    def parse(cls, headers: list[str]) -> Preferences:
        """Read all Prefer headers of a request."""
        asked: dict[str, str] = {}
        for item in ",".join(headers).split(","):
            name, _, value = item.partition(";")[0].partition("=")
            # The first of two counts.
            asked.setdefault(name.strip().casefold(), value.strip().strip('"').casefold())
        size = asked.get("odata.maxpagesize", asked.get("maxpagesize", ""))
        number = int(size) if size.isdecimal() and len(size) < 10 else 0
        return cls(
            max_page_size=number or None,
            all_enum_members="include-unknown-enum-members" in asked,
            omit_nulls=asked.get("omit-values") == "nulls",
        )

    def page_size(self, maximum: int) -> int:
        """Return how long a page is that has at most *maximum* items."""
        return min(self.max_page_size or maximum, maximum)

    def applied(self) -> dict[str, str]:
        """Return the header that says which preferences were honoured."""
        names = []
        if self.max_page_size is not None:
            names.append(f"odata.maxpagesize={self.max_page_size}")
        if self.all_enum_members:
            names.append("include-unknown-enum-members")
        if self.omit_nulls:
            names.append("omit-values=nulls")
        return {"Preference-Applied": ", ".join(names)} if names else {}


def next_link(url: str, options: Mapping[str, str], token: str) -> str:
    """Return the address of the next page: the same list, with the same options."""
    query = "&".join(f"{name}={quote(value, safe='$,()=;:/')}" for name, value in options.items())
    return f"{url}?{query}{'&' if query else ''}$skiptoken={quote(token, safe='')}"
