"""The disk of both stores is full for a while: a small one, in a mount namespace of ours."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from tests.chaos.receiver import Webhook
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Stage, stage_of
from tests.chaos.under_fault import play_under

FULL_S = 20.0
DISK_BYTES = 32 * 2**20
CLONE_NEWNS = 0x00020000
BLOCK = b"\0" * 65_536


async def play(run: Run) -> None:
    """Fill the disk until nothing more goes on it, and empty it again."""
    disk = run.directory / "disk"
    async with AsyncExitStack() as exits:
        try:
            exits.enter_context(small_disk(disk))
        except OSError as error:
            run.outcome.skip("a full disk", f"no file system of our own here: {error.strerror}")
            return

        async def fill(stage: Stage) -> None:
            ballast = disk / "ballast"
            _fill(ballast)
            try:
                await asyncio.sleep(run.seconds(FULL_S, 5.0))
            finally:
                ballast.unlink()

        # What the bots write down is on another disk: it is no part of what is under test.
        stage = await exits.enter_async_context(stage_of(run.directory, states=disk))
        webhook = Webhook(stage.service.state_dir, run.directory / "hook")
        hook = await exits.enter_async_context(webhook)
        await play_under(run, stage, fill, hook=hook)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mount a small file system at *path*, for this process and those it starts.

    Raises: OSError where that is not allowed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    path.mkdir(parents=True, exist_ok=True)
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "chaos", str(path))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EPERM, done.stderr.strip() or "mount failed")


def _fill(ballast: Path) -> None:
    """Write until the disk is full; then also the rest of its last block."""
    with ballast.open("wb", buffering=0) as file:
        for size in (len(BLOCK), 4096, 1):
            try:
                while True:
                    file.write(BLOCK[:size])
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


SCENARIO = Scenario("disk-full", "the disk of the stores is full", play)
