"""The directories that are written to: room, rights, and what keeps secrets in them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .findings import Finding, Level

CHECK: Final = "storage"
LEAST_BYTES: Final = 100 * 2**20
"""Below this a store cannot be relied on."""
FEW_BYTES: Final = 2**30
"""Below this somebody should look."""

SHARED_SYSTEMS: Final = frozenset(("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"))
"""File systems over a network: SQLite's write-ahead log needs memory that all users share."""

SECRET_FILES: Final = (
    "dev.json",
    "host.json",
    "console.json",
    "service.db",
    "host.db",
    "**/*-key.pem",
    "simulate/twilio-auth-token",
)
"""What has secrets in it in a state directory."""
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
MOST_NAMED: Final = 5


def check_directory(
    what: str, path: Path, *, quota_bytes: int | None = None, has_store: bool = False
) -> list[Finding]:
    """Judge a directory that is written to, or where it would be made.

    With *quota_bytes* that much may be written to it. *has_store*: a database is in it.
    """
    place = nearest_there(path)
    is_there = place == Path(os.path.abspath(path))
    where = str(path) if is_there else f"{path} (to be made in {place})"
    details = {"what": what, "path": str(path), "exists": is_there}
    if not place.is_dir():
        message = f"{what}: {place} is no directory"
        return [Finding(CHECK, Level.ERROR, message, "Name another directory.", details)]
    if not os.access(place, os.W_OK | os.X_OK):
        return [
            Finding(
                CHECK,
                Level.ERROR,
                f"{what}: {where} cannot be written to by user {os.geteuid()}",
                f"`chown -R {os.geteuid()} {place}`, or name another directory.",
                details,
            )
        ]
    findings = [_check_room(what, where, place, quota_bytes, details)]
    system = file_system(place.resolve())
    if has_store and system in SHARED_SYSTEMS:
        findings.append(
            Finding(
                CHECK,
                Level.ERROR,
                f"{what}: {where} is on {system}, where a database in WAL mode is not safe",
                "Put it on a disk of this machine.",
                details,
            )
        )
    if is_there:
        findings += _check_modes(what, path)
    return findings


def _check_room(
    what: str, where: str, place: Path, quota_bytes: int | None, details: dict[str, object]
) -> Finding:
    free = shutil.disk_usage(place).free
    details = {**details, "freeBytes": free, "quotaBytes": quota_bytes}
    found = f"{what}: {where}, {size(free)} free"
    if free < LEAST_BYTES:
        remedy = f"Make room, {size(FEW_BYTES)} or more, or name another directory."
        return Finding(CHECK, Level.ERROR, found, remedy, details)
    if free < FEW_BYTES or (quota_bytes is not None and free < quota_bytes - used(place)):
        wanted = "" if quota_bytes is None else f"; recordings may take {size(quota_bytes)}"
        remedy = "Make room, or lower recordings_quota_bytes."
        return Finding(CHECK, Level.WARNING, found + wanted, remedy, details)
    return Finding(CHECK, Level.OK, found, details=details)


def _check_modes(what: str, path: Path) -> Iterator[Finding]:
    open_files = [
        str(file.relative_to(path))
        for pattern in SECRET_FILES
        for file in sorted(path.glob(pattern))
        if file.is_file() and file.stat().st_mode & OTHERS
    ]
    directory_is_open = bool(path.stat().st_mode & stat.S_IRWXO)
    # In a directory that nobody else can enter, the modes of files do not matter.
    if open_files and directory_is_open:
        more = len(open_files) - MOST_NAMED
        named = ", ".join(open_files[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield Finding(
            CHECK,
            Level.ERROR,
            f"{what}: others may read secrets in {path}: {named}",
            f"`chmod -R go= {path}`, and make new secrets if others use this machine.",
        )
    elif directory_is_open:
        yield Finding(
            CHECK,
            Level.WARNING,
            f"{what}: others may enter {path} (mode {stat.S_IMODE(path.stat().st_mode):04o})",
            f"`chmod 700 {path}`",
        )


def nearest_there(path: Path) -> Path:
    """Return *path*, or the nearest directory above it that there is."""
    path = Path(os.path.abspath(path))
    return next((one for one in (path, *path.parents) if one.exists()), Path("/"))


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system that *path* (absolute) is on; "" when nothing says so."""
    text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
    best, found = -1, ""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        point = Path(words[1].encode().decode("unicode_escape"))
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, found = len(point.parts), words[2]
    return found


def used(path: Path) -> int:
    """Return what the files below *path* take, in bytes."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += (Path(folder) / name).stat().st_size
            except OSError:
                continue  # Gone meanwhile.
    return total


def size(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
