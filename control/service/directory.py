"""Who is known here: the application, and the users and phones that can be called."""

from __future__ import annotations

import hashlib
import secrets

from ..graph.enums import Role
from ..store.base import AppRow, Store, UserRow
from .phones import PhoneScript
from .settings import ServiceSettings

FIRST_USERS = (
    ("112f7296-5fa4-42ca-bae8-6a692b15d4b8", "John"),
    ("5810cede-f3cc-42eb-b2c1-e9bd5d53ec96", "Bob"),
    ("278405a3-f568-4b3e-b684-009193463064", "Alice"),
)
"""The directory of a new service: users of the documentation's examples."""

TOKEN_BYTES = 32


class Directory:
    """The users, found by id or by the token they register with."""

    def __init__(self, users: tuple[UserRow, ...], settings: ServiceSettings) -> None:
        self.users = users
        self._settings = settings
        self._phones = {script.number: script for script in settings.phones}
        self._instances = {name.casefold() for name in settings.app_instances}
        self._forwarding = {k.casefold(): v for k, v in settings.forwarding.items()}
        self._by_id = {user.user_id.casefold(): user for user in users}
        # Looked up by digest: how long that takes says nothing about a token.
        self._by_token = {_digest(user.token): user for user in users}

    @classmethod
    async def load(cls, store: Store, settings: ServiceSettings) -> Directory:
        """Read the directory, after the first users were put in."""
        for user_id, name in FIRST_USERS:
            await store.add_user(UserRow(user_id, name, secrets.token_urlsafe(TOKEN_BYTES)))
        return cls(await store.users(), settings)

    def user(self, user_id: str) -> UserRow | None:
        """Return the user of that id."""
        return self._by_id.get(user_id.casefold())

    def forwarded(self, user_id: str) -> UserRow | None:
        """Return who gets the calls of that user in their place."""
        return self.user(self._forwarding.get(user_id.casefold(), ""))

    def phone(self, number: str) -> PhoneScript | None:
        """Return what happens at that phone number."""
        return self._phones.get(number)

    def instance_owner(self, instance_id: str) -> str | None:
        """Return the application that a resource account belongs to."""
        return self._settings.app_id if instance_id.casefold() in self._instances else None

    def authenticate(self, token: str) -> UserRow | None:
        """Return the user whom *token* belongs to."""
        return self._by_token.get(_digest(token))


async def register_app(store: Store, settings: ServiceSettings) -> AppRow:
    """Register the service's own application unless it is; its secret stays over restarts."""
    return await store.add_app(
        AppRow(
            settings.app_id,
            settings.tenant_id,
            settings.app_name,
            secrets.token_urlsafe(TOKEN_BYTES),
            tuple(Role(role).value for role in settings.app_roles),
        )
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
