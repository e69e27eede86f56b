"""``mixminus dev-certs``: certificates from the local authority, for foreign bots' callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import USAGE, CliError
from .output import JsonOption, print_json


def register(app: typer.Typer) -> None:
    """Add the ``dev-certs`` command."""
    app.command("dev-certs")(dev_certs)


def dev_certs(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Names or addresses.")],
    state: Annotated[Path, typer.Option(help="The state directory whose authority signs.")] = Path(
        ".mixminus"
    ),
    out: Annotated[Path, typer.Option(help="Where to write the files.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Issue a certificate that this call service trusts.

    Writes HOST.pem (the chain) and HOST-key.pem (mode 0600), and prints where they are. With it a
    bot of another make serves its callbacks to the call service of the same state directory.

    Example: mixminus dev-certs bot.localhost 127.0.0.1 --out certs
    """
    from ..tls import LocalAuthority

    try:
        authority = LocalAuthority(state)
        certificate = authority.issue(*hosts, directory=out)
    except ValueError as error:
        raise CliError(str(error), USAGE) from None
    except OSError as error:
        raise CliError(f"cannot write {error.filename}: {error.strerror}") from None
    if as_json:
        print_json(
            {
                "certFile": str(certificate.cert_file),
                "keyFile": str(certificate.key_file),
                "caFile": str(authority.ca_file),
            }
        )
        return
    print(f"certificate {certificate.cert_file}")
    print(f"key         {certificate.key_file}")
    print(f"authority   {authority.ca_file}")
