"""The settings file: found, and read as TOML."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .errors import ConfigError, NoFileError, Problem

CONFIG_VARIABLE: Final = "MIXMINUS_CONFIG"
FILE_NAME: Final = "mixminus.toml"
"""The file that is read in the working directory when none is named."""
MAX_FILE_BYTES: Final = 1 << 20

INTEGER_BITS: Final = 64
"""What TOML has (TOML 1.0, Integer)."""
TOO_LARGE: Final = "a number is larger than 64 bits"

SYNTAX: Final = re.compile(r"(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)\Z")
"""What tomllib says: the place comes last there, and first here."""


def find_file(config: Path | None) -> Path | None:
    """Return the settings file, or None when there is none and none is named.

    Raises: ConfigError when the one that is named is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE) if config is None else str(config)
    if named is None:
        path = Path(FILE_NAME)
        return path if path.is_file() else None
    path = Path(named)
    if not path.exists() or path.is_dir():
        where = CONFIG_VARIABLE if config is None else "--config"
        what = "a file, got a directory" if path.is_dir() else f"a settings file, no {named!r}"
        raise NoFileError(Problem(where, f"expected {what}"))
    return path


def parse_file(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises: ConfigError naming the file, and the line for a syntax error.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(Problem("", f"cannot read {path}: {error.strerror}")) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(Problem(str(path), f"expected at most {MAX_FILE_BYTES} bytes"))
    try:
        tables = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(Problem(str(path), f"line {line}: expected UTF-8")) from None
    except tomllib.TOMLDecodeError as error:
        found = SYNTAX.match(str(error))
        message = f"{found['where']}: {found['what']}" if found else str(error)
        raise ConfigError(Problem(str(path), f"not TOML: {message}")) from None
    except RecursionError:
        raise ConfigError(Problem(str(path), "not TOML: nested too deeply")) from None
    except ValueError:
        # What tomllib lets through of int(): more digits than Python reads.
        raise ConfigError(Problem(str(path), f"not TOML: {TOO_LARGE}")) from None
    if _has_large_number(tables):
        raise ConfigError(Problem(str(path), f"not TOML: {TOO_LARGE}"))
    return tables


def _has_large_number(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_large_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_number, value))
    # One in hexadecimal may be larger than Python writes in a message.
    return isinstance(value, int) and value.bit_length() > INTEGER_BITS
