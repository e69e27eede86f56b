"""What OData asks of paths and query options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSIONS = ("v1.0", "beta")
ROOTS = {"v1.0": ("communications",), "beta": ("communications", "app")}
"""``/app`` is the older name of ``/communications``, and beta's alone."""

ACTIONS = (
    "addLargeGalleryView",
    "answer",
    "audioRoutingGroups",
    "cancelMediaProcessing",
    "changeScreenSharingRole",
    "contentSharingSessions",
    "keepAlive",
    "logTeleconferenceDeviceQuality",
    "mute",
    "operations",
    "participants",
    "playPrompt",
    "record",
    "recordResponse",
    "redirect",
    "reject",
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
"""What the documentation lists below a call."""

_SEGMENTS = {
    name.casefold(): name
    for name in (*VERSIONS, "communications", "app", "calls", "callRecords", *ACTIONS)
}
_NAMESPACE = "microsoft.graph."


def normal_path(path: str) -> str:
    """Return *path* with Graph's segment names in their documented spelling.

    Names of segments and actions are case-insensitive and may carry the namespace; ids are kept.
    Paths outside the API are returned as they are.
    """
    parts = path.split("/")
    if len(parts) < 3 or parts[1].casefold() not in VERSIONS:
        return path
    for index, part in enumerate(parts):
        if index == 4 and parts[3] == "calls" and part.casefold() in _SEGMENTS:
            # Only logTeleconferenceDeviceQuality stands where a call's id does.
            parts[index] = _segment(part)
        elif index != 4:
            parts[index] = _segment(part)
    return "/".join(parts)


def select(resource: Mapping[str, Any], option: str | None) -> dict[str, Any]:
    """Return *resource* reduced to what ``$select`` names; annotations and the id always stay."""
    if not option or option.strip() == "*":
        return dict(resource)
    wanted = {name.strip() for name in option.split(",")}
    return {
        key: value
        for key, value in resource.items()
        if key in wanted or key == "id" or key.startswith("@")
    }


def _segment(part: str) -> str:
    folded = part.casefold()
    if folded.startswith(_NAMESPACE):
        folded = folded.removeprefix(_NAMESPACE)
    return _SEGMENTS.get(folded, part)
