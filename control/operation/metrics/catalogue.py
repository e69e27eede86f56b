"""All metrics that a process may expose. docs/metrics.md has the same, which a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .catalogue_control import BOTH_ROLES, HOST, SERVICE
from .catalogue_media import ENGINE, PROCESS
from .spec import MetricSpec, by_name

SECTIONS: Final[Mapping[str, tuple[MetricSpec, ...]]] = MappingProxyType(
    {
        "Process and admission": PROCESS,
        "Media engine": ENGINE,
        "Calls, plugins, HTTP: both roles": BOTH_ROLES,
        "Call service": SERVICE,
        "Bot host": HOST,
    }
)
CATALOGUE: Final = by_name(*SECTIONS.values())
