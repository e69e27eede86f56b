"""The console of one process: what is shared by the roles in it, and where it is served."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..journal import Journal
from ..operation.redaction import secrets_of
from ..serving import AsgiApp, LoopbackServer
from ..tls import LOCAL_HOSTS
from .addresses import PREFIX
from .app import make_app
from .consolefile import ConsoleFile
from .door import ConsoleDoor, LeadingDoor, PlainDoor
from .journals import Journals
from .live import Live
from .merge import Sources
from .models import Side
from .oidc import OidcSignIn
from .origins import Origins
from .parts import Parts
from .settings import ConsoleSettings
from .sign_in import SignIns
from .source import ConsoleSource

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a role is served over HTTPS: by what names, and whom its clients trust for that."""

    url: Callable[[], str]
    hosts: Collection[str]
    ca_file: Path | None


class Console:
    """One console for all roles of a process, made before them and given to each of them.

    The first role that joins has it at its /console; that of another leads there. Entering it,
    once the roles serve, starts the plain listener, if the settings want one, and writes
    console.json to *state_dir*; leave it before the roles stop.
    Raises: PortInUseError on entering; RuntimeError when no role has joined it.
    Thread: the loop's.
    """

    def __init__(self, settings: ConsoleSettings, state_dir: Path) -> None:
        given = settings.token
        self.token = (
            secrets.token_urlsafe(TOKEN_BYTES) if given is None else given.get_secret_value()
        )
        self._settings, self._state_dir = settings, state_dir
        sources, journals = Sources(), Journals()
        sign_ins = SignIns(self.token, settings.session_s)
        oidc = None if settings.oidc_authority is None else OidcSignIn(settings)
        self._parts = Parts(sources, journals, sign_ins, Live(sources, journals, sign_ins), oidc)
        self._app = make_app(self._parts)
        self._homes: dict[Side, _Home] = {}
        self._roles: dict[Side, AsgiApp] = {}
        self._plain: LoopbackServer | None = None
        self._exits = AsyncExitStack()

    # ---- roles -----------------------------------------------------------------------------------

    def join(
        self,
        source: ConsoleSource,
        journal: Journal,
        app: AsgiApp,
        *,
        url: Callable[[], str],
        hosts: Collection[str] = (),
        ca_file: Path | None = None,
    ) -> AsgiApp:
        """Take in a role whose HTTPS server has *app*; return what that server is to have instead.

        *url* is where that is, without a slash at its end, known once the port is; *hosts* are
        the names it goes by, beside this machine's own; *ca_file* vouches for it, if it must.

        Raises: ValueError when that side is in already.
        """
        self._parts.sources.add(source)
        self._parts.journals.add(journal)
        journal.redactor.learn(self.token, *secrets_of(self._settings))
        is_first = not self._homes
        home = self._homes[source.side] = _Home(url, hosts, ca_file)
        self._roles[source.side] = app
        self._parts.live.start()
        if is_first:
            origins = self._origins_of(home)
            return ConsoleDoor(app, self._app, lambda: origins, self._parts.sign_ins)
        return LeadingDoor(app, lambda: self.url)

    async def leave(self, side: Side) -> None:
        """Show that role no more. One that is not in is no error."""
        self._parts.sources.remove(side)
        self._parts.journals.remove(side)
        self._roles.pop(side, None)
        if self._homes.pop(side, None) is not None and not self._homes:
            await self._parts.live.stop()
            if self._parts.oidc is not None:
                await self._parts.oidc.close()

    # ---- where it is -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where a browser finds it: the plain listener if there is one.

        Raises: RuntimeError when no role has joined.
        """
        if self._plain is None and self._settings.public_url is not None:
            return self._settings.public_url + PREFIX
        return self._local_url()

    @property
    def sign_in_url(self) -> str:
        """The same with the token, which a browser keeps to itself: what comes after #."""
        return f"{self.url}#token={self.token}"

    @property
    def watchers(self) -> int:
        """How many pages look on."""
        return self._parts.live.watchers

    async def __aenter__(self) -> Self:
        """Listen, and say where."""
        self._home()
        async with AsyncExitStack() as exits:
            if self._settings.http_port is not None:
                door = PlainDoor(
                    self._app,
                    self._plain_origins,
                    self._parts.sign_ins,
                    lambda: self._roles.get("service"),
                )
                plain = LoopbackServer(door, port=self._settings.http_port)
                exits.push_async_callback(plain.stop)
                await plain.start()
                self._plain = plain
            file = ConsoleFile(
                url=self._local_url(),
                token=self.token,
                ca_file=self._ca_file(),
                pid=os.getpid(),
            )
            exits.callback(file.save(self._state_dir).unlink, missing_ok=True)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Take console.json away and listen no more."""
        await self._exits.aclose()
        self._plain = None

    def _home(self) -> _Home:
        for home in self._homes.values():
            return home
        raise RuntimeError("expected a call service or a bot host in the console, got none")

    def _local_url(self) -> str:
        """Return where programs of this machine find it."""
        if self._plain is not None:
            return f"http://127.0.0.1:{self._plain.port}{PREFIX}"
        return self._home().url() + PREFIX

    def _ca_file(self) -> Path | None:
        ca_file = self._home().ca_file if self._plain is None else None
        return None if ca_file is None else ca_file.absolute()

    def _origins_of(self, home: _Home) -> Origins:
        hosts = frozenset((*home.hosts, *LOCAL_HOSTS))
        return Origins("https", hosts, public_origin=self._settings.public_url)

    def _plain_origins(self) -> Origins:
        assert self._plain is not None
        return Origins("http", frozenset(LOCAL_HOSTS), port=self._plain.port)
