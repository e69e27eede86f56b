"""``mixminus dev-certs``: certificates from the local authority, for foreign bots' callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import USAGE, CliError


def register(app: typer.Typer) -> None:
    """Add the ``dev-certs`` command."""
    app.command("dev-certs")(dev_certs)


def dev_certs(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Names or addresses.")],
    state: Annotated[Path, typer.Option(help="The state directory whose authority signs.")] = Path(
        ".mixminus"
    ),
    out: Annotated[Path, typer.Option(help="Where to write the files.")] = Path(),
) -> None:
    """Issue a certificate for HOST that the call service of this state directory trusts.

    Writes HOST.pem (the chain) and HOST-key.pem (mode 0600), and prints where they are.
    """
    from ..tls import LocalAuthority

    try:
        authority = LocalAuthority(state)
        certificate = authority.issue(*hosts, directory=out)
    except ValueError as error:
        raise CliError(str(error), USAGE) from None
    except OSError as error:
        raise CliError(f"cannot write {error.filename}: {error.strerror}") from None
    print(f"certificate {certificate.cert_file}")
    print(f"key         {certificate.key_file}")
    print(f"authority   {authority.ca_file}")
