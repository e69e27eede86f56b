"""How a request to Azure Communication Services is signed with the resource's access key.

Source: Azure Communication Services, "sign an HTTP request" (HMAC-SHA256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final, Self
from urllib.parse import urlsplit

SIGNED_HEADERS: Final = "x-ms-date;host;x-ms-content-sha256"
SCHEME: Final = "HMAC-SHA256"
CLOCKS_APART_S: Final = 300.0
"""An older signature may be a repeated one."""


class SignatureRefusedError(ValueError):
    """A request's signature is missing, wrong, or too old; the message says which."""


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """Where a resource is, and its key: ``endpoint=https://...;accesskey=...``. Keep it secret."""

    endpoint: str
    access_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a connection string.

        Raises: ValueError saying what is missing, never the key.
        """
        parts = dict(_pair(part) for part in text.strip().split(";") if part)
        endpoint = parts.get("endpoint", "").rstrip("/")
        url = urlsplit(endpoint)
        if url.scheme != "https" or not url.hostname or url.path:
            raise ValueError("connection string: expected endpoint=https://host;accesskey=...")
        try:
            key = base64.b64decode(parts.get("accesskey", ""), validate=True)
        except binascii.Error:
            key = b""
        if not key:
            raise ValueError("connection string: expected an accesskey in base64")
        return cls(endpoint, key)

    def __repr__(self) -> str:
        """Show where, never the key."""
        return f"ConnectionString({self.endpoint!r}, ...)"


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip()


def content_hash(body: bytes) -> str:
    """Return what ``x-ms-content-sha256`` says of *body*."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def signature(key: bytes, method: str, target: str, date: str, host: str, digest: str) -> str:
    """Return the signature of a request; *target* is its path with the query."""
    text = f"{method.upper()}\n{target}\n{date};{host};{digest}"
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def signed_headers(
    key: bytes, method: str, target: str, host: str, body: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers that a request needs; *now* is in UTC."""
    date = format_datetime(now.astimezone(UTC), usegmt=True)
    digest = content_hash(body)
    proof = signature(key, method, target, date, host, digest)
    return {
        "x-ms-date": date,
        "x-ms-content-sha256": digest,
        "Authorization": f"{SCHEME} SignedHeaders={SIGNED_HEADERS}&Signature={proof}",
    }


def check_signature(
    key: bytes, method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    """Check a request that came; *headers* are found by lower-case names.

    Raises: SignatureRefusedError.
    """
    date, host = headers.get("x-ms-date", ""), headers.get("host", "")
    try:
        apart_s = abs((parsedate_to_datetime(date) - now).total_seconds())
    except (ValueError, TypeError):
        raise SignatureRefusedError(f"expected x-ms-date, got {date!r:.40}") from None
    if apart_s > CLOCKS_APART_S:
        raise SignatureRefusedError(f"the request was signed {apart_s:.0f} s from now")
    digest = content_hash(body)
    if not hmac.compare_digest(headers.get("x-ms-content-sha256", "").encode(), digest.encode()):
        raise SignatureRefusedError("x-ms-content-sha256 is not that of the body")
    scheme, _, said = headers.get("authorization", "").partition(" ")
    fields = dict(part.partition("=")[::2] for part in said.split("&"))
    if scheme != SCHEME or fields.get("SignedHeaders") != SIGNED_HEADERS:
        raise SignatureRefusedError(f"expected {SCHEME} over {SIGNED_HEADERS}")
    wanted = signature(key, method, target, date, host, digest)
    if not hmac.compare_digest(fields.get("Signature", "").encode(), wanted.encode()):
        raise SignatureRefusedError("the signature is wrong")
