"""What a simulator proves itself with, and how a bot host on the same machine knows it."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..settings import MICROSOFT_ACS_ISSUER
from ..tls import write_private

ACS_NAMES: Final = frozenset(
    ("MIXMINUS_ACS_RESOURCE_ID", "MIXMINUS_ACS_KEYS_FILE", "MIXMINUS_ACS_CONNECTION_STRING")
)
TWILIO_NAMES: Final = frozenset(("MIXMINUS_TWILIO_AUTH_TOKEN",))
FOLDER: Final = "simulate"
RESOURCE_ID: Final = "51a17a7e-0000-4000-8000-000000000000"
"""The immutable resource id of the ACS resource that is simulated: a token's audience."""
KEY_ID: Final = "mixminus-simulator"
TOKEN_S: Final = 24 * 3600
"""How long the service's tokens for WebSockets are good."""
KEY_BITS: Final = 2048


class SimulatorKeys:
    """Keys and tokens in a directory, made on first use; who reads it may ring its bots.

    Raises: OSError when the directory cannot be written, ValueError when a file is no key.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.jwks_file = directory / "acs-jwks.json"
        self._key = _load_key(directory / "acs-key.pem")
        write_private(self.jwks_file, json.dumps(self.jwks(), indent=2).encode() + b"\n")
        token_file = directory / "twilio-auth-token"
        if not token_file.exists():
            write_private(token_file, secrets.token_hex(16).encode())
        self.twilio_auth_token = token_file.read_text().strip()

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JWKS (RFC 7517)."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}

    def acs_token(
        self,
        *,
        audience: str = RESOURCE_ID,
        issuer: str = MICROSOFT_ACS_ISSUER,
        now_s: float | None = None,
        lifetime_s: int = TOKEN_S,
    ) -> str:
        """Return a token as the service sends one with each WebSocket."""
        issued = int(time.time() if now_s is None else now_s)
        claims = {
            "iss": issuer,
            "aud": audience,
            "iat": issued,
            "nbf": issued,
            "exp": issued + lifetime_s,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KEY_ID})


def local_settings(state_dir: Path, environ: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings by which a bot host takes streams of this state directory's simulators.

    *environ* has the names of the environment: a service that it names is the real one, and
    that service's simulator is not let in beside it.
    Raises: as SimulatorKeys.
    """
    keys = SimulatorKeys(state_dir / FOLDER)
    named = {name.upper() for name in environ}
    settings: dict[str, Any] = {}
    if not named & ACS_NAMES:
        settings |= {"acs_resource_id": RESOURCE_ID, "acs_keys_file": keys.jwks_file}
    if not named & TWILIO_NAMES:
        settings |= {"twilio_auth_token": keys.twilio_auth_token}
    return settings


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, pem)
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{path}: expected a private key, got none: {exc}") from None
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise ValueError(f"{path}: expected an RSA key, got {type(loaded).__name__}")  # noqa: TRY004
    return loaded
