"""A process that writes to a store as fast as it can and says what was acknowledged, until killed.

`python -m tests.store_writer FILE ROUND`: a line on its standard output for each call that is in.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mixminus.control.store.base import CallRow
from mixminus.control.store.opening import open_store

WRITERS = 8


async def main(path: Path, tag: str) -> None:
    store = await open_store(None, path)

    async def write(writer: int) -> None:
        number = 0
        while True:
            number += 1
            call_id = f"{tag}-{writer}-{number}"
            row = CallRow(call_id, "app", "tenant", "https://bot/", "established", False, {})
            await store.save_call(row, [f"body of {call_id}"])
            # One write of less than a page: a reader never sees half a line.
            os.write(sys.stdout.fileno(), f"{call_id}\n".encode())

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
