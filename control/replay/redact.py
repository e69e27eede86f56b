"""Taking secrets out of what a capture keeps: by name, by looks, by value. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"
SECRET_PARTS: Final = (
    "blob",
    "secret",
    "passw",
    "passcode",
    "authoriz",
    "cookie",
    "apikey",
    "signature",
    "credential",
    "clientstate",
    "connectionstring",
    "joinweburl",
    "joinurl",
    "callbackuri",
)
"""What the name of a member holds whose value opens something: the media link, a meeting, a
webhook. Compared without case, dashes and underscores; so are names that end with ``token``."""
SECRET_NAMES: Final = frozenset({"pin", "key", "conferenceid"})

TOKEN_LIKE: Final = re.compile(
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]+\.[A-Za-z0-9_-])([A-Za-z0-9_-]*?)"
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
)
"""A JSON Web Token, wherever it stands (RFC 7519: the header begins with ``{"``). What is before it
is looked at once: all of these take a time that grows as the text does, whoever wrote it."""
BEARER: Final = re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
QUERY: Final = re.compile(
    r"(?i)([?&;](?:[a-z0-9_-]*(?:sig|signature|token|secret|password|pwd|credential|key)|code|p)=)"
    r"[^&#;\s\"]+"
)
USER_INFO: Final = re.compile(r"(://)[^/@\s\"]+@")
PROMPT_PATH: Final = re.compile(r"(/prompts/)[^\s\"]+")
"""An address of a file of the host's that only who was told it knows."""
SHORTEST: Final = 6
"""A known secret shorter than that would be found in words that are none."""


class Redactor:
    """Takes secrets out of JSON; *known* are such that are known by value, wherever they stand."""

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known: tuple[str, ...] = ()
        self.learn(*known)

    def learn(self, *secrets: str) -> None:
        """Know further secrets."""
        known = {*self._known, *(text for text in secrets if len(text) >= SHORTEST)}
        # The longest first: one may be part of another.
        self._known = tuple(sorted(known, key=len, reverse=True))

    def text(self, text: str) -> str:
        """Return *text* without what is secret in it."""
        for secret in self._known:
            text = text.replace(secret, REDACTED)
        text = TOKEN_LIKE.sub(rf"\1{REDACTED}", text)
        text = BEARER.sub(REDACTED, text)
        text = QUERY.sub(rf"\1{REDACTED}", text)
        text = USER_INFO.sub(rf"\1{REDACTED}@", text)
        return PROMPT_PATH.sub(rf"\1{REDACTED}", text)

    def clean(self, value: Any) -> Any:
        """Return a copy of *value*, which is JSON, without what is secret in it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): REDACTED if _is_secret(str(name), held) else self.clean(held)
                for name, held in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.clean(each) for each in value]
        return value


def _is_secret(name: str, held: Any) -> bool:
    # An empty member tells nothing, and that it is empty may matter to a bot.
    if held in (None, "", [], {}) or isinstance(held, bool):
        return False
    plain = name.casefold().replace("_", "").replace("-", "")
    if plain in SECRET_NAMES or plain.endswith("token"):
        return True
    return any(part in plain for part in SECRET_PARTS)
