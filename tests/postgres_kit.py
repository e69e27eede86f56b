"""A PostgreSQL server of a test's own: Debian's, on a loopback port, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tests.debian import try_install

START_S = 60
USER = "mixminus"
PASSWORD = "p@ss:w/rd"
PASSWORD_IN_URL = "p%40ss%3Aw%2Frd"


class NoPostgresError(Exception):
    """PostgreSQL is not here and cannot be installed; the message says why."""


class PostgresServer:
    """A server in *directory*, run by user postgres when we are root."""

    def __init__(self, directory: Path, programs: Path, *, durable: bool = False) -> None:
        self._directory, self._programs = directory, programs
        self._user = "postgres" if os.geteuid() == 0 else None
        self._names = count()
        self._durable = durable
        self.port = _free_port()
        self.data = directory / "data"

    def make(self) -> None:
        """Make the files, with a superuser *USER* who has a password."""
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        secret = self._directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            *("initdb", "--pgdata", str(self.data), "--username", USER, "--encoding", "UTF8"),
            *("--locale", "C.UTF-8", "--auth", "scram-sha-256", "--pwfile", str(secret)),
            *(() if self._durable else ("--no-sync",)),
        )

    def start(self) -> None:
        """Start serving; returns when it does."""
        durable = "on" if self._durable else "off"
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories="
            f" -c fsync={durable} -c max_connections=20"
        )
        log = str(self._directory / "log")
        self._control("start", "--wait", "--log", log, "--options", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop: ``fast`` as an administrator does, ``immediate`` as a crash does."""
        self._control("stop", "--wait", "--mode", mode)

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return (self.data / "postmaster.pid").exists()

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD_IN_URL) -> str:
        """Return the URL of a database here."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"test{next(self._names)}"
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def connect(self, database: str) -> psycopg.Connection:
        """Return a connection of the superuser's to a database, or to that of a URL."""
        address = database if "://" in database else self.url(database)
        return psycopg.connect(address, autocommit=True, connect_timeout=10)

    def _control(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "--pgdata", str(self.data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Into a file: the server inherits it, and a pipe would stay open as long as it runs.
        output = self._directory / f"{program}.output"
        with output.open("wb") as file:
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                timeout=START_S,
                check=False,
            )
        if done.returncode:
            log = self._directory / "log"
            more = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} {arguments}: {output.read_text()[-2000:]}{more}")


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Install PostgreSQL if need be and run a server.

    *durable*: each commit reaches the disk, as in production; tests of faults need no more than
    the page cache. Raises: NoPostgresError.
    """
    programs = _programs()
    if programs is None:
        problem = _install()
        programs = _programs()
        if programs is None:
            raise NoPostgresError(f"no PostgreSQL here: {problem or 'installed without server'}")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise NoPostgresError("no PostgreSQL here: there is no user postgres") from None
    # Not in pytest's: the user postgres may not enter those.
    directory = Path(tempfile.mkdtemp(prefix="mixminus-postgres-"))
    server = PostgresServer(directory, programs, durable=durable)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if server.is_running:
            server.stop("immediate")
        shutil.rmtree(directory)


def _programs() -> Path | None:
    """Return where the newest server's programs are: Debian has them in no PATH."""
    here = shutil.which("pg_ctl")
    if here is not None:
        return Path(here).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = max(found, key=lambda path: int(path.parts[4]), default=None)
    return None if newest is None else newest.parent


def _install() -> str | None:
    """Install PostgreSQL unless another process has just done so; return why not, or None."""
    with (Path(tempfile.gettempdir()) / "mixminus-postgres-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if _programs() is not None else try_install("postgresql")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
