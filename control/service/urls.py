"""The addresses a call service gives out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """All addresses of one service, from its base URL without a slash at the end."""

    base: str
    tenant_id: str

    @classmethod
    def at(cls, host: str, port: int, tenant_id: str) -> ServiceUrls:
        """Name the addresses of a service at *host* and *port*."""
        shown = f"[{host}]" if ":" in host else host
        return cls(f"https://{shown}:{port}", tenant_id)

    @property
    def authority(self) -> str:
        """Where msal gets tokens."""
        return f"{self.base}/{self.tenant_id}"

    @property
    def token_issuer(self) -> str:
        """Who signs access tokens."""
        return f"{self.authority}/v2.0"

    @property
    def graph(self) -> str:
        """The Graph API, without a version."""
        return self.base

    @property
    def open_id_config(self) -> str:
        """The metadata of the keys that sign notifications."""
        return f"{self.base}/v1/.well-known/OpenIdConfiguration"

    @property
    def notification_keys(self) -> str:
        """The keys that sign notifications."""
        return f"{self.base}/v1/.well-known/keys"

    @property
    def notification_issuer(self) -> str:
        """Who signs notifications."""
        return f"{self.base}/v1"

    @property
    def phone(self) -> str:
        """The test page, a telephone for users of the directory."""
        return f"{self.base}/phone"

    @property
    def rtc(self) -> str:
        """Where callers signal."""
        return f"wss://{self.base.removeprefix('https://')}/rtc"
