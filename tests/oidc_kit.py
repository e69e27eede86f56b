"""A small OpenID Connect issuer over TLS: what a real one checks, and mistakes on demand."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mixminus.control.serving import HttpsServer
from mixminus.control.tls import LocalAuthority

CLIENT_ID = "console-of-tests"
CLIENT_SECRET = "a-client-secret-of-tests"
KID = "key-1"


@cache
def key() -> rsa.RSAPrivateKey:
    """Return the issuer's key, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def other_key() -> rsa.RSAPrivateKey:
    """Return a key that is not the issuer's."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Signs in Adele, who never says no. ``change`` may alter the claims of her ID tokens."""

    def __init__(self) -> None:
        self.url = ""
        self._codes: dict[str, dict[str, str]] = {}
        self.afresh()

    def afresh(self) -> None:
        """Make no mistakes from now on."""
        self.change: Callable[[dict[str, Any]], Any] = lambda claims: None
        self.signs_with = key()
        self.token_answer: dict[str, Any] | None = None
        """What the token endpoint says in place of tokens."""
        self.redeemed = 0

    def app(self) -> Starlette:
        """Return the issuer's application."""
        return Starlette(
            routes=[
                Route("/tenant/.well-known/openid-configuration", self.metadata),
                Route("/tenant/keys", self.keys),
                Route("/tenant/authorize", self.authorize),
                Route("/tenant/token", self.token, methods=["POST"]),
            ]
        )

    async def metadata(self, _: Request) -> Response:
        """OpenID Connect Discovery 1.0, section 3."""
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def keys(self, _: Request) -> Response:
        """RFC 7517."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key().public_key(), as_dict=True)
        return JSONResponse({"keys": [{**public, "kid": KID, "use": "sig", "alg": "RS256"}]})

    async def authorize(self, request: Request) -> Response:
        """Give a code to whoever asks as RFC 6749 section 4.1.1 and RFC 7636 say."""
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert {"openid", "profile"} <= set(asked["scope"].split())
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def token(self, request: Request) -> Response:
        """Redeem a code, once."""
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if challenge != asked["code_challenge"] or form.get("client_secret") != CLIENT_SECRET:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.redeemed += 1
        if self.token_answer is not None:
            return JSONResponse(self.token_answer, 400 if "error" in self.token_answer else 200)
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "subject-of-adele",
            "oid": "0id",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "name": "Adele <b>Vance</b>",
            "preferred_username": "adele@contoso.example",
            "email": "adele.vance@contoso.example",
            "email_verified": True,
        }
        self.change(claims)
        id_token = jwt.encode(claims, self.signs_with, algorithm="RS256", headers={"kid": KID})
        access = {"access_token": "access-canary", "token_type": "Bearer", "expires_in": 300}
        return JSONResponse({**access, "id_token": id_token})


@asynccontextmanager
async def issuer(state_dir: Path) -> AsyncIterator[Issuer]:
    """Serve an issuer whose certificate the authority in *state_dir* signed."""
    found = Issuer()
    server = HttpsServer(found.app(), certificate=LocalAuthority(state_dir).issue("localhost"))
    try:
        found.url = f"https://localhost:{await server.start()}/tenant"
        yield found
    finally:
        await server.stop()
