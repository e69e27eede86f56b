"""commsNotifications: the envelope in which a call service tells a bot what became of a call.

Source: Microsoft Graph, create call (notifications) and commsNotification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .enums import ChangeType

Json = dict[str, Any]

COLLECTION_TYPE = "#microsoft.graph.commsNotifications"
ITEM_TYPE = "#microsoft.graph.commsNotification"


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
    data = item.get("resourceData")
    if not isinstance(data, dict | list):
        raise NotificationError(
            f"{where}.resourceData: expected an object or a list, got {type(data).__name__}"
        )
    with suppress(ValueError):  # Kept as it came: a newer service may know more of them.
        change = ChangeType(change.casefold())
    return Notification(change, tuple(parts[folded.index("calls") + 1 :]), data)
