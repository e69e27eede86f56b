"""``mixminus health``: whether a running process is alive, or ready; for probes of containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .errors import FAILED, NOT_FOUND, OK, CliError
from .output import JsonOption, print_json
from .state_options import STATE_DIR, HostState

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S: Final = 4.0
"""Probes wait a few seconds at most."""


def register(app: typer.Typer) -> None:
    """Add ``health``."""
    app.command()(health)


def health(
    state_dir: HostState = STATE_DIR,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether new calls may come (/readyz).")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Ask a running serve, service or dev how it is.

    Exits 0 if all is well, 1 if not.

    Alive means that its engine mixed frames in the last second, not that it answers.

    Example: mixminus health

    Example: mixminus health --ready --json
    """
    answers = [
        _ask(url, ca_file, "/readyz" if ready else "/healthz")
        for url, ca_file in _servers(state_dir)
    ]
    if as_json:
        print_json([body for _, body in answers])
    else:
        for status, body in answers:
            reasons = ", ".join(body.get("reasons", ()))
            said = body.get("status", f"answered {status}")
            print(f"{body.get('role', 'server')}: {said}{f' ({reasons})' if reasons else ''}")
    return OK if all(status == 200 for status, _ in answers) else FAILED


def _servers(state_dir: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield address and authority of each server of that directory.

    Raises: CliError when there is none.
    """
    from ..devfile import DEV_FILE_NAME, DevFile, DevFileError
    from ..host.hostfile import HOST_FILE_NAME, HostFile, HostFileError

    found = False
    try:
        if (state_dir / DEV_FILE_NAME).exists():
            dev = DevFile.load(state_dir / DEV_FILE_NAME)
            found = True
            yield dev.graph_base_url, dev.ca_file
        if (state_dir / HOST_FILE_NAME).exists():
            host = HostFile.load(state_dir)
            found = True
            yield host.url, host.ca_file
    except (DevFileError, HostFileError) as exc:
        raise CliError(str(exc)) from None
    if not found:
        raise CliError(
            f"no {DEV_FILE_NAME} and no {HOST_FILE_NAME} in {state_dir}: nothing runs there",
            NOT_FOUND,
        )


def _ask(url: str, ca_file: Path | None, path: str) -> tuple[int, dict[str, Any]]:
    import httpx2

    from ..tls import client_context

    try:
        context = client_context(ca_file)
        with httpx2.Client(verify=context, trust_env=False, timeout=TIMEOUT_S) as http:
            response = http.get(f"{url}{path}")
    except (httpx2.HTTPError, OSError) as exc:
        raise CliError(f"{url} does not answer: {exc or type(exc).__name__}") from None
    try:
        body = json.loads(response.content)
    except ValueError:
        body = {}
    return response.status_code, body if isinstance(body, dict) else {}
