"""kill -9 while a store writes: what was acknowledged is in it, and nothing is in it by halves."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from mixminus.control.store.sqlite import SqliteStore

pytestmark = pytest.mark.slow

ROUNDS = 4
SEED = 7


async def test_what_was_acknowledged_survives_a_kill_and_comes_whole(tmp_path: Path) -> None:
    chance, path = random.Random(SEED), tmp_path / "test.db"
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        wanted = chance.randrange(20, 400)
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.store_writer", str(path), str(number)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert writer.stdout is not None
        for _ in range(wanted):
            acknowledged.append((await writer.stdout.readline()).decode().strip())
        writer.kill()
        rest = await writer.stdout.read()
        acknowledged += rest.decode().split()
        assert await writer.wait() == -9
        store = await SqliteStore.open(path)
        calls = {call.call_id for call in await store.living_calls()}
        assert set(acknowledged) <= calls, f"seed {SEED}, round {number}"
        # With each call its notification, and none without a call.
        assert set(await store.calls_with_notifications()) == calls
        assert (await store.notification_counts()).pending == len(calls)
        # At most what was being written is there beyond that: one call a writer and round.
        assert len(calls) - len(set(acknowledged)) <= 8 * (number + 1)
        await store.close()
