"""What may go wrong with a session."""

from __future__ import annotations


class SessionClosedError(ConnectionError):
    """The call's media is over: nothing can be sent any more."""
