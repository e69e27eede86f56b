"""How this process is run: in a container, under systemd, with which rights."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Manager: TypeAlias = Literal["kubernetes", "container", "systemd", "shell"]

CAP_SYS_NICE: Final = 23
"""Its number in linux/capability.h."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the kernel lets this process do. Limits: None is unlimited."""

    has_sys_nice: bool
    no_new_privileges: bool
    """Whether capabilities of files are ignored at exec."""
    real_time_priority: int | None
    """RLIMIT_RTPRIO: the highest priority that may be asked for without CAP_SYS_NICE."""
    open_files: int | None
    open_files_hard: int | None
    locked_bytes: int | None


def manager(environ: Mapping[str, str], root: Path = Path("/")) -> Manager:
    """Say who started this process. *root* is for tests."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return "container"
    # systemd sets it for each unit; a login shell on a desktop may have inherited it from one.
    if "INVOCATION_ID" in environ and "TERM" not in environ:
        return "systemd"
    return "shell"


def rights(status: str | None = None) -> Rights:
    """Return the rights of this process; *status* is /proc/self/status, for tests."""
    text = Path("/proc/self/status").read_text() if status is None else status
    fields = dict(line.partition(":")[::2] for line in text.splitlines())
    capabilities = int(fields.get("CapEff", "0").strip() or "0", 16)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Rights(
        has_sys_nice=bool(capabilities >> CAP_SYS_NICE & 1),
        no_new_privileges=fields.get("NoNewPrivs", "0").strip() == "1",
        real_time_priority=_limit(resource.getrlimit(resource.RLIMIT_RTPRIO)[0]),
        open_files=_limit(soft),
        open_files_hard=_limit(hard),
        locked_bytes=_limit(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]),
    )


def is_root() -> bool:
    """Whether this process is root's."""
    return os.geteuid() == 0


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value
