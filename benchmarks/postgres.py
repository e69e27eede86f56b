"""A PostgreSQL server for a benchmark: Debian's, on loopback, each commit on the disk."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.processes import BenchmarkError


def own_server(exits: ExitStack) -> str:
    """Start a server that ends with *exits*; return the URL of an empty database there.

    Raises: BenchmarkError where it cannot be had.
    """
    try:
        from tests.postgres_kit import NoPostgresError, postgres_server
    except ImportError as error:
        raise BenchmarkError(f'{error}: pip install "mixminus[postgres]"') from error
    try:
        return exits.enter_context(postgres_server(durable=True)).new_database()
    except NoPostgresError as error:
        raise BenchmarkError(str(error)) from error
