"""What the console asks of a call service or a bot host: implemented by each of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from .models import (
    BotView,
    CallDetail,
    CallRow,
    CaptureDetail,
    CaptureView,
    Engine,
    MeetingView,
    PluginKind,
    PluginView,
    RecordingView,
    Side,
    UserSession,
    UserView,
)
from .wishes import CallWish, MeetingWish, PluginChange, PluginWish, RouteWish

KEPT_ENDED: Final = 50
"""How many ended calls a source shows beside the living ones, the newest."""


class ConsoleRefusedError(Exception):
    """A source cannot, or will not, do what was asked. The message is shown to the operator.

    ``code`` is one word in camelCase (``notFound``, ``notPossible``, ``invalid``, ``busy``,
    ``unavailable``); ``status`` is the HTTP status that goes with it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @classmethod
    def not_found(cls, what: str) -> ConsoleRefusedError:
        """Say that there is no such thing: *what* as "no call 12"."""
        return cls(404, "notFound", what)

    @classmethod
    def not_possible(cls, why: str) -> ConsoleRefusedError:
        """Say that this cannot be done to it, now or ever."""
        return cls(409, "notPossible", why)

    @classmethod
    def invalid(cls, why: str) -> ConsoleRefusedError:
        """Say that what was asked makes no sense: what was expected, and what came."""
        return cls(400, "invalid", why)

    @classmethod
    def unavailable(cls, why: str) -> ConsoleRefusedError:
        """Say that another process, which is needed for it, does not answer."""
        return cls(502, "unavailable", why)


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file of a recording on disk, found by the source: never a path from outside."""

    path: Path
    media_type: str
    is_growing: bool = False


class ConsoleSource(Protocol):
    """The calls of one role. All keys that it makes are its own: they begin with ``s:`` or ``h:``.

    A *call_id* is the id of one of its rows, or one of that row's ``call_ids``. Every method that
    is not ``async`` is cheap (50 calls: rows, meters <= 1 ms) and never waits. What a source cannot
    do it refuses with :class:`ConsoleRefusedError`, whose message the operator reads; what it finds
    no call for, with ``ConsoleRefusedError.not_found``.
    Thread: the loop's.
    """

    side: Side

    # ---- what is shown ---------------------------------------------------------------------------

    def rows(self) -> Sequence[CallRow]:
        """Return the living calls and the last :data:`KEPT_ENDED` ended ones, oldest first."""

    def detail(self, call_id: str) -> CallDetail | None:
        """Return all there is of a call; None when this source does not know it."""

    def meters(self, call_ids: Collection[str] | None) -> Mapping[str, tuple[int, int]]:
        """Return each leg's level by its key: inbound and outbound in dBov, -127 is silence.

        Of the legs of those calls (ids as in ``rows``, unknown ones left out); None: of all.
        """

    def engine(self) -> Engine:
        """Return how the engine was in the last second."""

    def users(self) -> Sequence[UserView]:
        """Return the directory's users; none on a host."""

    def user_session(self, user_id: str) -> UserSession:
        """Return what a page signs in to ``/rtc`` with as that user."""

    async def bots(self) -> Sequence[BotView]:
        """Return the bots that can be placed."""

    async def meetings(self) -> Sequence[MeetingView]:
        """Return the meetings of the service; none on a host."""

    async def plugin_kinds(self) -> Sequence[PluginKind]:
        """Return the plugins that can be put on a stream here."""

    async def recordings(self) -> Sequence[RecordingView]:
        """Return what was recorded, newest first, at most 200."""

    async def peaks(self, recording_id: str, name: str, bins: int) -> Sequence[tuple[int, int]]:
        """Return the lowest and highest sample (int16) of each of *bins* equal parts of a file."""

    async def audio(self, recording_id: str, name: str) -> AudioFile:
        """Return where a file of a recording is, found among its files by name."""

    async def captures(self) -> Sequence[CaptureView]:
        """Return the captured calls, newest first, at most 200."""

    async def capture(self, capture_id: str, after: int | None, most: int) -> CaptureDetail:
        """Return a capture with the newest *most* events, or the first *most* after number *after*.

        *capture_id* is that of one of its captures.
        """

    # ---- what is done ----------------------------------------------------------------------------

    async def create_call(self, wish: CallWish) -> str:
        """Let a bot call or join; return the call's id."""

    async def create_meeting(self, wish: MeetingWish) -> MeetingView:
        """Make a meeting."""

    async def hang_up(self, call_id: str) -> None:
        """End the call for all: a meeting, too."""

    async def send_tones(self, call_id: str, tones: str) -> None:
        """Let our side press keys."""

    async def mute(self, call_id: str, participant_id: str) -> None:
        """Mute somebody, as an organizer may."""

    async def unmute(self, call_id: str, participant_id: str) -> None:
        """Take the service's own mute back; who muted themselves stays muted."""

    async def admit(self, call_id: str, participant_id: str) -> None:
        """Let somebody in from the lobby."""

    async def remove(self, call_id: str, participant_id: str) -> None:
        """Take somebody out of the call."""

    async def invite(self, call_id: str, user: str) -> None:
        """Ring a user (an id, or a display name) into the call; return once they are rung."""

    async def set_route(self, call_id: str, wish: RouteWish) -> None:
        """Let one participant hear another, or not."""

    async def set_plugin(self, call_id: str, key: str, change: PluginChange) -> PluginView:
        """Switch a plugin, or change its parameters."""

    async def add_plugin(self, call_id: str, wish: PluginWish) -> Sequence[PluginView]:
        """Put a plugin on a stream; return what came of it, one for each leg."""

    async def remove_plugin(self, call_id: str, key: str) -> None:
        """Take a plugin out."""

    async def place_bot(self, call_id: str, bot: str) -> str:
        """Bring a bot into the call; return the id of the bot's own call."""

    async def start_recording(self, call_id: str) -> RecordingView:
        """Record the call from now on."""

    async def stop_recording(self, call_id: str) -> None:
        """Stop all recordings of the call."""
