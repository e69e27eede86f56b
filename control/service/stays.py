"""What a member of a conversation has for a while: hold music, content that it shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Music(Protocol):
    """What plays into a leg until it is closed."""

    def close(self) -> None:
        """Play no more."""


@dataclass(frozen=True, slots=True)
class SharingSession:
    """One sharing of content. The id is 64 upper-case hexadecimal digits."""

    id: str
    presenter_id: str
