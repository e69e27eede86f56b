"""How much processor time this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUP: Final = Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> float:
    """Return how many CPUs' time the process may use: by its affinity, and a container's quota.

    Source: cgroup v2, ``cpu.max``: "QUOTA PERIOD" in microseconds, or "max PERIOD". The quotas of
            all groups around the process count; those of version 1 are not looked for.
    """
    cpus = float(len(os.sched_getaffinity(0)))
    for group in _groups(cgroups, own_cgroup):
        quota = _quota_cpus(group / "cpu.max")
        if quota is not None:
            cpus = min(cpus, quota)
    return cpus


def _groups(cgroups: Path, own_cgroup: Path) -> list[Path]:
    """Return the group of this process and those around it, as far as they can be seen."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return [cgroups]
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = cgroups / own.strip("/")
    # In a container the path may be one of the host's, which is not here: then the root counts.
    around = [group, *group.parents]
    return [path for path in around if path == cgroups or cgroups in path.parents]


def _quota_cpus(path: Path) -> float | None:
    try:
        quota, _, period = path.read_text().strip().partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # No such file here, or a kernel that writes it otherwise: no quota is known.
