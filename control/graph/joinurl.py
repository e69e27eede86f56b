"""Join URLs of meetings: what a call request needs to know, from the link in an invitation. Pure.

Source: Microsoft Graph communications samples, JoinInfo; create call, joinMeetingIdMeetingInfo.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

MAX_URL_CHARS: Final = 8192
MAX_DECODINGS: Final = 4
"""Mail gateways and chats encode a link again; more often than this is no link any more."""
MAX_WRAPPERS: Final = 3
SCHEDULED_MESSAGE_ID: Final = "0"

_LONG: Final = re.compile(r"/l/meetup-join/(?P<thread>[^/?#]+)/(?P<message>[^/?#]+)", re.IGNORECASE)
_SHORT: Final = re.compile(r"/meet/(?P<id>[0-9]+)/?\Z", re.IGNORECASE)
_CONTEXT: Final = re.compile(
    r"[?&]context=(?P<context>\{.*?\})(?=[&#]|\Z)", re.IGNORECASE | re.DOTALL
)
_THREAD: Final = re.compile(r"19:[^@\s]+@[^@\s]+\Z")
_MEETING_ID: Final = re.compile(r"[0-9]{6,15}\Z")
_WRAPPED: Final = ("url", "u")
"""Query members that hold the link itself: Teams' launcher, and safe links of mail."""


class JoinUrlError(ValueError):
    """Not a join URL that can be used; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class JoinInfo:
    """Which meeting a link means: by thread and organizer, or by its join id."""

    tenant_id: str | None = None
    thread_id: str | None = None
    message_id: str | None = None
    reply_chain_message_id: str | None = None
    organizer_id: str | None = None
    join_meeting_id: str | None = None
    passcode: str | None = None


def parse_join_url(url: str) -> JoinInfo:
    """Return which meeting *url* means.

    Takes the long link, also encoded several times, inside Teams' launcher or a mail gateway's safe
    link, with fragments and further members; and the short link by join id. White space, which
    mail puts into long lines, is dropped.
    Raises: JoinUrlError.
    """
    if not isinstance(url, str):
        raise JoinUrlError(f"expected a join URL, got {type(url).__name__}")
    if len(url) > MAX_URL_CHARS:
        raise JoinUrlError(f"expected a join URL of at most {MAX_URL_CHARS} characters")
    plain = "".join(url.split()).strip("<>\"'")
    for _ in range(MAX_DECODINGS):
        # A link that was encoded as a whole has no scheme before it is decoded.
        if "://" in plain:
            break
        plain = unquote(plain)
    for _ in range(MAX_WRAPPERS):
        wrapped = _unwrap(plain)
        if wrapped is None:
            break
        plain = wrapped
    host = _host(plain)
    if host == "teams.live.com" or host.endswith(".teams.live.com"):
        raise JoinUrlError("expected a meeting of an organization, got one of Teams for home use")
    short = _short(plain)
    return _long(plain) if short is None else short


def parse_join_meeting_id(text: str) -> str:
    """Return a join meeting id without the spaces that invitations print it with.

    Raises: JoinUrlError.
    """
    digits = "".join(text.split()).replace("-", "")
    if not digits.isascii() or _MEETING_ID.match(digits) is None:
        raise JoinUrlError(f"expected a join meeting id of 6 to 15 digits, got {text!r}")
    return digits


def _unwrap(url: str) -> str | None:
    """Return the link inside *url*, or None when *url* is none that holds another."""
    parts = _split(url)
    is_launcher = "/launcher" in parts.path.casefold()
    if not is_launcher and not parts.netloc.casefold().endswith("safelinks.protection.outlook.com"):
        return None
    members = parse_qs(parts.query)
    for name in _WRAPPED:
        if name in members:
            inner = members[name][0].replace("/_#/", "/", 1)
            return inner if "://" in inner else f"{parts.scheme}://{parts.netloc}{inner}"
    raise JoinUrlError("expected a launcher link with a url in it")


def _short(url: str) -> JoinInfo | None:
    parts = _split(url)
    match = _SHORT.search(parts.path)
    if match is None:
        return None
    passcode = parse_qs(parts.query).get("p", [""])[0]
    return JoinInfo(join_meeting_id=parse_join_meeting_id(match["id"]), passcode=passcode or None)


def _long(url: str) -> JoinInfo:
    decoded = url
    for _ in range(MAX_DECODINGS):
        path, context = _LONG.search(decoded), _CONTEXT.search(decoded)
        if path is not None and context is not None and _THREAD.match(path["thread"]):
            return _join_info(path["thread"], path["message"], context["context"])
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = further
    raise JoinUrlError(
        "expected https://teams.microsoft.com/l/meetup-join/<thread>/<message>?context={...} "
        f"or https://teams.microsoft.com/meet/<id>, got {quote(url[:80], safe=':/?&=%')}"
    )


def _join_info(thread_id: str, message_id: str, context: str) -> JoinInfo:
    members = _read_json(context)
    if members is None:
        members = _read_json(unquote(context))
    if not isinstance(members, Mapping):
        raise JoinUrlError("expected a JSON object as the link's context")
    known = {name.casefold(): value for name, value in members.items()}
    tenant_id, organizer_id = _id(known, "Tid"), _id(known, "Oid")
    reply = known.get("messageid")
    return JoinInfo(
        tenant_id=tenant_id,
        thread_id=thread_id,
        message_id=message_id or SCHEDULED_MESSAGE_ID,
        reply_chain_message_id=str(reply) if isinstance(reply, int | str) and reply else None,
        organizer_id=organizer_id,
    )


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _id(context: Mapping[str, Any], name: str) -> str:
    value = context.get(name.casefold())
    if not isinstance(value, str) or not value:
        raise JoinUrlError(f"expected {name} in the link's context")
    return value


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise JoinUrlError("expected a join URL") from None
    return parts


def _host(url: str) -> str:
    parts = _split(url)
    if parts.scheme.casefold() not in ("https", "http") or not parts.hostname:
        raise JoinUrlError("expected a join URL that begins with https://")
    return str(parts.hostname).casefold()
