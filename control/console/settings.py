"""Settings of the console."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ..config.section import SettingsSection

EVERYONE: Final = "*"
TOKEN: Final = re.compile(r"[!-~]*")


class ConsoleSettings(SettingsSection):
    """The console and who may use it: ``[console]``, ``MIXMINUS_CONSOLE_...``."""

    model_config = SettingsConfigDict(env_prefix="MIXMINUS_CONSOLE_")

    enabled: bool = True
    """Whether the console is served at /console."""
    token: SecretStr | None = Field(default=None, min_length=16)
    """What signs in to the console; without it one is made at each start, and printed."""
    http_port: int | None = Field(default=None, ge=0, le=65_535)
    """The port of a plain HTTP listener on 127.0.0.1 for browsers of this machine, which ask of no
    certificate there; it has the console, the phone page and its signalling only. 0: any free one;
    without it there is none."""
    public_url: str | None = None
    """The https address by which browsers reach this process through a proxy, without /console."""
    session_s: float = Field(default=8 * 3600.0, ge=60, le=7 * 24 * 3600.0)
    """How long, in seconds, a sign-in by OpenID Connect is good for."""

    oidc_authority: str | None = None
    """The OpenID Connect issuer that people sign in with, as
    https://login.microsoftonline.com/TENANT/v2.0; without it the token alone signs in."""
    oidc_client_id: str | None = Field(default=None, min_length=1)
    """The console's application (client) id at that issuer."""
    oidc_client_secret: SecretStr | None = Field(default=None, min_length=1)
    """Its secret there; without it the console is a public client, with PKCE alone."""
    oidc_allowed: tuple[str, ...] = ()
    """Who may sign in: values of the ID token's oid, sub, preferred_username or verified email, in
    any case; ``*`` is everyone whom the issuer knows."""
    oidc_ca_file: Path | None = None
    """Who vouches for the issuer's address: the machine's roots by default."""

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        # It comes in a header, where other characters have no one spelling.
        if token is not None and not TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("expected ASCII characters, without a space")
        return token

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.rstrip("/"):
            raise ValueError(f"expected an https URL without a path, got {url[:200]!r}")
        return url.rstrip("/")

    @field_validator("oidc_authority")
    @classmethod
    def _check_authority(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        # A path: msal takes its first part for the tenant, and an issuer without one not at all.
        if parts.scheme != "https" or not parts.hostname or not parts.path.strip("/"):
            raise ValueError(f"expected an https URL with a path, got {url[:200]!r}")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_oidc(self) -> Self:
        others = ("oidc_client_id", "oidc_client_secret", "oidc_allowed", "oidc_ca_file")
        if self.oidc_authority is None:
            given = [name for name in others if getattr(self, name)]
            if given:
                raise ValueError(f"{given[0]}: expected oidc_authority beside it")
        elif self.oidc_client_id is None:
            raise ValueError("oidc_authority: expected oidc_client_id beside it")
        elif not self.oidc_allowed:
            raise ValueError(
                "oidc_allowed: expected who may sign in (or * for everyone at the issuer), got none"
            )
        return self
