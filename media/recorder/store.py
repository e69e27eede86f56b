"""The directory that recordings and captures are kept in: modes, quota, retention, locks."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from .errors import RecordingError, RecordingQuotaError
from .tracks import make_private

DIRECTORY_MODE: Final = 0o700
LOCK_NAME: Final = "lock"
"""Held by the process that writes an entry; the kernel lets go of it however that ends."""
ID_PATTERN: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")

DAY_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much is kept, and how long.

    ``max_duration_s`` is of one recording; ``retention_s`` begins with its last change.
    Raises: ValueError on a limit that is not positive.
    """

    quota_bytes: int = 10 * 2**30
    max_duration_s: float = 4 * 3600.0
    retention_s: float = 30 * DAY_S

    def __post_init__(self) -> None:
        for name in ("quota_bytes", "max_duration_s", "retention_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


class StoreEntry:
    """One recording's or capture's own directory, while it is being written."""

    def __init__(self, store: RecordingStore, directory: Path, lock: BinaryIO) -> None:
        self._store, self.directory, self._lock = store, directory, lock
        self.created_s = store.clock()

    @property
    def limits(self) -> StoreLimits:
        """What the store allows."""
        return self._store.limits

    @property
    def id(self) -> str:
        """The name of the directory: when it began, and a random number."""
        return self.directory.name

    def charge(self, size_bytes: int) -> None:
        """Say how large the entry is by now. Thread: any.

        Raises: RecordingQuotaError when that is more than there is room for.
        """
        self._store._charge(self.id, size_bytes)

    def release(self, *, is_complete: bool) -> None:
        """Be done with it: it is complete, or left for the next start. Again is no error."""
        if not self._lock.closed:
            if is_complete:
                (self.directory / LOCK_NAME).unlink(missing_ok=True)
            self._lock.close()
            self._store._release(self.id, directory_bytes(self.directory))


class RecordingStore:
    """A directory of entries, each a directory of its own that only its owner can read.

    Names are made here: of the time and a random number, of nothing that came from outside.
    Thread: any; entries may be charged from many.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        limits: StoreLimits | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = Path(directory)
        self.limits = limits or StoreLimits()
        self.clock = clock
        self._mutex = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._written: set[str] = set()
        """Entries that are being written here: of those is known what they have told."""
        self._is_known = False

    @property
    def used_bytes(self) -> int:
        """How much there is, as far as entries have told."""
        with self._mutex:
            self._look()
            return sum(self._sizes.values())

    def create(self) -> StoreEntry:
        """Make an entry; what is too old is removed first.

        Raises: RecordingQuotaError when there is no room; OSError.
        """
        self.sweep()
        with self._mutex:
            # Another process, or another store of this one, may keep its recordings here as well.
            self._is_known = False
            self._look()
            used, quota = sum(self._sizes.values()), self.limits.quota_bytes
        if used >= quota:
            raise RecordingQuotaError(_full(used, quota))
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock()))
        directory = self.directory / f"{stamp}-{secrets.token_hex(4)}"
        make_private_directory(self.directory)
        directory.mkdir(mode=DIRECTORY_MODE)
        # Locked before it has its name: nobody ever finds it free while this process lives.
        lock = make_private(directory / f"{LOCK_NAME}.new")
        fcntl.flock(lock, fcntl.LOCK_EX)
        (directory / f"{LOCK_NAME}.new").rename(directory / LOCK_NAME)
        with self._mutex:
            self._sizes[directory.name] = 0
            self._written.add(directory.name)
        return StoreEntry(self, directory, lock)

    def entries(self) -> Iterator[Path]:
        """Iterate over the directories of all entries, oldest first."""
        if self.directory.is_dir():
            for path in sorted(self.directory.iterdir()):
                if self._is_entry(path):
                    yield path

    def find(self, entry_id: str) -> Path | None:
        """Return the directory of the entry of that id; None when there is none.

        *entry_id* may come from outside: what is no id leads nowhere.
        """
        directory = self.directory / entry_id if ID_PATTERN.fullmatch(entry_id) else None
        return directory if directory is not None and self._is_entry(directory) else None

    def left_behind(self) -> Iterator[StoreEntry]:
        """Iterate over the entries whose process ended without completing them, locked for us."""
        for directory in self.entries():
            lock = _try_lock(directory)
            if lock is not None:
                yield StoreEntry(self, directory, lock)

    def is_being_written(self, entry_id: str) -> bool:
        """Say whether a process that lives is writing the entry of that id."""
        directory = self.find(entry_id)
        return directory is not None and _is_being_written(directory)

    def sweep(self) -> tuple[str, ...]:
        """Remove the entries that are older than the retention; return their ids.

        Raises: OSError.
        """
        removed = []
        for directory in self.entries():
            if _is_being_written(directory):
                continue
            if self.clock() - _changed_s(directory) <= self.limits.retention_s:
                continue
            shutil.rmtree(directory)
            removed.append(directory.name)
        with self._mutex:
            for name in removed:
                self._sizes.pop(name, None)
        return tuple(removed)

    def remove(self, entry_id: str) -> bool:
        """Remove one entry that is complete; False when there is none of that id.

        Raises: RecordingError while it is being written; OSError.
        """
        if not ID_PATTERN.fullmatch(entry_id):
            return False
        directory = self.directory / entry_id
        if not self._is_entry(directory):
            return False
        if _is_being_written(directory):
            raise RecordingError(f"{entry_id} is being written")
        shutil.rmtree(directory)
        with self._mutex:
            self._sizes.pop(entry_id, None)
        return True

    def _is_entry(self, path: Path) -> bool:
        # Whatever else somebody put there is not ours to read, count or remove; nor to complete:
        # where others may write, a recording that is a link would lead there.
        if not ID_PATTERN.fullmatch(path.name):
            return False
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()

    def _look(self) -> None:
        # Once, and before each entry that is made: in between those who write here tell.
        if not self._is_known:
            self._is_known = True
            told = {name: self._sizes.get(name, 0) for name in self._written}
            there = {path.name: directory_bytes(path) for path in self.entries()}
            self._sizes = {**there, **told}

    def _charge(self, entry_id: str, size_bytes: int) -> None:
        with self._mutex:
            self._look()
            self._sizes[entry_id] = size_bytes
            used = sum(self._sizes.values())
        if used > self.limits.quota_bytes:
            raise RecordingQuotaError(_full(used, self.limits.quota_bytes))

    def _release(self, entry_id: str, size_bytes: int) -> None:
        with self._mutex:
            self._sizes[entry_id] = size_bytes
            self._written.discard(entry_id)


def make_private_directory(directory: Path) -> None:
    """Make *directory* and what is missing above it, for its owner alone; one that is there stays.

    Raises: OSError.
    """
    if not directory.is_dir():
        make_private_directory(directory.parent)
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def directory_bytes(directory: Path) -> int:
    """Return how long all files of an entry are together; 0 of one that is not there any more."""
    return sum(file.st_size for file in _stats(directory))


def sync_directory(directory: Path) -> None:
    """Put the names of a directory on the disk, so that a file's new name outlives a crash."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _changed_s(directory: Path) -> float:
    times = [file.st_mtime for file in _stats(directory)]
    return max(times, default=directory.lstat().st_mtime)


def _stats(directory: Path) -> list[os.stat_result]:
    """Return what is known of an entry's files, but for those that go while we look."""
    stats = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            # A file that is being written is renamed at any time.
            with suppress(FileNotFoundError):
                stats.append(path.lstat())
    return stats


def _try_lock(directory: Path) -> BinaryIO | None:
    """Return the lock of an entry whose process is gone; None when it lives, or all is complete."""
    try:
        lock = (directory / LOCK_NAME).open("r+b")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever completed the entry between the two steps took its lock away, and let go of it.
        is_left = (directory / LOCK_NAME).exists()
    except BlockingIOError:
        is_left = False
    if is_left:
        return lock
    lock.close()
    return None


def _is_being_written(directory: Path) -> bool:
    if not (directory / LOCK_NAME).exists():
        return False
    lock = _try_lock(directory)
    if lock is None:
        return True
    lock.close()
    return False


def _full(used: int, quota: int) -> str:
    return f"the recordings take up {used} bytes of {quota} that they may"
