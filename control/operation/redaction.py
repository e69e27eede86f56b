"""Taking secrets out of whatever is shown or logged: one redactor for all of a process. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from ..journal_redact import JournalRedactor
from ..replay.redact import REDACTED

HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-twilio-signature|x-ms-content-sha256)"
    r"(['\"]?\s*[:=,]\s*b?['\"]?)[^\r\n'\"]+"
)
"""A header that proves something, as libraries write it: ``Authorization: HMAC-SHA256 ...``."""
ASSIGNED: Final = re.compile(
    r"(?i)(secret|password|passwd|passcode|accesskey|api[_-]?key|token|pwd|proof|signature)"
    r"(['\"]?\s*[:=]\s*['\"]?)(?!\[redacted\])[^\s'\"&,;)}\]]{4,}"
)
"""``client_secret=...``, ``"passcode": "..."``, ``accesskey=...`` of a connection string;
whatever the name begins with."""
TOKEN_PATH: Final = re.compile(r"(/(?:acs/events|streams/(?:acs|twilio))/)[^\s\"'/?]+")
"""Addresses whose last part lets in who knows it, right or wrong."""
BLOB: Final = re.compile(r"\beyJ[A-Za-z0-9+/_-]{40,}={0,2}")
"""Base64 of a JSON object: media configurations, and tokens that were cut."""
ICE_LINE: Final = re.compile(
    r"(?i)\b(ice[-_ ]?(?:pwd|ufrag|password))(['\"]?(?:\s*[:=]\s*|[ \t]+)['\"]?)\S+"
)
CANDIDATE: Final = re.compile(r"(?i)\bcandidate:\S+ \d+ (?:udp|tcp) [^\r\n]*")
SDP_LINE: Final = re.compile(r"(?m)(?:^|(?<=\\n))(?:o|s|c|a|m)=(?!\[)[^\r\n\\]+")
"""Lines of a session description that was cut before its first (RFC 8866 section 5)."""


class LogRedactor(JournalRedactor):
    """What the journal's redactor takes out, and what log lines of libraries have beside it.

    It knows secrets by value in the spellings that addresses give them. Thread: any; ``learn`` is
    the loop's.
    """

    def learn(self, *secrets: str) -> None:
        """Know further secrets, also as they stand in an address."""
        super().learn(*secrets, *(quote(secret, safe="") for secret in secrets))

    def text(self, text: str) -> str:
        """Return *text* without what is secret in it."""
        text = super().text(text)
        text = HEADER.sub(rf"\1\2{REDACTED}", text)
        text = ASSIGNED.sub(rf"\1\2{REDACTED}", text)
        text = TOKEN_PATH.sub(rf"\1{REDACTED}", text)
        text = BLOB.sub(REDACTED, text)
        text = ICE_LINE.sub(rf"\1\2{REDACTED}", text)
        text = CANDIDATE.sub(f"candidate:{REDACTED}", text)
        return SDP_LINE.sub(REDACTED, text)


def secrets_of(settings: BaseModel) -> list[str]:
    """Return the values of all secrets of *settings*; of a connection string also its key."""
    found: list[str] = []
    for name in type(settings).model_fields:
        held = getattr(settings, name)
        if isinstance(held, SecretStr):
            value = held.get_secret_value()
            keys = (part.partition("=") for part in value.split(";"))
            found += [value, *(key for label, _, key in keys if label.casefold() == "accesskey")]
    return found
