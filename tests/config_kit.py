"""Settings under test: an empty environment and an empty directory, and files written into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mixminus.control.config.sources import BORROWED

SECRET = "hunter2-hunter2-hunter2"
CREDENTIALS = {
    "MIXMINUS_TENANT_ID": "t",
    "MIXMINUS_APP_ID": "a",
    "MIXMINUS_CLIENT_SECRET": SECRET,
}

Write = Callable[[str], Path]
SetAll = Callable[..., None]


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with no variable that settings are read from."""
    borrowed = {name for names in BORROWED.values() for name in names}
    for name in os.environ:
        if name.upper().startswith("MIXMINUS_") or name in borrowed:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(clean: Path) -> Write:
    """Write mixminus.toml into the working directory."""

    def put(text: str) -> Path:
        path = Path("mixminus.toml")
        path.write_text(text)
        return path

    return put


@pytest.fixture
def credentials(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say in the environment what a host has to be told."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
