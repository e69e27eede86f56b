"""One request to a running service or bot host of this machine, and its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import FAILED, NOT_FOUND, OF_STATUS, CliError

Json = dict[str, Any]

TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask: its address, the token that it wants, who vouches for it.

    ``name`` and ``command`` are what an error calls it, and what would start it.
    """

    url: str
    token: str
    ca_file: Path | None
    name: str
    command: str


def ask(server: Server, method: str, path: str, body: object = None) -> Json:
    """Send one request and return the JSON object of the answer; empty when there is none.

    Raises: CliError with what the server says, or that it is not there.
    """
    import httpx2

    from ..tls import client_context

    try:
        context = client_context(server.ca_file)
    except OSError as exc:
        raise CliError(f"cannot read {server.ca_file}: {exc.strerror or exc}", NOT_FOUND) from None
    try:
        with httpx2.Client(verify=context, trust_env=False, timeout=TIMEOUT_S) as http:
            response = http.request(
                method,
                f"{server.url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {server.token}"},
            )
    except httpx2.HTTPError as exc:
        what = str(exc) or type(exc).__name__
        raise CliError(
            f"no {server.name} answers at {server.url}: {what}: is `{server.command}` running?"
        ) from None
    answer = _parse(response.content)
    if response.status_code >= 400:
        error = answer.get("error", {})
        message = error.get("message") if isinstance(error, dict) else None
        raise CliError(
            message or f"the {server.name} answered {response.status_code}",
            OF_STATUS.get(response.status_code, FAILED),
        )
    return answer


def _parse(content: bytes) -> Json:
    try:
        answer = json.loads(content) if content else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
