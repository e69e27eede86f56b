"""The bot host: what a bot's author writes against."""

from ..client.bodies import Invitee, Options, Prompt
from ..client.models import Identity, Operation, Participant, RecordOperation, ToneInfo
from ..graph.joinurl import JoinInfo, JoinUrlError
from .bot import Bot
from .call import HostedCall
from .errors import CallEndedError, NoAudioError, OperationFailedError
from .host import BotHost

__all__ = [
    "Bot",
    "BotHost",
    "CallEndedError",
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
    "ToneInfo",
]
