"""The machine: what its processor can do, and how much of it is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .findings import Finding, Level

ISA_VARIABLE: Final = "MIXMINUS_ISA"
CHECK: Final = "processor"
STOLEN_MOST: Final = 0.02
"""More of the time taken by the hypervisor shows in the lateness of ticks."""


def check_processor(
    *,
    architecture: str,
    chosen: str,
    best: str,
    cpus: int,
    usable: float,
    environ: Mapping[str, str],
) -> Finding:
    """Judge the instruction set in use and the CPUs that may be used.

    *cpus* are those that threads may run on, *usable* what a control group leaves of their time.
    """
    limit = f", of which the control group leaves {usable:g}" if usable < cpus else ""
    found = f"{architecture}, kernels {chosen}, {cpus} CPU{'s' * (cpus != 1)}{limit}"
    details = {
        "architecture": architecture,
        "isa": chosen,
        "bestIsa": best,
        "cpus": cpus,
        "usableCpus": usable,
    }
    if chosen != best:
        what = environ.get(ISA_VARIABLE, "")
        return Finding(
            CHECK,
            Level.WARNING,
            f"{found}; this machine could do {best}",
            f"Unset {ISA_VARIABLE} ({what!r}): it holds the kernels back.",
            details,
        )
    if usable < 1.0:
        return Finding(
            CHECK,
            Level.WARNING,
            found,
            "Give the container a whole CPU or more, or no limit: with less the kernel stops all"
            " threads for tens of milliseconds in each period, and ticks are late.",
            details,
        )
    if chosen == "scalar" and architecture == "x86_64":
        return Finding(
            CHECK,
            Level.WARNING,
            f"{found}: no AVX2",
            "Use a machine, or a CPU type of the hypervisor, that has AVX2: mixing takes several"
            " times as long without it.",
            details,
        )
    return Finding(CHECK, Level.OK, found, details=details)


def stolen_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Return the share of time that the hypervisor took between two readings of /proc/stat."""
    spent = [b - a for a, b in zip(before, after, strict=True)]
    total = sum(spent[:8])  # Guests' time is in user's already.
    return spent[7] / total if total > 0 and len(spent) > 7 else 0.0


def cpu_times(text: str | None = None) -> list[int]:
    """Return the first line of /proc/stat, in ticks of USER_HZ."""
    line = (Path("/proc/stat").read_text() if text is None else text).splitlines()[0]
    return [int(word) for word in line.split()[1:]]
