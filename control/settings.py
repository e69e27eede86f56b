"""What a bot host needs to know, for the embedded call service and graph.microsoft.com alike."""

from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from .acs.identifiers import Identifier
from .acs.signing import ConnectionString
from .config.section import SettingsSection
from .plugin_settings import PluginSpecs

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
MICROSOFT_ACS_ISSUER: Final = "https://acscallautomation.communication.azure.com"
MICROSOFT_ACS_METADATA: Final = f"{MICROSOFT_ACS_ISSUER}/calling/.well-known/acsopenidconfiguration"


MAX_INSTANCE_CHARS: Final = 64
_INSTANCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def default_instance(state_dir: Path) -> str:
    """Return a host's name: this machine's, and six hex digits of *state_dir*'s path."""
    digits = hashlib.sha256(str(state_dir.absolute()).encode()).hexdigest()[:6]
    machine = re.sub("[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._") or "host"
    return f"{machine[: MAX_INSTANCE_CHARS - 7]}-{digits}"


class HostSettings(SettingsSection):
    """Settings of a bot host: ``[host]``, ``MIXMINUS_...``, for Graph and our service alike."""

    model_config = SettingsConfigDict(env_prefix="MIXMINUS_")

    tenant_id: str = Field(min_length=1)
    """The tenant that the application is registered in."""
    app_id: str = Field(min_length=1)
    """The application (client) id, which is the bot's, too."""
    client_secret: SecretStr
    """The application's client secret."""
    authority: str = ""
    """Who gives the tokens, with the tenant; by default the tenant's own at Microsoft."""
    graph_base_url: str = MICROSOFT_GRAPH
    """Where the Graph API is; without its version."""
    graph_version: Literal["v1.0", "beta"] = "v1.0"
    """The version of the Graph API; beta has prompt loops, ringing timeouts and muteAll."""
    open_id_config_url: str = MICROSOFT_NOTIFICATION_METADATA
    """The OpenID configuration that names the keys which notifications are signed with."""
    notification_issuers: tuple[str, ...] = MICROSOFT_NOTIFICATION_ISSUERS
    """The issuers that a notification's token may have."""
    ca_file: Path | None = None
    """Who vouches for Graph, authority and keys: the machine's roots by default."""
    users: dict[str, str] = Field(default_factory=dict)
    """Ids of users by their display names, so that a bot may call "John"."""
    meetings: dict[str, str] = Field(default_factory=dict)
    """Join URLs by the names that a bot may join them under."""
    application_instance_id: str | None = None
    """The resource account that telephones are called from."""
    register_webhook: bool = False
    """Whether to tell the service where incoming calls are told: a mixminus service wants that."""

    acs_resource_id: str | None = Field(default=None, min_length=1)
    """The immutable resource id of the Azure Communication Services resource whose streams come
    to /streams/acs; without it none is taken."""
    acs_issuer: str = MICROSOFT_ACS_ISSUER
    """The issuer of the tokens on ACS callbacks and sockets."""
    acs_open_id_config_url: str = MICROSOFT_ACS_METADATA
    """The OpenID configuration that names the keys of those tokens."""
    acs_keys_file: Path | None = None
    """A JWKS that vouches for streams instead of that URL's: a simulator's."""
    acs_connection_string: SecretStr | None = None
    """The resource's connection string, for call control: calls that ring, calls that are made."""
    acs_ca_file: Path | None = None
    """Who vouches for the resource's end-point: the machine's roots by default."""
    acs_number: str | None = None
    """The resource's telephone number, as +15551234567: what telephones are called from."""
    acs_events_token: SecretStr | None = Field(default=None, min_length=16)
    """What the URL of the Event Grid subscription ends with: /acs/events/TOKEN."""
    acs_channels: Literal["mixed", "unmixed"] = "mixed"
    """What ACS sends: all people mixed, or up to four speakers apart."""
    acs_rate_hz: Literal[16_000, 24_000] = 16_000
    """The sampling rate of the audio to and from ACS, in Hz."""
    twilio_auth_token: SecretStr | None = Field(default=None, min_length=1)
    """The Twilio account's auth token, by which streams to /streams/twilio are signed."""
    stream_path_token: SecretStr | None = Field(default=None, min_length=16)
    """What the last part of a stream's URL must be, when it is set."""
    max_streams: int = Field(default=500, ge=0)
    """Calls by streams at once; one more is closed with 1013."""

    recordings_dir: Path | None = None
    """Where recordings and captures are kept: below the state directory by default."""
    recordings_quota_bytes: int = Field(default=10 * 2**30, gt=0)
    """How much recordings and captures may take; a recording that reaches it ends, complete."""
    recordings_max_duration_s: float = Field(default=4 * 3600.0, gt=0, le=24 * 3600.0)
    """How long one recording may get."""
    recordings_retention_s: float = Field(default=30 * 24 * 3600.0, gt=0)
    """How long recordings and captures are kept after their last change."""
    recording_formats: tuple[Literal["wav", "flac", "opus"], ...] = Field(
        default=("wav",), min_length=1
    )
    """The formats that each recording is written in."""
    capture: bool = False
    """Whether each call is captured, for ``mixminus replay``: what it hears and is told."""
    recording_gate: Literal["policy", "always", "never"] = "policy"
    """Which calls must be told that they are recorded (updateRecordingStatus) before anything is
    stored: those that a policy has recorded, or all; or nothing is ever stored."""

    plugins: PluginSpecs = ()
    """Plugins of every call, in order: on each speaker, on the mix, on what the bot says."""

    state_dir: Path = Path(".mixminus")
    """Where keys, certificates, host.json and the store of the host's calls are kept."""
    store_url: SecretStr | None = None
    """The PostgreSQL database of a fleet, ``postgresql://user:password@host:5432/database``: its
    hosts take over each other's calls. By default the store is a file of SQLite's in
    ``state_dir``, for one host."""
    instance: str = ""
    """The host's name among those of a fleet, the same after a restart; it is part of the address
    that its calls are told at. By default this machine's name and six digits of ``state_dir``."""
    capacity_calls: int = Field(default=200, ge=1, le=100_000)
    """For how many calls the host is good, as the others of its fleet are told: new calls go to
    who has the fewest for its size. What is more than that is placed elsewhere, not refused."""
    bind: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=0, ge=0, le=65_535)
    """The port to listen on; 0: any free one."""
    public_url: str | None = None
    """Where the call service, ACS and Twilio reach this host; without it https://localhost:PORT."""
    cert_file: Path | None = None
    """Our certificate chain; by default one of the state directory's own authority."""
    key_file: Path | None = None
    """Its private key."""

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("postgresql://", "postgres://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise ValueError("expected postgresql://user:password@host:5432/database")
        return url

    @field_validator("instance")
    @classmethod
    def _check_instance(cls, name: str) -> str:
        # Part of a URL, of a NOTIFY and of logs: nothing has to be escaped in any of them.
        if name and _INSTANCE.match(name) is None:
            raise ValueError(
                f"expected up to {MAX_INSTANCE_CHARS} of A-Z, a-z, 0-9, '.', '_' and '-', a letter"
                " or digit first"
            )
        return name

    @field_validator("acs_connection_string")
    @classmethod
    def _check_connection_string(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            ConnectionString.parse(secret.get_secret_value())
        return secret

    @field_validator("acs_number")
    @classmethod
    def _check_number(cls, number: str | None) -> str | None:
        return None if number is None else Identifier.phone(number).value

    @model_validator(mode="after")
    def _check_acs(self) -> Self:
        if self.acs_connection_string is not None and self.acs_resource_id is None:
            raise ValueError("acs_connection_string: expected acs_resource_id beside it")
        return self

    @model_validator(mode="after")
    def _check_certificate(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("expected cert_file and key_file, or neither")
        return self

    @field_validator(
        "graph_base_url", "open_id_config_url", "authority", "public_url", "acs_open_id_config_url"
    )
    @classmethod
    def _check_https(cls, url: str | None) -> str | None:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"expected an https URL, got {url!r}")
        return url.rstrip("/")

    @property
    def recordings_path(self) -> Path:
        """Where recordings and captures are kept."""
        return self.recordings_dir or self.state_dir / "recordings"

    @property
    def instance_name(self) -> str:
        """The host's name in its store."""
        return self.instance or default_instance(self.state_dir)

    @property
    def authority_url(self) -> str:
        """The token authority, with its tenant."""
        return self.authority or f"{MICROSOFT_AUTHORITY}/{self.tenant_id}"

    @classmethod
    def from_dev_file(cls, dev: DevFile, **over: Any) -> Self:
        """Make settings for the call service that wrote *dev*; *over* replaces single ones."""
        return cls(**{**cls.dictated_by(dev), **over})

    @staticmethod
    def dictated_by(dev: DevFile) -> dict[str, Any]:
        """Return what the call service that wrote *dev* wants of its hosts' settings."""
        return {
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
