"""The bot host: what a bot's author writes against."""

from mixminus.media.pcm import AudioFrame
from mixminus.media.pipeline import AudioFileError
from mixminus.media.plugins.errors import PluginConfigError, PluginError

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
from .acs import AcsCallFailedError, IncomingAcsCall
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
    "AcsCallFailedError",
    "AudioFileError",
    "AudioFrame",
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
    "IncomingAcsCall",
    "Invitee",
    "JoinInfo",
    "JoinUrlError",
    "NoAudioError",
    "Operation",
    "OperationFailedError",
    "Options",
    "Participant",
    "PluginConfigError",
    "PluginError",
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
