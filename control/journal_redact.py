"""Taking secrets out of the journal: those of captures, and how media are reached. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .replay.redact import REDACTED, Redactor

SDP: Final = re.compile(r"(?:^|[^A-Za-z0-9])v=0(?:\r?\n|\\r|\\n).*", re.DOTALL)
"""A session description from its first line on (RFC 8866 section 5.1), also escaped once more."""
ICE: Final = re.compile(
    r"(?i)\b(?:ice-(?:pwd|ufrag)|candidate|crypto|fingerprint|key-mgmt)(:)[^\r\n\"\\]+"
)
"""Lines of a session description that stand alone (RFC 8839, RFC 4568, RFC 8122)."""
NAMES: Final = frozenset(
    {"sdp", "offer", "answer", "candidate", "candidates", "icepwd", "iceufrag", "fingerprint"}
)
"""Names of members that hold a session description, or a part of one, where they hold text."""


class JournalRedactor(Redactor):
    """Takes out of JSON what opens something, and session descriptions with their addresses."""

    def text(self, text: str) -> str:
        """Return *text* without what is secret in it."""
        text = SDP.sub(REDACTED, text)
        return super().text(ICE.sub(rf"ice\1{REDACTED}", text))

    def clean(self, value: Any) -> Any:
        """Return a copy of *value*, which is JSON, without what is secret in it."""
        if isinstance(value, Mapping):
            value = {
                name: REDACTED if held and _is_media(str(name), held) else held
                for name, held in value.items()
            }
        return super().clean(value)


def _is_media(name: str, held: Any) -> bool:
    plain = name.casefold().replace("_", "").replace("-", "")
    return plain in NAMES and isinstance(held, str | list | tuple)
