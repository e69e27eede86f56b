"""Settings of the embedded call service."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..graph.enums import ALL_ROLES
from .phones import DEFAULT_PHONES, PhoneScript, check_distinct

TENANT_ID = "aa67bd4c-8475-432d-bd41-39f255720e0a"
APP_ID = "2891555a-92ff-42e6-80fa-6e1300c6b5c6"
"""The tenant and application of the documentation's examples. Their secrets are made afresh."""
APP_INSTANCE_ID = "3d913abb-aec0-4964-8fa6-3c6850c4f278"
"""The application instance of the documentation's calls to phones."""

PROBE_ADDRESS = ("192.0.2.1", 9)
"""An address that is nobody's (RFC 5737): what is asked of the routing table, never sent to."""


class ServiceSettings(BaseSettings):
    """What a call service runs with, from arguments or ``MIXMINUS_SERVICE_...``.

    Units:  seconds. ``host`` is the name clients use; it must be in the certificate we issue.
    """

    model_config = SettingsConfigDict(
        env_prefix="MIXMINUS_SERVICE_", extra="forbid", frozen=True, validate_default=True
    )

    state_dir: Path = Path(".mixminus")
    bind: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    host: str = ""
    tenant_id: str = Field(default=TENANT_ID, min_length=1)
    app_id: str = Field(default=APP_ID, min_length=1)
    app_name: str = "Calling Bot"
    app_roles: tuple[str, ...] = tuple(role.value for role in ALL_ROLES)

    ringing_s: float = Field(default=60.0, gt=0)
    """How long a callee is rung when the request does not say; none is published."""
    keep_alive_s: float = Field(default=2700.0, gt=0)
    """A call without keepAlive for 45 minutes is dropped, as documented."""
    caller_media_s: float = Field(default=10.0, gt=0)
    """How long the answering device's media may take to connect."""
    caller_grace_s: float = Field(default=10.0, gt=0)
    """How long a device that went away may take to come back with a re-offer."""
    register_s: float = Field(default=10.0, gt=0)
    """How long a caller's socket may stay unregistered."""

    answer_s: float = Field(default=15.0, gt=0)
    """How long a bot has to answer, reject or redirect an incoming call, as documented."""
    answer_policy_s: float = Field(default=5.0, gt=0)
    """The same for policy-based recording."""
    lobby_s: float = Field(default=1800.0, gt=0)
    """How long a guest waits in a lobby; no limit is published."""
    swap_establishing: bool = False
    """Whether established is told before establishing: an order that bots are warned of."""
    app_instances: tuple[str, ...] = (APP_INSTANCE_ID,)
    """The resource accounts (application instances) of the application, by their object ids."""
    forwarding: dict[str, str] = Field(default_factory=dict)
    """For a user's id, the user's who gets the calls in their place."""

    notify_timeout_s: float = Field(default=10.0, gt=0)
    """How long a receiver may take for one notification."""
    notify_first_wait_s: float = Field(default=0.25, gt=0)
    notify_longest_wait_s: float = Field(default=30.0, gt=0)
    notify_give_up_s: float = Field(default=600.0, gt=0)
    """After this long without a 2xx a notification is given up."""

    drain_s: float = Field(default=2.0, ge=0)
    """How long the last notifications may take at a stop; the rest stays in the outbox."""

    max_calls: int = Field(default=500, gt=0)
    allow_private_addresses: bool | None = None
    """Whether callbacks and media links may go to private networks; None: if bound to loopback."""

    adhoc_meetings: bool = True
    """Whether joining an unknown thread with an organizer makes a meeting."""
    records_keep_s: float = Field(default=30 * 86_400.0, gt=0)
    """How long a call record can be read: 30 days, as documented."""

    validation_timeout_s: float = Field(default=10.0, gt=0)
    """How long a notificationUrl may take to give back its validation token."""
    change_timeout_s: float = Field(default=3.0, gt=0)
    """How long a subscriber may take for one change notification."""
    change_first_wait_s: float = Field(default=1.0, gt=0)
    change_longest_wait_s: float = Field(default=600.0, gt=0)
    change_give_up_s: float = Field(default=4 * 3600.0, gt=0)
    """After this long without a 2xx a change notification is given up."""
    max_subscriptions: int = Field(default=100, gt=0)
    """Subscriptions of a tenant: the documented quota."""

    throttle_requests: int = Field(default=0, ge=0)
    """How many requests an application may send in a window; 0: as many as it likes."""
    throttle_window_s: float = Field(default=15.0, gt=0)
    """The documented window of the calls API."""
    chat_grants: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """For a thread, the applications that its owner let in: Calls.JoinGroupCalls.Chat."""

    prompt_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    """How large the file of a prompt may be: five minutes of the documented format."""
    prompt_timeout_s: float = Field(default=10.0, gt=0)
    """How long the fetch of a prompt may take."""
    prompt_cache_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    """How much of what was fetched is kept, decoded, by resourceId."""
    recordings_bytes: int = Field(default=128 * 1024 * 1024, gt=0)
    """How much of recorded responses is kept; the oldest go first."""
    recordings_kept_s: float = Field(default=60.0, gt=0)
    """How long after its call's end a recorded response can be fetched."""
    phones: tuple[PhoneScript, ...] = DEFAULT_PHONES
    """The telephones that can be called, and what each does then."""

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, bind: str) -> str:
        if bind != "localhost":
            try:
                ip_address(bind)
            except ValueError:
                raise ValueError(f"expected an address of this machine, got {bind!r}") from None
        return bind

    @field_validator("phones")
    @classmethod
    def _check_phones(cls, phones: tuple[PhoneScript, ...]) -> tuple[PhoneScript, ...]:
        return check_distinct(phones)

    @property
    def public_host(self) -> str:
        """The host name in every URL this service gives out."""
        if self.host:
            return self.host
        if self.is_loopback:
            return "localhost"
        return socket.getfqdn() if ip_address(self.bind).is_unspecified else self.bind

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.bind == "localhost" or ip_address(self.bind).is_loopback

    @property
    def may_reach_private(self) -> bool:
        """Whether addresses from outside may name private networks."""
        allowed = self.allow_private_addresses
        return self.is_loopback if allowed is None else allowed

    @property
    def media_addresses(self) -> tuple[str, ...]:
        """The addresses WebRTC media is offered on."""
        if self.bind == "localhost":
            return ("127.0.0.1",)
        if not ip_address(self.bind).is_unspecified:
            return (self.bind,)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(PROBE_ADDRESS)
            except OSError:
                return ("127.0.0.1",)
            return (str(probe.getsockname()[0]), "127.0.0.1")
