"""``--state``: the directory by which processes of one machine find each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

STATE_DIR: Final = Path(".mixminus")
OF_HOST: Final = "MIXMINUS_STATE_DIR"
OF_SERVICE: Final = "MIXMINUS_SERVICE_STATE_DIR"

OwnState = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="Where keys, certificates, calls and recordings are kept.",
        show_default=str(STATE_DIR),
    ),
]
"""Of a command that serves: what is not said is the settings' to say."""

HostState = Annotated[
    Path,
    typer.Option(
        "--state",
        help="The state directory of the running `mixminus serve` or `mixminus dev`.",
        envvar=[OF_HOST, OF_SERVICE],
        show_envvar=False,
    ),
]
ServiceState = Annotated[
    Path,
    typer.Option(
        "--state",
        help="The state directory of the running call service, or its dev.json.",
        envvar=[OF_SERVICE, OF_HOST],
        show_envvar=False,
    ),
]
