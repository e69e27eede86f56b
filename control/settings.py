"""What a bot host needs to know, for the embedded call service and graph.microsoft.com alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from .devfile import DevFile

MICROSOFT_AUTHORITY: Final = "https://login.microsoftonline.com"
MICROSOFT_GRAPH: Final = "https://graph.microsoft.com"
MICROSOFT_NOTIFICATION_METADATA: Final = (
    "https://api.aps.skype.com/v1/.well-known/OpenIdConfiguration"
)
MICROSOFT_NOTIFICATION_ISSUERS: Final = (
    "https://api.botframework.com",
    "https://graph.microsoft.com",
)


class HostSettings(BaseSettings):
    """Settings of a bot host, from arguments or from ``MIXMINUS_...`` in the environment.

    Without ``authority`` the tenant's own at Microsoft is meant. ``users`` maps display names to
    ids, so that a bot may call "John"; ``cert_file`` and ``key_file`` default to a certificate of
    the state directory's own authority.
    """

    model_config = SettingsConfigDict(env_prefix="MIXMINUS_", extra="forbid", frozen=True)

    tenant_id: str = Field(min_length=1)
    app_id: str = Field(min_length=1)
    client_secret: SecretStr
    authority: str = ""
    graph_base_url: str = MICROSOFT_GRAPH
    graph_version: Literal["v1.0", "beta"] = "v1.0"
    open_id_config_url: str = MICROSOFT_NOTIFICATION_METADATA
    notification_issuers: tuple[str, ...] = MICROSOFT_NOTIFICATION_ISSUERS
    ca_file: Path | None = None
    users: dict[str, str] = {}
    meetings: dict[str, str] = {}
    """Join URLs by the names that a bot may join them under."""
    application_instance_id: str | None = None
    """The resource account that telephones are called from."""
    register_webhook: bool = False
    """Whether to tell the service where incoming calls are told: a mixminus service wants that."""

    state_dir: Path = Path(".mixminus")
    bind: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    public_url: str | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @field_validator("graph_base_url", "open_id_config_url", "authority", "public_url")
    @classmethod
    def _check_https(cls, url: str | None) -> str | None:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"expected an https URL, got {url!r}")
        return url.rstrip("/")

    @property
    def authority_url(self) -> str:
        """The token authority, with its tenant."""
        return self.authority or f"{MICROSOFT_AUTHORITY}/{self.tenant_id}"

    @classmethod
    def from_dev_file(cls, dev: DevFile, **over: Any) -> Self:
        """Make settings for the call service that wrote *dev*; *over* replaces single ones."""
        values: dict[str, Any] = {
            "tenant_id": dev.tenant_id,
            "app_id": dev.app_id,
            "client_secret": dev.client_secret,
            "authority": dev.authority,
            "graph_base_url": dev.graph_base_url,
            "open_id_config_url": dev.open_id_config_url,
            "notification_issuers": (dev.notification_issuer,),
            "ca_file": dev.ca_file,
            "users": {user.display_name: user.id for user in dev.users},
            "meetings": {meeting.subject: meeting.join_url for meeting in dev.meetings},
            "application_instance_id": dev.application_instance_id,
            "register_webhook": True,
        }
        return cls(**{**values, **over})
