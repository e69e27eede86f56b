"""What a bot says: files, samples and live feeds, one after another, interruptible."""

from .clip import Clip, ClipOutcome
from .player import Player

__all__ = ["Clip", "ClipOutcome", "Player"]
