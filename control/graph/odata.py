"""What OData asks of paths and query options.

Source: OData 4.01 URL conventions; Microsoft Graph, query parameters. Refusals are in the words of
Graph's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import errors

VERSIONS = ("v1.0", "beta")
ROOTS = {"v1.0": ("communications",), "beta": ("communications", "app")}
"""``/app`` is the older name of ``/communications``, and beta's alone."""

_NAMESPACES = ("microsoft.graph.callrecords.", "microsoft.graph.")
_OPTIONS = {
    name.casefold(): name
    for name in (
        "apply",
        "compute",
        "count",
        "deltatoken",
        "expand",
        "filter",
        "format",
        "orderby",
        "search",
        "select",
        "skip",
        "skiptoken",
        "top",
    )
}
"""The system query options. All of them may be written without their ``$``."""


# ---- paths ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """What may follow in a path: names, in the documented spelling, else an item's id."""

    names: Mapping[str, _Node] = field(default_factory=dict)
    item: _Node | None = None
    actions: frozenset[str] = frozenset()

    def step(self, part: str) -> tuple[str, _Node]:
        """Return *part* as it is spelled, and what may follow it."""
        name, bracket, arguments = part.partition("(")
        folded = name.casefold()
        for namespace in _NAMESPACES:
            if folded.startswith(namespace):
                short = _FOLDED.get(folded.removeprefix(namespace), "")
                if short in self.actions:
                    return short + bracket + arguments, _LEAF
        known = _FOLDED.get(folded, "")
        if known in self.actions:
            return known + bracket + arguments, _LEAF
        if known in self.names:
            return known, self.names[known]
        return part, self.item or _LEAF


_LEAF = _Node()


def _collection(item: _Node = _LEAF, *actions: str) -> _Node:
    return _Node({"$count": _LEAF}, item, frozenset(actions))


_CALL = _Node(
    names={
        "audioRoutingGroups": _collection(),
        "contentSharingSessions": _collection(_Node({"pngOfCurrentSlide": _LEAF})),
        "operations": _collection(),
        "participants": _collection(
            _Node(
                actions=frozenset(
                    (
                        "admitFromLobby",
                        "lowerHand",
                        "mute",
                        "removeFromLobby",
                        "startHoldMusic",
                        "stopHoldMusic",
                    )
                )
            ),
            "admitAllFromLobby",
            "configureMixer",
            "invite",
            "lowerAllHands",
            "muteAll",
        ),
    },
    actions=frozenset(
        (
            "addLargeGalleryView",
            "admitAllFromLobby",
            "answer",
            "cancelMediaProcessing",
            "changeScreenSharingRole",
            "joinContentSharingAudioGroup",
            "keepAlive",
            "lowerHand",
            "mute",
            "playPrompt",
            "raiseHand",
            "record",
            "recordResponse",
            "redirect",
            "reject",
            "reportSyntheticMedia",
            "sendDtmfTones",
            "startRecording",
            "startTranscription",
            "stopRecording",
            "stopTranscription",
            "subscribeToTone",
            "transfer",
            "unmute",
            "updateRecordingStatus",
        )
    ),
)
_CALLS = _collection(_CALL, "logTeleconferenceDeviceQuality")
_RECORD = _Node(
    {
        "organizer_v2": _LEAF,
        "participants_v2": _collection(),
        "sessions": _collection(_Node({"segments": _collection()})),
    }
)
_RECORDS = _collection(_RECORD, "getDirectRoutingCalls", "getPstnCalls")
_VERSION = _Node(
    {
        "app": _Node({"calls": _CALLS}),
        "communications": _Node({"callRecords": _RECORDS, "calls": _CALLS}),
        "subscriptions": _collection(_Node(actions=frozenset(("reauthorize",)))),
    }
)
_ROOT = _Node(dict.fromkeys(VERSIONS, _VERSION))


def _spellings(node: _Node) -> Iterator[str]:
    yield from node.actions
    for name, child in node.names.items():
        yield name
        yield from _spellings(child)
    if node.item is not None:
        yield from _spellings(node.item)


_FOLDED = {name.casefold(): name for name in _spellings(_ROOT)}


def normal_path(path: str) -> str:
    """Return *path* with Graph's segment names in their documented spelling.

    Names of segments and actions are case-insensitive, and an action may carry the namespace; ids
    are kept. Paths outside the API are returned as they are.
    """
    parts = path.split("/")
    if len(parts) < 3 or parts[1].casefold() not in VERSIONS:
        return path
    if parts[-1] == "":
        parts.pop()
    node = _ROOT
    for index in range(1, len(parts)):
        parts[index], node = node.step(parts[index])
    return "/".join(parts)


# ---- query options -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntityType:
    """A type as query options see it: its name, its properties, and what can be expanded."""

    name: str
    properties: frozenset[str]
    expands: Mapping[str, EntityType] = field(default_factory=dict)

    def with_members_of(self, resource: Mapping[str, Any]) -> EntityType:
        """Return this type with the members that *resource* has beyond it: types are open."""
        own = frozenset(key for key in resource if "@" not in key)
        return replace(self, properties=self.properties | (own - self.expands.keys()))


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The ``$select`` and ``$expand`` of a request; nothing selected is everything."""

    select: frozenset[str] | None = None
    expand: Mapping[str, QueryOptions] = field(default_factory=dict)

    def apply(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """Return *resource* reduced to what is selected; the id and annotations always stay."""
        if self.select is None:
            return dict(resource)
        kept = {
            key: value
            for key, value in resource.items()
            if key in self.select or key == "id" or "@" in key
        }
        return kept | {name: None for name in sorted(self.select) if name not in kept}


def parse_options(items: Iterable[tuple[str, str]], entity: EntityType) -> QueryOptions:
    """Read the query options of a GET. Options that are no system options are passed over.

    Raises: GraphError 400 on an option that is not supported, a name that *entity* does not have.
    """
    given: dict[str, str] = {}
    for raw, value in items:
        name = _OPTIONS.get(raw.strip().removeprefix("$").casefold())
        if name is None:
            if raw.strip().startswith("$"):
                raise errors.bad_request(f"The query parameter '{raw[:64]}' is not supported.")
            continue
        if name not in ("select", "expand"):
            raise errors.bad_request(
                "The query specified in the URI is not valid."
                f" Query option '{name.capitalize()}' is not allowed."
            )
        if name in given:
            raise errors.bad_request(
                f"Query option '${name}' was specified more than once,"
                " but it must be specified at most once."
            )
        given[name] = value
    return QueryOptions(
        select=_select(given.get("select"), entity), expand=_expand(given.get("expand"), entity)
    )


def _select(text: str | None, entity: EntityType) -> frozenset[str] | None:
    if text is None or text.strip() in ("", "*"):
        return None
    names = frozenset(part.strip() for part in text.split(","))
    known = entity.properties | entity.expands.keys() | {"*"}
    for name in sorted(names - known):
        raise _no_property(name, entity)
    return None if "*" in names else names & entity.properties


def _expand(text: str | None, entity: EntityType) -> Mapping[str, QueryOptions]:
    if text is None or not text.strip():
        return {}
    found: dict[str, QueryOptions] = {}
    for part in _split(text, ","):
        name, bracket, rest = part.strip().partition("(")
        name = name.strip()
        target = entity.expands.get(name)
        if target is None:
            raise _no_property(name, entity)
        if bracket and not rest.endswith(")"):
            raise _bad_expand(text)
        inner = [item for item in _split(rest.removesuffix(")"), ";") if item.strip()]
        pairs = [item.partition("=") for item in inner]
        if name in found or not all(equals for _, equals, _ in pairs):
            raise _bad_expand(text)
        found[name] = parse_options([(key, value) for key, _, value in pairs], target)
    return found


def _split(text: str, separator: str) -> Sequence[str]:
    """Split at the separators that stand outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth < 0:
            raise _bad_expand(text)
        if char == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise _bad_expand(text)
    return [*parts, text[start:]]


def _no_property(name: str, entity: EntityType) -> errors.GraphError:
    return errors.bad_request(
        "Parsing OData Select and Expand failed: Could not find a property named"
        f" '{name[:64]}' on type '{entity.name}'."
    )


def _bad_expand(text: str) -> errors.GraphError:
    return errors.bad_request(
        f"Parsing OData Select and Expand failed: Term '{text[:64]}' is not valid in a $select or"
        " $expand expression."
    )
