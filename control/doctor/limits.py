"""How many files and sockets the process may have open, against how many calls it is to carry."""

from __future__ import annotations

from typing import Final

from .findings import Finding, Level
from .surroundings import Rights

CHECK: Final = "file descriptors"
OF_PROCESS: Final = 128
"""Libraries, the store, listeners, the engine, clients' idle connections."""
A_CALL: Final = 6
"""A caller's socket, a media link's two ends where both roles run here, its recording's files, and
connections that are just being made or ended."""


def check_open_files(rights: Rights, calls: int) -> Finding:
    """Judge the limit of open files for *calls* at once."""
    needed = OF_PROCESS + A_CALL * calls
    limit = rights.open_files
    details = {"limit": limit, "hardLimit": rights.open_files_hard, "needed": needed}
    if limit is None:
        return Finding(CHECK, Level.OK, "unlimited", details=details)
    found = f"{limit} allowed, about {needed} needed for {calls} calls"
    if limit >= needed:
        return Finding(CHECK, Level.OK, found, details=details)
    carries = max(0, (limit - OF_PROCESS) // A_CALL)
    return Finding(
        CHECK,
        Level.WARNING,
        f"{found}: they are enough for about {carries}",
        f"`ulimit -n {needed}` before the start; systemd: LimitNOFILE={needed}; Docker: `--ulimit"
        f" nofile={needed}`. Or lower max_calls and max_streams.",
        details,
    )
