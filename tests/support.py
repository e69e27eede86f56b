"""What several tests need: waiting for a condition, and the repository's own files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


async def eventually(
    check: Callable[[], Any | Awaitable[Any]], timeout_s: float = 5.0, what: str = "the condition"
) -> None:
    """Wait until *check* is true: a condition with a deadline, never a fixed time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert loop.time() < deadline, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.005)


def open_sockets() -> int:
    """How many sockets this process has."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            count += str(descriptor.readlink()).startswith("socket:")
        except OSError:  # Closed since, as the listing's own is.
            continue
    return count
