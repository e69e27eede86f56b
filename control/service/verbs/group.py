"""What an application does in a group call: its participants, their audio, what is shared."""

from .audio_groups import (
    create_routing_group,
    delete_routing_group,
    routing_group,
    routing_groups,
    update_routing_group,
)
from .holding import start_hold_music, stop_hold_music
from .muting import mute, mute_all, mute_self, unmute_self
from .participants import (
    add_large_gallery_view,
    admit,
    deny,
    invite,
    participant,
    participants,
    remove,
)
from .sharing import (
    change_screen_sharing_role,
    content_sharing,
    content_sharing_sessions,
    update_recording_status,
)

__all__ = [
    "add_large_gallery_view",
    "admit",
    "change_screen_sharing_role",
    "content_sharing",
    "content_sharing_sessions",
    "create_routing_group",
    "delete_routing_group",
    "deny",
    "invite",
    "mute",
    "mute_all",
    "mute_self",
    "participant",
    "participants",
    "remove",
    "routing_group",
    "routing_groups",
    "start_hold_music",
    "stop_hold_music",
    "unmute_self",
    "update_recording_status",
    "update_routing_group",
]
