"""What the journal calls notifications and requests, in a line. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_TITLE: Final = 200

_RESERVED: Final = frozenset({"", "getPresencesByUserId", "logTeleconferenceDeviceQuality"})


def notification_title(change_type: str, path: Sequence[str], data: Any) -> str:
    """Name what a notification tells: its resource, the change, and the state that came of it.

    *path* is below ``/communications/calls``: the call's id, then what hangs under it.
    """
    members = data if isinstance(data, Mapping) else {}
    if len(path) < 2:
        what, state = "call", members.get("state")
        tone = members.get("toneInfo")
        if isinstance(tone, Mapping):
            what, state = "tone", tone.get("tone")
    else:
        what, state = path[1], members.get("status")
        kind = members.get("@odata.type")
        if what == "operations" and isinstance(kind, str):
            what = kind.rpartition(".")[2].removesuffix("Operation")
        if isinstance(data, list):
            state = f"{len(data)} entries"
    return f"{what} {change_type}{f': {state}' if state else ''}"[:MAX_TITLE]


def envelope_title(body: object) -> str:
    """Name what the first notification of an envelope tells, and how many more there are."""
    items = body.get("value") if isinstance(body, Mapping) else None
    if not isinstance(items, list) or not items or not isinstance(items[0], Mapping):
        return "notification"
    first = items[0]
    path = path_below_calls(str(first.get("resourceUrl") or first.get("resource") or ""))
    title = notification_title(str(first.get("changeType")), path, first.get("resourceData"))
    return title if len(items) == 1 else f"{title} and {len(items) - 1} more"


def path_below_calls(url: str) -> list[str]:
    """Return what follows ``/calls/`` in an address: the call's id, then what hangs under it."""
    head, found, rest = url.partition("?")[0].partition("/calls/")
    return [part for part in rest.split("/") if part] if found and head is not None else []


def call_of_path(url: str) -> str | None:
    """Return the id of the call that an address is about; None of one that names none."""
    path = path_below_calls(url)
    return path[0] if path and path[0] not in _RESERVED else None


def request_title(method: str, path: str, status: int | None, ms: float) -> str:
    """Name a request and its answer; no *status* is none that came."""
    answer = "no answer" if status is None else str(status)
    return f"{method} {path.partition('?')[0]} \N{RIGHTWARDS ARROW} {answer} in {ms:.0f} ms"[
        :MAX_TITLE
    ]


def roster_names(entries: Sequence[Mapping[str, Any]]) -> str:
    """Write whom entries of a roster are about."""
    found = []
    for entry in entries:
        info = entry.get("info")
        identity = info.get("identity") if isinstance(info, Mapping) else None
        kinds = identity.values() if isinstance(identity, Mapping) else ()
        own: Mapping[str, Any] = next((each for each in kinds if isinstance(each, Mapping)), {})
        found.append(str(own.get("displayName") or own.get("id") or entry.get("id")))
    return ", ".join(found)[:MAX_TITLE]
