"""Where a PostgreSQL database is, and how that is said without its password."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ..base import StoreUrlError

CONNECT_S: Final = 5
"""How long making the connection may take."""

# A server whose machine is gone is noticed within half a minute; the URL may say otherwise.
DEFAULTS: Final = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",
}
APPLICATION_NAME_BYTES: Final = 63
"""What PostgreSQL keeps of one."""


@dataclass(frozen=True, slots=True)
class Address:
    """What to connect with; ``shown`` is what may be said of it. Made by :func:`parse`."""

    shown: str
    parameters: dict[str, Any] = field(repr=False)

    def clean(self, error: Exception) -> str:
        """Return what *error* says, in one line and without the password."""
        words = " ".join(str(error).split()) or type(error).__name__
        for name in ("password", "sslpassword"):
            secret = self.parameters.get(name)
            if secret:
                for form in {secret, quote(secret, safe="")}:
                    words = words.replace(form, "***")
        return words

    def with_name(self, instance: str) -> dict[str, Any]:
        """Return the parameters of a connection that tells others who has it."""
        name = f"mixminus {socket.gethostname()[:32]}:{os.getpid()} {instance[:8]}"
        return {**DEFAULTS, **self.parameters, "application_name": name[:APPLICATION_NAME_BYTES]}


def parse(url: str) -> Address:
    """Return the address that *url* gives.

    Raises: StoreUrlError, which says nothing of it: any part may be a misplaced password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgresql", "postgres"):
        raise StoreUrlError("store_url: expected postgresql://user@host:port/database")
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        raise _unreadable() from None
    user, host = parameters.get("user"), str(parameters.get("host") or "")
    port, name = str(parameters.get("port") or ""), parameters.get("dbname")
    # A password that is not escaped: its rest has become a host, a port or the database's name.
    before_query = rest.partition("?")[0]
    at = before_query.rfind("@")
    if before_query.count("@") > 1 or -1 < before_query.find("/") < at:
        raise _unreadable()
    if not all(one.isdecimal() for one in port.split(",") if one):
        raise _unreadable()
    shown = "postgresql://" + (f"{user}@" if user else "") + host
    shown += (f":{port}" if port else "") + (f"/{name}" if name else "")
    return Address(shown, dict(parameters))


def _unreadable() -> StoreUrlError:
    return StoreUrlError(
        "store_url: expected postgresql://user:password@host:port/database, with %40 for @, %3A"
        " for : and %2F for / in a password"
    )
