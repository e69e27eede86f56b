"""RSA keys that sign tokens, and how they are published."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..jws import ALGORITHM, BadTokenError, Fault, read_token

KEY_BITS = 2048


def new_key_pem() -> str:
    """Make a private key. Takes about 0.1 s."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


class SigningKey:
    """A key pair: signs, verifies, and shows its public half."""

    def __init__(self, pem: str) -> None:
        # Our own, made by us and kept in our store: proving its numbers prime takes 45 ms a key.
        key = serialization.load_pem_private_key(
            pem.encode(), None, unsafe_skip_rsa_key_validation=True
        )
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"expected an RSA key, got {type(key).__name__}")
        self._private = key
        self._public = key.public_key()
        numbers = self._public.public_numbers()
        self._jwk = {"e": _base64url_uint(numbers.e), "kty": "RSA", "n": _base64url_uint(numbers.n)}
        self.key_id = _thumbprint(self._jwk)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return *claims* as a signed JWT. Takes about 1 ms."""
        return jwt.encode(
            dict(claims), self._private, algorithm=ALGORITHM, headers={"kid": self.key_id}
        )

    def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that this key signed; what they say is not looked at.

        Raises: BadTokenError.
        """
        read = read_token(token)
        if read.key_id != self.key_id:
            raise BadTokenError(Fault.SIGNATURE, "the token was not signed by this service")
        read.verify(self._public)
        return read.claims

    def published(self) -> dict[str, Any]:
        """Return the key set (JWKS) with the public half."""
        return {"keys": [{**self._jwk, "use": "sig", "alg": ALGORITHM, "kid": self.key_id}]}


def _thumbprint(jwk: Mapping[str, str]) -> str:
    """Name a key by its content. Source: RFC 7638."""
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _base64url_uint(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
