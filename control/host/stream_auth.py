"""Whether a stream's WebSocket comes from whom it claims: ACS by token, Twilio by signature.

Source: Microsoft, "secure webhook endpoints and WebSocket" of Call Automation; Twilio, "security".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..client.keys import KeySource, KeysUnavailableError, read_keys
from ..client.webhook import LEEWAY_S, TokenRefusedError, bearer_token
from ..jws import BadTokenError, check_claims, read_token

log = logging.getLogger("mixminus.control.host")

MAX_FILE_BYTES: Final = 256 * 1024
MAX_SIGNATURE_CHARS: Final = 64
WSS_PORT: Final = 443


class StreamRefusedError(Exception):
    """A WebSocket that may bring no stream. The message is for the log: it quotes no secret."""


class AcsTokens:
    """Checks the bearer token that ACS sends with a WebSocket's handshake.

    RS256, the issuer and the audience exactly (the resource's immutable id), and of this moment.
    """

    def __init__(self, keys: KeySource, *, audience: str, issuer: str) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    async def check(self, authorization: str | None, now_s: float) -> None:
        """Return when the ``Authorization`` header is ACS's, for this resource.

        Raises: StreamRefusedError; KeysUnavailableError when nobody can tell.
        Units:  now_s in seconds of Unix time.
        """
        try:
            token = read_token(bearer_token(authorization))
            claims = token.claims
            check_claims(
                # Not every token of Microsoft's says from when on it is good.
                {"nbf": claims.get("iat", 0), **claims},
                issuers=(self._issuer,),
                audiences=(self._audience,),
                now_s=now_s,
                leeway_s=LEEWAY_S,
            )
            key = await self._keys.get(token.key_id)
            if key is None:
                raise StreamRefusedError("the token is signed by an unknown key")
            token.verify(key)
        except (BadTokenError, TokenRefusedError) as exc:
            raise StreamRefusedError(str(exc)) from None


class KeyFile:
    """Signing keys from a JWKS file, read again when it has changed: for simulators."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, RSAPublicKey] = {}
        self._stamp: tuple[int, int] | None = None

    async def get(self, kid: str) -> RSAPublicKey | None:
        """Return the key called *kid*, or None if there is none.

        Raises: KeysUnavailableError when there is no such file, or it is no JWKS.
        """
        try:
            await asyncio.to_thread(self._refresh)
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise KeysUnavailableError(f"{self._path}: {why}") from None
        return self._keys.get(kid)

    def check(self) -> None:
        """Read the file now.

        Raises: OSError when it cannot be read, ValueError when it is no JWKS.
        """
        self._refresh()

    def _refresh(self) -> None:
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return
        if status.st_size > MAX_FILE_BYTES:
            raise ValueError(f"expected at most {MAX_FILE_BYTES} bytes, got {status.st_size}")
        self._keys = read_keys(json.loads(self._path.read_bytes()))
        self._stamp = stamp


def check_twilio_signature(signature: str | None, url: str, auth_token: str) -> None:
    """Return when *signature* is Twilio's, for a WebSocket to *url*.

    Raises: StreamRefusedError.
    Source: Twilio, "security": HMAC-SHA1 of the URL by the account's auth token, base64; whether
            the port and a last slash are part of that URL differs, so each of these is taken.
    """
    given = (signature or "")[: MAX_SIGNATURE_CHARS + 1].encode()
    if not given:
        raise StreamRefusedError("expected an X-Twilio-Signature, got none")
    matches = [
        hmac.compare_digest(given, twilio_signature(candidate, auth_token).encode())
        for candidate in _spellings(url)
    ]
    if not any(matches):
        raise StreamRefusedError("the X-Twilio-Signature is not that of this URL and account")


def twilio_signature(url: str, auth_token: str) -> str:
    """Return what Twilio sends as X-Twilio-Signature with a WebSocket to *url*."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _spellings(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    places = [f"{shown}:{parts.port}" if parts.port else shown]
    if parts.port in (None, WSS_PORT):
        places = [shown, f"{shown}:{WSS_PORT}"]
    path = parts.path.rstrip("/")
    for place in places:
        for ending in ("", "/"):
            yield f"wss://{place}{path}{ending}"
