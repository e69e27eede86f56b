"""What the console shows and does of a call service."""

from .source import ServiceConsole

__all__ = ["ServiceConsole"]
