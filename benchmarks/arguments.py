"""What a benchmark's options take: refused before anything is measured, with what was expected."""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path

PICTURES = (".png", ".svg", ".pdf")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number from *least* to *most* (None: any).

    Raises: argparse.ArgumentTypeError, when it is called, on anything else.
    """
    expected = f"expected a whole number {_range(least, most)}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{expected}, got {text[:80]!r}") from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{expected}, got {value}")
        return value

    return read


def number(least: float, most: float | None = None) -> Callable[[str], float]:
    """Return what reads a finite number from *least* to *most* (None: any).

    Raises: argparse.ArgumentTypeError, when it is called, on anything else.
    """
    expected = f"expected a number {_range(least, most)}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{expected}, got {text[:80]!r}")
        return value

    return read


def result_file(text: str) -> Path:
    """Read where a result is to be kept.

    Raises: argparse.ArgumentTypeError when nothing could be written there.
    """
    path = Path(text)
    folder = path.parent
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got {text!r}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file, got the folder {text!r}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected a file that can be written, got {text!r}")
    return path


def picture_file(text: str) -> Path:
    """Read where a result is to be drawn.

    Raises: argparse.ArgumentTypeError when it could not be written there, or not be drawn at all.
    """
    path = result_file(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a name in {', '.join(PICTURES)}, got {text!r}")
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("expected matplotlib to draw with: pip install matplotlib")
    return path


def _range(least: float, most: float | None) -> str:
    return f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
