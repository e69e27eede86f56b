"""Settings of the embedded call service."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ..config.section import SettingsSection
from ..graph.enums import ALL_ROLES
from ..plugin_settings import PluginSpecs
from .phones import DEFAULT_PHONES, PhoneScript, check_distinct

TENANT_ID = "aa67bd4c-8475-432d-bd41-39f255720e0a"
APP_ID = "2891555a-92ff-42e6-80fa-6e1300c6b5c6"
"""The tenant and application of the documentation's examples. Their secrets are made afresh."""
APP_INSTANCE_ID = "3d913abb-aec0-4964-8fa6-3c6850c4f278"
"""The application instance of the documentation's calls to phones."""

PROBE_ADDRESS = ("192.0.2.1", 9)
"""An address that is nobody's (RFC 5737): what is asked of the routing table, never sent to."""
PROBE_ADDRESS_IPV6 = ("2001:db8::1", 9)
"""The same of RFC 3849."""

MAX_TICK_THREADS: Final = 8
"""What the threads of ticks are by default at most: more want a decision."""


class ServiceSettings(SettingsSection):
    """What a call service runs with: ``[service]``, ``MIXMINUS_SERVICE_...``."""

    model_config = SettingsConfigDict(env_prefix="MIXMINUS_SERVICE_")

    state_dir: Path = Path(".mixminus")
    """Where its store, keys, certificates and dev.json are kept."""
    store_url: SecretStr | None = None
    """The PostgreSQL database of its store, ``postgresql://user:password@host:5432/database``; by
    default the store is a file of SQLite's in ``state_dir``."""
    bind: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=0, ge=0, le=65_535)
    """The port to listen on; 0: any free one."""
    host: str = ""
    """The name that clients use; it is in the certificate that we issue. By default as ``bind``."""
    tenant_id: str = Field(default=TENANT_ID, min_length=1)
    """The tenant that the service plays: the one of the documentation's examples."""
    app_id: str = Field(default=APP_ID, min_length=1)
    """The application that dev.json has the secret of: the one of the documentation's examples."""
    app_name: str = "Calling Bot"
    """What that application is called in rosters."""
    app_roles: tuple[str, ...] = tuple(role.value for role in ALL_ROLES)
    """The permissions that it is granted: all by default."""

    ringing_s: float = Field(default=60.0, gt=0)
    """How long a callee is rung when the request does not say; none is published."""
    keep_alive_s: float = Field(default=2700.0, gt=0)
    """A call without keepAlive for 45 minutes is dropped, as documented."""
    caller_media_s: float = Field(default=10.0, gt=0)
    """How long the answering device's media may take to connect."""
    rejoin_s: float = Field(default=20.0, ge=0)
    """How long a group call or meeting waits, beyond the 10 s in which the media link is dialled
    again, for a bot whose host is gone: for it to come back, or for another host to take over."""
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
    """How long before a notification that failed is sent again; then twice as long each time."""
    notify_longest_wait_s: float = Field(default=5.0, gt=0)
    """How long that wait gets at most: so soon is a receiver that was away told what it missed."""
    notify_give_up_s: float = Field(default=600.0, gt=0)
    """After this long without a 2xx a notification is given up."""
    notify_connections: int = Field(default=64, gt=0)
    """How many notifications may be on their way to one receiver at once: an application at one
    host and port. Four while it does not answer at all."""

    drain_s: float = Field(default=2.0, ge=0)
    """How long the last notifications may take at a stop; the rest stays in the outbox."""

    max_calls: int = Field(default=500, gt=0)
    """Calls at once; one more is refused."""
    allow_private_addresses: bool | None = None
    """Whether callbacks and media links may go to private networks; by default only if bound to
    loopback."""

    adhoc_meetings: bool = True
    """Whether joining an unknown thread with an organizer makes a meeting."""
    records_keep_s: float = Field(default=30 * 86_400.0, gt=0)
    """How long a call record can be read: 30 days, as documented."""

    validation_timeout_s: float = Field(default=10.0, gt=0)
    """How long a notificationUrl may take to give back its validation token."""
    change_timeout_s: float = Field(default=3.0, gt=0)
    """How long a subscriber may take for one change notification."""
    change_first_wait_s: float = Field(default=1.0, gt=0)
    """How long before a change notification that failed is sent again; then longer each time."""
    change_longest_wait_s: float = Field(default=600.0, gt=0)
    """How long that wait gets at most."""
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
    """How much of recorded responses is kept, in ``state_dir``; the oldest go first."""
    recordings_kept_s: float = Field(default=60.0, gt=0)
    """How long after its call's end a recorded response can be fetched."""
    phones: tuple[PhoneScript, ...] = DEFAULT_PHONES
    """The telephones that can be called, and what each does then."""

    plugins: PluginSpecs = ()
    """Plugins on every caller's leg, in order: on what each says (``inbound``), and hears."""

    media_bind: tuple[str, ...] = ()
    """The addresses of this machine that media come to; none: as ``bind`` says."""
    media_port: int = Field(default=0, ge=0, le=65_535)
    """The UDP port of all callers' media; 0: any free one."""
    media_public_address: tuple[str, ...] = ()
    """How callers reach those addresses from outside, where each is mapped to one (1:1 NAT)."""
    tick_threads: int | None = Field(default=None, ge=1, le=32)
    """Threads that mix, each its share of the conversations; by default one for each usable CPU."""
    media_opus_complexity: int = Field(default=5, ge=0, le=10)
    """How much the Opus encoders may compute."""
    media_opus_bit_rate: int = Field(default=32_000, ge=6_000, le=128_000)
    """What they send in bits a second, to who asks for no less."""
    media_opus_fec: bool = True
    """Whether they add forward error correction where packets are lost."""
    media_opus_dtx: bool = False
    """Whether they send nearly nothing in silence, also to who did not ask for it."""

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("postgresql://", "postgres://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise ValueError("expected postgresql://user:password@host:5432/database")
        return url

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, bind: str) -> str:
        if bind != "localhost":
            try:
                ip_address(bind)
            except ValueError:
                raise ValueError(f"expected an address of this machine, got {bind!r}") from None
        return bind

    @field_validator("media_bind", "media_public_address")
    @classmethod
    def _check_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            try:
                parsed = ip_address(address)
            except ValueError:
                raise ValueError(f"expected numeric IP addresses, got {address[:80]!r}") from None
            if parsed.is_multicast:
                raise ValueError(f"expected the addresses of one host, got {address}")
        if len(set(addresses)) != len(addresses):
            raise ValueError("expected each address once")
        return addresses

    @model_validator(mode="after")
    def _check_public(self) -> ServiceSettings:
        public = [ip_address(address) for address in self.media_public_address]
        for outside in public:
            if outside.is_unspecified:
                raise ValueError(f"media_public_address: nobody reaches {outside}")
        versions = {outside.version for outside in public}
        for address in self.media_bind:
            inside = ip_address(address)
            if inside.is_unspecified and inside.version not in versions:
                raise ValueError(
                    f"media_bind: {address} needs a media_public_address to be offered in its place"
                )
        return self

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
        """The addresses of this machine that media are offered on."""
        if self.media_bind:
            return self.media_bind
        if self.bind == "localhost":
            return ("127.0.0.1",)
        bind = ip_address(self.bind)
        if not bind.is_unspecified:
            return (self.bind,)
        outside, loopback = [_own_address(socket.AF_INET)], ["127.0.0.1"]
        if bind.version == 6:
            outside.append(_own_address(socket.AF_INET6))
            if _has_ipv6_loopback():
                loopback.append("::1")
        return (*(address for address in outside if address is not None), *loopback)

    @property
    def tick_thread_count(self) -> int:
        """How many threads mix."""
        if self.tick_threads is not None:
            return self.tick_threads
        return min(MAX_TICK_THREADS, len(os.sched_getaffinity(0)))


def _own_address(family: socket.AddressFamily) -> str | None:
    """Return the address that this machine speaks to others from; None when it cannot."""
    target = PROBE_ADDRESS if family is socket.AF_INET else PROBE_ADDRESS_IPV6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            own = str(probe.getsockname()[0])
    except OSError:
        return None  # No route, or no such protocol here.
    parsed = ip_address(own)
    return None if parsed.is_loopback or parsed.is_link_local else own


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
