"""A softphone: a real WebRTC caller that plays samples and records what it hears."""

from .options import (
    KEYS,
    PAUSE,
    Action,
    ActionKind,
    BotTarget,
    CallEnd,
    MeetingTarget,
    OnEvent,
    SoftphoneOptions,
    SoftphoneReport,
)
from .phone import Softphone

__all__ = [
    "KEYS",
    "PAUSE",
    "Action",
    "ActionKind",
    "BotTarget",
    "CallEnd",
    "MeetingTarget",
    "OnEvent",
    "Softphone",
    "SoftphoneOptions",
    "SoftphoneReport",
]
