"""The media of a call in a bot host, whichever way the call came."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from mixminus.media.player import Player
from mixminus.media.session import AudioSocket, MediaSession

from ..client.models import Participant
from .errors import NoAudioError
from .plugins import CallPlugins, HostPlugins
from .recording import CallRecordings

MEDIA_TITLES: Final = {True: "media back", False: "media lost"}


class CallMedia(CallRecordings):
    """What a bot does with a call's audio: the same for Graph's calls and for streams."""

    id: str
    _session: MediaSession | None
    _player: Player | None = None
    _host_plugins: HostPlugins | None = None
    _plugins: CallPlugins | None = None

    @property
    def player(self) -> Player:
        """What plays files, samples and feeds into this call; one for each call.

        Raises: NoAudioError when its media are not in this process.
        """
        if self._player is None:
            self._player = Player(self.audio)
        return self._player

    @property
    def audio(self) -> AudioSocket:
        """The call's audio, both ways.

        Raises: NoAudioError when its media are not in this process.
        """
        if self._session is None:
            raise NoAudioError(
                f"call {self.id} has no audio here: its media are the service's (play_prompt and"
                ' record_response are for those), not yet answered, or not made with media="app"'
            )
        return self._session.audio

    @abstractmethod
    def speaker(self, source_id: str | int) -> Participant | None:
        """Return who has the media stream of that source id."""

    def speaker_name(self, source_id: int) -> str | None:
        """Return the name of who has that media stream: by the roster, or by the transport.

        Of a call of two, which may have no roster, the only speaker is the peer.
        """
        person = self.speaker(source_id)
        if person is not None and person.display_name is not None:
            return person.display_name
        if self._session is None:
            return None
        told = self._session.audio.speaker_names.get(source_id)
        if (
            told is None
            and self._is_call_of_two()
            and [*self._session.legs.speakers] == [source_id]
        ):
            return self.peer.display_name
        return told

    @property
    def session(self) -> MediaSession | None:
        """The call's media; None when they are not in this process."""
        return self._session

    @property
    def has_plugins(self) -> bool:
        """Whether there is audio here that plugins work on, or could."""
        return self._plugins is not None

    @property
    def plugins(self) -> CallPlugins:
        """The plugins of this call, to be changed while it runs.

        Raises: NoAudioError when its media are not in this process, or not there yet.
        """
        if self._plugins is None:
            raise NoAudioError(f"call {self.id} has no audio here that plugins could work on")
        return self._plugins

    def _start_media(self, session: MediaSession) -> None:
        """Use the plugins of the settings on *session*, and capture it if that is asked for."""
        if self._capture is not None:
            self._capture.hear(session)
        session.audio.on_media(lambda flows: self._tell("media", MEDIA_TITLES[flows]))
        if self._host_plugins is not None:
            self._plugins = self._host_plugins.of_call(self.id, session, self._may_store)
            self._plugins.start()

    def _may_store(self, timestamp: int) -> bool:
        return self._host_recordings is not None and self.recording_gate.admits(timestamp)

    def _describe_plugins(self) -> list[dict[str, Any]]:
        """Return what the admin API shows of this call's plugins."""
        return [] if self._plugins is None else self._plugins.describe()

    async def _close_media(self) -> None:
        """End all that records, plays or works on the audio: the call is over. Again is no error.

        The session is still there, so what was on its way is heard to its end.
        """
        await self._close_recordings()
        if self._player is not None:
            await self._player.close()
        if self._plugins is not None:
            await self._plugins.close()
        if self._capture is not None:
            await self._capture.close()
