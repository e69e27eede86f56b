"""The bot host: what a bot's author writes against."""

from ..client.bodies import Invitee, Options, Prompt
from ..client.models import (
    AudioRoutingGroup,
    CallInfo,
    ContentSharingSession,
    Identity,
    Operation,
    Participant,
    RecordOperation,
    ToneInfo,
)
from ..client.requests import GraphConnectionError, GraphRequestError
from ..client.tokens import TokenError
from ..graph.enums import (
    CallState,
    RecordingStatus,
    RejectReason,
    RoutingMode,
    ScreenSharingRole,
    Tone,
)
from ..graph.joinurl import JoinInfo, JoinUrlError
from .bot import Bot
from .call import HostedCall
from .errors import (
    CallEndedError,
    NoAudioError,
    OperationFailedError,
    UnknownMeetingError,
    UnknownUserError,
)
from .host import BotHost
from .stream_call import StreamCall, StreamOrigin
from .streams import StreamTicket
from .tones import Tones

__all__ = [
    "AudioRoutingGroup",
    "Bot",
    "BotHost",
    "CallEndedError",
    "CallInfo",
    "CallState",
    "ContentSharingSession",
    "GraphConnectionError",
    "GraphRequestError",
    "HostedCall",
    "Identity",
    "Invitee",
    "JoinInfo",
    "JoinUrlError",
    "NoAudioError",
    "Operation",
    "OperationFailedError",
    "Options",
    "Participant",
    "Prompt",
    "RecordOperation",
    "RecordingStatus",
    "RejectReason",
    "RoutingMode",
    "ScreenSharingRole",
    "StreamCall",
    "StreamOrigin",
    "StreamTicket",
    "TokenError",
    "Tone",
    "ToneInfo",
    "Tones",
    "UnknownMeetingError",
    "UnknownUserError",
]
