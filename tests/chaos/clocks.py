"""The wall clock of processes under test, moved while they run; monotonic clocks go on."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shifted_clock.c")


class NoShiftedClockError(Exception):
    """The wall clock of processes cannot be moved here; the message says why."""


class WallClock:
    """A file in *directory* that says how far the wall clock of processes is from ours."""

    def __init__(self, directory: Path) -> None:
        """Build what they are started with. Raises: NoShiftedClockError."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise NoShiftedClockError("no C compiler here: apt-get install gcc libc6-dev")
        self._library, self._file = directory / "shifted_clock.so", directory / "shift"
        command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(self._library)]
        done = subprocess.run(
            [*command, str(SOURCE), "-ldl"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoShiftedClockError(f"{compiler}: {done.stderr.strip()[-300:]}")
        self._file.write_bytes(struct.pack("@q", 0))

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process is started with so that its clock can be moved."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)}

    def move_to(self, seconds: int) -> None:
        """Set the clock that far from ours, for all processes at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("@q", seconds))
