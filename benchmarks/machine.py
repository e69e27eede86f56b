"""What a figure was measured on: CPU, kernel, versions, and what the hypervisor took meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from mixminus.media import _native

PACKAGES = ("mixminus", "numpy", "av", "aiortc")


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def describe_machine() -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "compiled_with": platform.python_compiler(),
        "isas": list(_native.isas()),
        "isa_in_use": _native.isa(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


class StealMeter:
    """The share of CPU time that the hypervisor gave to others since this was made."""

    def __init__(self) -> None:
        self._begin = self._times()

    @staticmethod
    def _times() -> tuple[int, int]:
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return fields[7], sum(fields[:8])

    def percent(self) -> float:
        steal, total = self._times()
        spent = total - self._begin[1]
        return round(100.0 * (steal - self._begin[0]) / spent, 2) if spent else 0.0
