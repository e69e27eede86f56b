"""One name, one living host: in an SQLite file too, which has no sessions that could say so."""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path

from .base import StoreError
from .host_base import InstanceInUseError


class InstanceLock:
    """A host's hold on its name, for as long as its process lives.

    Each name has a byte of a file beside the database. The lock is the open file's, not the
    process's: a second host in the same process is refused too, and no other opening of the file
    lets go of it.
    """

    def __init__(self, path: Path, instance: str) -> None:
        """Take the name *instance* of the database at *path*.

        Raises: InstanceInUseError when a living host has it; StoreError.
        """
        lock_path = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open the store {path}: {error}") from error
        byte = zlib.crc32(instance.encode())
        # struct flock: l_type, l_whence, l_start, l_len, l_pid, and what aligns it.
        wanted = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            os.close(self._fd)
            if not isinstance(error, BlockingIOError | PermissionError):
                raise StoreError(f"cannot lock {lock_path}: {error}") from error
            raise InstanceInUseError(
                f"the instance {instance!r} of {path} is in use by another process: give each"
                " host a name (host.instance) and a state directory of its own"
            ) from None

    def close(self) -> None:
        """Let go of the name. Again is no error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
