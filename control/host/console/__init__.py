"""What the console shows and does of a bot host."""

from .source import HostConsole

__all__ = ["HostConsole"]
