"""The parts that settings have: the tables of mixminus.toml and the models that check them."""

from __future__ import annotations

from functools import cache
from typing import Final

from .section import SettingsSection

HOST: Final = "host"
SERVICE: Final = "service"
CONSOLE: Final = "console"
OPERATION: Final = "operation"

OF_PROCESS: Final = {
    "MIXMINUS_CONFIG": "The TOML file, if not ``--config`` says it nor ./mixminus.toml is there.",
    "MIXMINUS_LIBOPUS": "The libopus to use, by its path, instead of the one in PyAV's wheel.",
    "MIXMINUS_LIBSRTP": "The libsrtp to use, by its path, instead of the one in pylibsrtp's wheel.",
    "MIXMINUS_ISA": "scalar, avx2 or avx512: the most that the mixing kernels may use.",
}
"""Variables of the process, beside those of the tables: they have no key in the file."""

TABLES: Final = {
    HOST: "A bot host: credentials, addresses, streams, recordings, plugins.",
    SERVICE: "The call service: addresses, calls, notifications, media.",
    CONSOLE: "The console in the browser.",
    OPERATION: "How the process is run: logs, load, stopping, metrics.",
}
"""What each table is about, in the order in which they are shown."""


@cache
def sections() -> dict[str, type[SettingsSection]]:
    """Return the model of each table. It imports them: the call service's has numpy in it."""
    from ..console.settings import ConsoleSettings
    from ..operation.settings import OperationSettings
    from ..service.settings import ServiceSettings
    from ..settings import HostSettings

    return {
        HOST: HostSettings,
        SERVICE: ServiceSettings,
        CONSOLE: ConsoleSettings,
        OPERATION: OperationSettings,
    }
