"""The files that commands take when none is given: they come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

SPEECH: Final = _HERE / "speech.flac"
"""Three short sentences, 10 s: the samples of tests/data/speech.wav, which says how it was made."""

ECHO_BOT: Final = _HERE / "echo_bot.py"
"""Answers every call, and says again what it hears."""

CALLING_BOT: Final = _HERE / "calling_bot.py"
"""Calls John, and says again what it hears: as examples/echo_bot.py."""
