"""commsNotifications: the envelope in which a call service tells a bot what became of a call.

Source: Microsoft Graph, create call (notifications) and commsNotification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from .enums import ChangeType

Json = dict[str, Any]

COLLECTION_TYPE = "#microsoft.graph.commsNotifications"
ITEM_TYPE = "#microsoft.graph.commsNotification"


MAX_ID_CHARS: Final = 512
"""Far more than any id of a call or of what hangs under it has."""
_ABSURD: Final = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
"""What no id has: control characters (a database may not take them), spaces, half surrogates."""


class NotificationError(ValueError):
    """A body that is no commsNotifications; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One change of one resource.

    ``resource_path`` is below ``/communications/calls``: the call's id, then what hangs under it.
    """

    change_type: ChangeType | str
    resource_path: tuple[str, ...]
    resource_data: Mapping[str, Any] | Sequence[Any]

    @property
    def call_id(self) -> str:
        """The call's id as the URL has it; compare with :func:`normal_id`."""
        return self.resource_path[0]


def normal_id(identifier: str) -> str:
    """Return an id in the form in which ids compare: URLs may write them upper-case, undashed."""
    return identifier.replace("-", "").casefold()


def is_plain_id(text: str) -> bool:
    """Say whether *text* can be an id at all: a bounded text of visible characters."""
    return len(text) <= MAX_ID_CHARS and _ABSURD.search(text) is None


def build_envelope(notifications: Sequence[Notification], callback_uri: str) -> Json:
    """Build the body that is posted to *callback_uri*."""
    return {
        "@odata.type": COLLECTION_TYPE,
        "value": [
            {
                "@odata.type": ITEM_TYPE,
                "changeType": str(item.change_type),
                # The live service sends the legacy path beside the new one.
                "resource": "/app/calls/" + "/".join(item.resource_path),
                "resourceUrl": "/communications/calls/" + "/".join(item.resource_path),
                "callbackUri": callback_uri,
                "resourceData": item.resource_data,
            }
            for item in notifications
        ],
    }


def parse_envelope(body: object) -> tuple[Notification, ...]:
    """Read the notifications of a posted body, in their order. Unknown members are passed over.

    Raises: NotificationError when the body is not a commsNotifications.
    """
    if not isinstance(body, dict):
        raise NotificationError(f"expected a JSON object, got {type(body).__name__}")
    items = body.get("value")
    if not isinstance(items, list):
        raise NotificationError(f"value: expected a list, got {type(items).__name__}")
    return tuple(_parse_item(item, index) for index, item in enumerate(items))


def _parse_item(item: object, index: int) -> Notification:
    where = f"value[{index}]"
    if not isinstance(item, dict):
        raise NotificationError(f"{where}: expected an object, got {type(item).__name__}")
    change = item.get("changeType")
    if not isinstance(change, str):
        raise NotificationError(f"{where}.changeType: expected a text, got {type(change).__name__}")
    url = item.get("resourceUrl") or item.get("resource")
    if not isinstance(url, str):
        raise NotificationError(f"{where}.resourceUrl: expected a text, got {type(url).__name__}")
    parts = [part for part in url.split("/") if part]
    folded = [part.casefold() for part in parts]
    if "calls" not in folded or folded.index("calls") + 1 >= len(parts):
        raise NotificationError(f"{where}.resourceUrl: expected /communications/calls/{{id}}")
    # No store takes anything else for an id, and no log.
    for part in parts:
        if not is_plain_id(part):
            raise NotificationError(f"{where}.resourceUrl: expected ids, got {part[:40]!r}")
    data = item.get("resourceData")
    if not isinstance(data, dict | list):
        raise NotificationError(
            f"{where}.resourceData: expected an object or a list, got {type(data).__name__}"
        )
    shown = data.get("id") if isinstance(data, dict) else None
    if isinstance(shown, str) and not is_plain_id(shown):
        raise NotificationError(f"{where}.resourceData.id: expected an id, got {shown[:40]!r}")
    with suppress(ValueError):  # Kept as it came: a newer service may know more of them.
        change = ChangeType(change.casefold())
    return Notification(change, tuple(parts[folded.index("calls") + 1 :]), data)
