"""One call's media in a bot host: its legs, its audio socket, and who listens to it."""

from .audio_socket import AudioCounters, AudioSocket
from .dominant import DominantSpeaker
from .errors import SessionClosedError
from .hub import Listener, SessionFrame, skipped_frame
from .keys import ToneStream
from .receiving import BEHIND_READS
from .sending import RESERVE_SENDS, ROOM_FRAMES
from .session import MediaSession, SessionCounters, SessionLegs
from .views import AudioView, ViewFrame

__all__ = [
    "BEHIND_READS",
    "RESERVE_SENDS",
    "ROOM_FRAMES",
    "AudioCounters",
    "AudioSocket",
    "AudioView",
    "DominantSpeaker",
    "Listener",
    "MediaSession",
    "SessionClosedError",
    "SessionCounters",
    "SessionFrame",
    "SessionLegs",
    "ToneStream",
    "ViewFrame",
    "skipped_frame",
]
