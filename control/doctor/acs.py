"""Azure Communication Services: reached, with a key that it takes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from ..acs.client import API_VERSION, CONNECTIONS
from ..acs.signing import ConnectionString, signed_headers
from ..settings import HostSettings
from .findings import Finding, Level
from .graph import OFFLINE_REMEDY
from .network import Answer, ask

CHECK: Final = "ACS"


def ask_acs(settings: HostSettings) -> Answer:
    """Ask for a call that there is not, signed with the resource's key.

    Raises: ValueError without acs_connection_string. Thread: any but a loop's.
    """
    if settings.acs_connection_string is None:
        raise ValueError("expected acs_connection_string to be set")
    resource = ConnectionString.parse(settings.acs_connection_string.get_secret_value())
    target = f"{CONNECTIONS}/{uuid.UUID(int=0)}?api-version={API_VERSION}"
    host = urlsplit(resource.endpoint).netloc
    headers = signed_headers(resource.access_key, "GET", target, host, b"", datetime.now(UTC))
    return ask(resource.endpoint + target, settings.acs_ca_file, headers)


def check_acs(answer: Answer) -> Finding:
    """Judge what the resource answered."""
    parts = urlsplit(answer.url)
    endpoint = f"{parts.scheme}://{parts.netloc}"
    details = {"endpoint": endpoint, "status": answer.status}
    if not answer.came:
        found = f"{endpoint} cannot be reached: {answer.problem}"
        return Finding(CHECK, Level.ERROR, found, OFFLINE_REMEDY, details)
    if answer.status in (401, 403):
        return Finding(
            CHECK,
            Level.ERROR,
            f"{endpoint} refuses our signature ({answer.status})",
            "Take the connection string anew from the resource's Keys in the Azure portal; look at"
            " the clock, too: a signature is good for five minutes.",
            details,
        )
    if answer.status >= 500 or answer.status == 429:
        found = f"{endpoint} answered {answer.status}"
        return Finding(CHECK, Level.WARNING, found, "Try again later.", details)
    return Finding(CHECK, Level.OK, f"{endpoint} takes our signature", details=details)
