"""The requests of the calls API: what each body may say, read once, refused with its member named.

Every parser is pure and raises GraphError 400. Addresses are checked to be absolute https; whether
they may be connected to is the guard's question.
"""

from __future__ import annotations

from .requests_call import (
    MAX_GROUP_TARGETS,
    MAX_RINGING_S,
    CallKind,
    CallRequest,
    MeetingRef,
    parse_call_request,
)
from .requests_common import CallOptions, MediaConfig, MediaInfo, Target
from .requests_group import (
    InviteRequest,
    MuteAllRequest,
    RoutingGroup,
    parse_client_context,
    parse_invite,
    parse_mute_all,
    parse_recording_status,
    parse_routing_group,
    parse_screen_sharing_role,
)
from .requests_handling import (
    AnswerRequest,
    RedirectRequest,
    RejectRequest,
    TransferRequest,
    parse_answer,
    parse_redirect,
    parse_reject,
    parse_transfer,
)
from .requests_media import (
    HoldMusicRequest,
    PlayPromptRequest,
    RecordRequest,
    SendDtmfRequest,
    parse_hold_music,
    parse_play_prompt,
    parse_record,
    parse_send_dtmf,
)
from .requests_quality import DeviceQuality, parse_device_quality

__all__ = [
    "MAX_GROUP_TARGETS",
    "MAX_RINGING_S",
    "AnswerRequest",
    "CallKind",
    "CallOptions",
    "CallRequest",
    "DeviceQuality",
    "HoldMusicRequest",
    "InviteRequest",
    "MediaConfig",
    "MediaInfo",
    "MeetingRef",
    "MuteAllRequest",
    "PlayPromptRequest",
    "RecordRequest",
    "RedirectRequest",
    "RejectRequest",
    "RoutingGroup",
    "SendDtmfRequest",
    "Target",
    "TransferRequest",
    "parse_answer",
    "parse_call_request",
    "parse_client_context",
    "parse_device_quality",
    "parse_hold_music",
    "parse_invite",
    "parse_mute_all",
    "parse_play_prompt",
    "parse_record",
    "parse_recording_status",
    "parse_redirect",
    "parse_reject",
    "parse_routing_group",
    "parse_screen_sharing_role",
    "parse_send_dtmf",
    "parse_transfer",
]
