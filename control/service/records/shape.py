"""How records are shown: with what was asked for, and with its annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...graph.odata import EntityType, QueryOptions
from .members import BEYOND_SENTINEL, NAMESPACE

Json = dict[str, Any]

SEGMENT: Final = EntityType(
    f"{NAMESPACE}.segment",
    frozenset({"id", "caller", "callee", "failureInfo", "startDateTime", "endDateTime", "media"}),
)
SESSION: Final = EntityType(
    f"{NAMESPACE}.session",
    frozenset(
        {
            "id",
            "caller",
            "callee",
            "failureInfo",
            "startDateTime",
            "endDateTime",
            "modalities",
            "isTest",
        }
    ),
    {"segments": SEGMENT},
)
PERSON_MEMBERS: Final = frozenset({"id", "identity", "administrativeUnitInfos"})
PARTICIPANT: Final = EntityType(f"{NAMESPACE}.participant", PERSON_MEMBERS)
ORGANIZER: Final = EntityType(f"{NAMESPACE}.organizer", PERSON_MEMBERS)
LISTED: Final = EntityType(
    f"{NAMESPACE}.callRecord",
    frozenset(
        {
            "id",
            "version",
            "type",
            "modalities",
            "lastModifiedDateTime",
            "startDateTime",
            "endDateTime",
            "joinWebUrl",
            "organizer",
            "participants",
            "organizer_v2",
        }
    ),
)
"""A record in a list: nothing of it can be expanded there."""
RECORD: Final = EntityType(
    LISTED.name,
    LISTED.properties - {"organizer_v2"},
    {"organizer_v2": ORGANIZER, "participants_v2": PARTICIPANT, "sessions": SESSION},
)


def session(full: Mapping[str, Any], options: QueryOptions) -> Json:
    """Return a session as the options ask, with or without its segments."""
    shown = options.apply({name: value for name, value in full.items() if name != "segments"})
    if "segments" in options.expand:
        inner = options.expand["segments"]
        shown["segments"] = [inner.apply(segment) for segment in full["segments"]]
    return shown


def bracket(options: QueryOptions) -> str:
    """Return what ``@odata.context`` says of the options: members and expanded relationships."""
    names = [*sorted(options.select or ())]
    names += [f"{name}{bracket(inner) or '()'}" for name, inner in options.expand.items()]
    return f"({','.join(names)})" if names else ""


def without_nulls(value: Any) -> Any:
    """Return *value* without members that are null or empty: ``omit-values=nulls``."""
    if isinstance(value, dict):
        kept = {name: without_nulls(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, [], {})}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def within_sentinel(value: Any) -> Any:
    """Return *value* with newer members of enumerations as ``unknownFutureValue``.

    Source: Microsoft Graph, best practices, evolvable enumerations.
    """
    if isinstance(value, dict):
        return {
            name: (
                "unknownFutureValue"
                if isinstance(item, str) and item in BEYOND_SENTINEL.get(name, ())
                else within_sentinel(item)
            )
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [within_sentinel(item) for item in value]
    return value
