"""One process at a time works in a state directory, for each role."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

SERVICE_LOCK: Final = ".service.lock"
HOST_LOCK: Final = ".host.lock"


class StateDirInUseError(OSError):
    """Another process of the same role works in that state directory."""


def hold_state_dir(state_dir: Path, lock_name: str, taken: str) -> int:
    """Hold *state_dir* for this process; return the descriptor that holds it until it is closed.

    Raises: StateDirInUseError, which says *taken*, when another process has it.
    """
    descriptor = os.open(state_dir / lock_name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StateDirInUseError(taken) from None
    return descriptor
