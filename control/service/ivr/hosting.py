"""How a call gets its service-hosted media."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .media import ServiceHostedMedia

if TYPE_CHECKING:
    from ..live_call import LiveCall


def make_hosted(live: LiveCall) -> ServiceHostedMedia:
    """Make what speaks and listens for *live* on its own leg, which must be ``paced``."""
    own = live.member

    def received_frames() -> int:
        members = live.conversation.members.values()
        return sum(member.received for member in members if member is not own)

    return ServiceHostedMedia(
        live.services.platform,
        own.leg,
        live.services.prompts.of(live.app_id),
        on_tone=live.on_tone,
        received_frames=received_frames,
    )
