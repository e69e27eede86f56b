"""``recording.json``: what a recording is, written anew with each block and at its end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .store import sync_directory
from .tracks import PART, make_private

MANIFEST_NAME: Final = "recording.json"
VERSION: Final = 1


def write_manifest(directory: Path, content: Mapping[str, Any]) -> Path:
    """Replace the manifest of *directory* by *content*, whole or not at all; return its path.

    Raises: OSError; then the one before is still there.
    """
    path, part = directory / MANIFEST_NAME, directory / (MANIFEST_NAME + PART)
    part.unlink(missing_ok=True)
    with make_private(part) as file:
        file.write(json.dumps({"version": VERSION, **content}, indent=1).encode() + b"\n")
        file.flush()
        os.fdatasync(file.fileno())
    part.replace(path)
    return path


def json_line(content: Mapping[str, Any]) -> bytes:
    """Return *content* as a line of JSON, in UTF-8.

    A name that holds half a character, which has no UTF-8 form, makes it a line of ASCII.
    """
    try:
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(content).encode() + b"\n"


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a recording; empty when there is none that can be read."""
    try:
        content = json.loads((directory / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def finish_file(part: Path) -> Path:
    """Give a complete file its name; return it. Raises: OSError."""
    path = part.with_name(part.name.removesuffix(PART))
    part.replace(path)
    sync_directory(part.parent)
    return path
