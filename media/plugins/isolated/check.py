"""Looks at a plugin in a child, so that nothing of it runs in this process."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING, Any, Final

from ..errors import PluginConfigError, PluginError, UnknownPluginError
from .launch import kill, launch

if TYPE_CHECKING:
    from ..config import PluginSpec

CHECK_S: Final = 60.0
"""How long an import may take."""


def check_in_child(spec: PluginSpec) -> None:
    """Find and check the plugin of *spec* and its configuration.

    Raises: PluginError; PluginConfigError with the field's name.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = launch(
                {"plugin": spec.reference, "check": dict(spec.config), "name": spec.name},
                control=theirs.fileno(),
            )
        try:
            ours.settimeout(CHECK_S)
            try:
                data = ours.recv(65_536)
            except TimeoutError:
                raise PluginError(
                    f"plugin {spec.name}: not imported within {CHECK_S:.0f} s"
                ) from None
            if not data:
                raise PluginError(f"plugin {spec.name}: {how_it_ended(process)}")
        finally:
            kill(process)
            process.wait()
    error = json.loads(data)["error"]
    if error is not None:
        raise error_of(spec.name, error)


def error_of(name: str, error: dict[str, Any]) -> PluginError:
    """Return what a child said went wrong."""
    if error["kind"] == "config":
        return PluginConfigError(name, error["field"], error["message"])
    if error["kind"] == "unknown":
        return UnknownPluginError(error["message"])
    if error["kind"] == "plugin":
        return PluginError(error["message"])
    return PluginError(f"{error['kind']}: {error['message']}")


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Return how a child that is gone ended."""
    code = process.wait()
    return (
        f"its process ended with signal {-code}" if code < 0 else f"its process ended with {code}"
    )
