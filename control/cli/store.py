"""``mixminus store``: the tables of a call service or of bot hosts, looked through and copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .errors import FAILED, USAGE, CliError, store_error
from .output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from ..store.checking import Checked

URLS: Final = ("postgresql://", "postgres://")
TARGETS: Final = ["MIXMINUS_STORE_URL", "MIXMINUS_SERVICE_STORE_URL"]


def register(app: typer.Typer) -> None:
    """Add the ``store`` commands."""
    group = typer.Typer(
        help="Look through a store, or copy it from SQLite to PostgreSQL.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("check")(check)
    group.command("copy")(copy)
    app.add_typer(group, name="store")


def check(
    store: Annotated[
        str, typer.Argument(help="A file of SQLite's, or a postgresql:// URL.", envvar=TARGETS)
    ],
    as_json: JsonOption = False,
) -> None:
    """Look through a store; exit 1 on what cannot be read.

    It may be in use, and is not changed.

    Example: mixminus store check .mixminus/host.db
    """
    from ..store.base import StoreError
    from ..store.checking import check_file
    from ..store.opening import postgres_module

    try:
        if store.startswith(URLS):
            checked: Checked = postgres_module("copying").check_database(store)
        else:
            _expect_file(store)
            checked = check_file(Path(store))
    except StoreError as exc:
        raise store_error(exc) from None
    if as_json:
        print_json(
            {
                "store": checked.shown,
                "version": checked.version,
                "knownVersion": checked.known_version,
                "rows": checked.rows,
                "problems": checked.problems,
            }
        )
    else:
        print(f"{checked.shown}: version {checked.version} of {checked.known_version}")
        _print_rows(checked.rows)
        print("\n".join(checked.problems) if checked.problems else "no problems")
    if checked.problems:
        raise typer.Exit(FAILED)


def copy(
    source: Annotated[
        Path, typer.Argument(metavar="FROM", help="The file of SQLite's; nothing may use it.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="The postgresql:// URL of a database whose tables are empty.",
            envvar=TARGETS,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Copy all tables from SQLite to PostgreSQL, or nothing.

    Example: mixminus store copy .mixminus/host.db postgresql://mixminus@db.example/mixminus
    """
    import asyncio

    from ..store.base import StoreError
    from ..store.opening import postgres_module

    _expect_file(str(source))
    try:
        rows = asyncio.run(postgres_module("copying").copy_store(source, target))
    except StoreError as exc:
        raise store_error(exc) from None
    if as_json:
        print_json({"rows": rows})
        return
    _print_rows(rows)
    print(f"{sum(rows.values())} rows copied")


def _expect_file(name: str) -> None:
    """Refuse a URL where a file is wanted, and say nothing of it: there may be a password in it."""
    scheme, _, rest = name.partition(":")
    # A path that came as one has lost a slash.
    if rest.startswith("/") and scheme.isalnum() and len(scheme) > 1:
        raise CliError(
            "expected a file of SQLite's, or postgresql://user@host:port/database where a database"
            f" is taken, got a {scheme}: URL",
            USAGE,
        )


def _print_rows(rows: dict[str, int]) -> None:
    print_table(
        ("table", "rows"), [[table, str(count)] for table, count in rows.items()], empty="no tables"
    )
