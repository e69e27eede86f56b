"""Azure Communication Services' call control, offline: enough of it to ring a bot and be rung."""

from .service import FakeAcs, StreamOrder

__all__ = ["FakeAcs", "StreamOrder"]
