"""What settings name on this machine is looked at before anybody calls, not when it is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import ConfigError, Problem
from .stream_auth import KeyFile

if TYPE_CHECKING:
    from ..settings import HostSettings


def check_paths(settings: HostSettings) -> None:
    """Return when the files that *settings* name can be read, and directories be written.

    Raises: ConfigError that names the setting.
    """
    if settings.acs_keys_file is not None:
        try:
            KeyFile(settings.acs_keys_file).check()
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise _error("acs_keys_file", f"{settings.acs_keys_file}: {why}") from None
    _check_writable("state_dir", settings.state_dir)
    if settings.recording_gate != "never":
        _check_writable("recordings_dir", settings.recordings_path)


def _check_writable(setting: str, directory: Path) -> None:
    """Return when *directory* can be written to, or be made. It is not made before it is used."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise _error(setting, f"expected a directory, got {there}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _error(setting, f"expected a directory that can be written to, got {there}")


def _error(setting: str, message: str) -> ConfigError:
    return ConfigError(Problem(f"host.{setting}", message))
