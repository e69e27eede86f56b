"""What a bot can do with a call: every verb of the calls API, awaited to its end."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from ..client.bodies import Prompt, Target, as_invitee
from ..client.calls import CallsClient
from ..client.models import (
    AudioRoutingGroup,
    ContentSharingSession,
    Identity,
    Operation,
    Participant,
    RecordOperation,
)
from ..graph.enums import RecordingStatus, RejectReason, RoutingMode, ScreenSharingRole, Tone
from .prompts import Playable

log = logging.getLogger("mixminus.control.host")

Answer = TypeVar("Answer")

MEDIA_READY_S: Final = 5.0
"""How long what needs audio waits for it; then the service may say why there is none."""


class CallVerbs(ABC):
    """The verbs of one call.

    Methods that return an operation return it finished. They raise OperationFailedError when it
    failed, CallEndedError when the call ended first; all raise GraphRequestError,
    GraphConnectionError and TokenError.
    """

    id: str
    _client: CallsClient
    _callback_uri: str

    @abstractmethod
    async def _ask(self, request: Coroutine[Any, Any, Answer]) -> Answer:
        """Await an answer; one that the call is not there makes the host look after it."""

    @abstractmethod
    async def _finish(self, request: Coroutine[Any, Any, Operation]) -> Operation:
        """Await an answer, and the end of the operation that it names."""

    @abstractmethod
    def _prompt(self, prompt: Playable) -> Prompt:
        """Return *prompt* where the service can fetch it."""

    @abstractmethod
    async def wait_media(self, timeout_s: float) -> None:
        """Wait until audio flows, at most so long.

        Raises: TimeoutError; CallEndedError when the call ends first.
        """

    @abstractmethod
    def _heed_recording_status(self, status: str) -> None:
        """Open or shut the recording gate, as the service has been told."""

    # The whole call.

    async def reject(self, reason: RejectReason | str = RejectReason.NONE) -> None:
        """Turn an incoming call away."""
        await self._ask(self._client.reject(self.id, reason, callback_uri=self._callback_uri))

    async def redirect(
        self,
        *targets: Target,
        timeout_s: int | None = None,
        mask_caller: bool = False,
        mask_callee: bool = False,
    ) -> None:
        """Send an incoming call on to up to 25 *targets*, who ring together for 15 to 90 s."""
        await self._ask(
            self._client.redirect(
                self.id,
                targets,
                timeout_s=timeout_s,
                callback_uri=self._callback_uri,
                mask_caller=mask_caller,
                mask_callee=mask_callee,
            )
        )

    async def transfer(
        self,
        target: Target,
        *,
        replaces_call_id: str | None = None,
        transferee: Identity | None = None,
    ) -> None:
        """Connect the other party with *target*; the call ends here when that has worked.

        *replaces_call_id* is the bot's own call with the target, for a consultative transfer.
        When it fails the call goes on, and ``result`` says why.
        """
        if replaces_call_id is not None:
            target = replace(as_invitee(target), replaces_call_id=replaces_call_id)
        await self._ask(self._client.transfer(self.id, target, transferee=transferee))

    # Media that the service hosts.

    async def play_prompt(
        self,
        *prompts: Playable,
        loop: bool = False,
        client_context: str | None = None,
    ) -> Operation:
        """Play files of this machine, or addresses; return when the last has been played.

        With *loop* (beta) there is no end: it returns once the service has begun.
        """
        await self._media_ready()
        request = self._client.play_prompt(
            self.id,
            *(self._prompt(prompt) for prompt in prompts),
            loop=loop,
            client_context=client_context,
        )
        return await (self._ask(request) if loop else self._finish(request))

    async def record_response(
        self,
        *,
        prompt: Playable | None = None,
        barge_in: bool = False,
        initial_silence_s: int = 5,
        max_silence_s: int = 5,
        max_duration_s: int = 5,
        beep: bool = True,
        stop_tones: Sequence[str] = (),
        client_context: str | None = None,
    ) -> RecordOperation:
        """Record what the caller says, after *prompt* and a beep; return where the clip is.

        A caller who says nothing makes it fail, with ``initialSilenceTimeout`` as the operation's
        completion reason. *barge_in* has this go before what is played and recorded already.
        """
        await self._media_ready()
        operation = await self._finish(
            self._client.record_response(
                self.id,
                prompt=None if prompt is None else self._prompt(prompt),
                barge_in=barge_in,
                initial_silence_s=initial_silence_s,
                max_silence_s=max_silence_s,
                max_duration_s=max_duration_s,
                beep=beep,
                stop_tones=stop_tones,
                client_context=client_context,
            )
        )
        assert isinstance(operation, RecordOperation)
        return operation

    async def fetch_recording(self, operation: RecordOperation) -> bytes:
        """Return the clip that *operation* made, a WAV file.

        Raises: ValueError also, when there is none.
        """
        return await self._ask(self._client.fetch_recording(operation))

    async def cancel_media_processing(self, *, client_context: str | None = None) -> Operation:
        """Stop what is played and recorded, and all that waits to be."""
        return await self._finish(
            self._client.cancel_media_processing(self.id, client_context=client_context)
        )

    async def subscribe_to_tone(self, *, client_context: str | None = None) -> Operation:
        """Have the keys that the caller presses told: see ``tones`` and ``Bot.on_tone``."""
        await self._media_ready()
        return await self._finish(
            self._client.subscribe_to_tone(self.id, client_context=client_context)
        )

    async def send_dtmf_tones(
        self,
        *tones: Tone | str,
        delay_ms: int | None = None,
        client_context: str | None = None,
    ) -> Operation:
        """Press keys, for example ``"1", "#"``; the completion reason says how it went."""
        await self._media_ready()
        return await self._finish(
            self._client.send_dtmf_tones(
                self.id, *tones, delay_ms=delay_ms, client_context=client_context
            )
        )

    async def _media_ready(self) -> None:
        try:
            await self.wait_media(MEDIA_READY_S)
        except TimeoutError:
            log.info("call %s: no audio after %.0f s: asking all the same", self.id, MEDIA_READY_S)

    # A call of several.

    async def fetch_participants(self) -> tuple[Participant, ...]:
        """Ask the service who is in the call; ``participants`` is what it told."""
        return await self._ask(self._client.participants(self.id))

    async def invite(self, *targets: Target, client_context: str | None = None) -> Operation:
        """Ring up to 5 *targets* into a group call; return when that has come to an end."""
        return await self._finish(
            self._client.invite(self.id, *targets, client_context=client_context)
        )

    async def remove_participant(self, participant_id: str) -> bool:
        """Remove a participant, or take an invitation back; False when they are not there."""
        return await self._ask(self._client.remove_participant(self.id, participant_id))

    async def mute_participant(
        self, participant_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Have nobody hear a participant; only they can undo it."""
        return await self._finish(
            self._client.mute_participant(self.id, participant_id, client_context=client_context)
        )

    async def mute_all(self, *participant_ids: str, client_context: str | None = None) -> Operation:
        """Mute several participants (beta, deprecated)."""
        return await self._finish(
            self._client.mute_all(self.id, *participant_ids, client_context=client_context)
        )

    async def mute(self, *, client_context: str | None = None) -> Operation:
        """Mute the bot itself."""
        return await self._finish(self._client.mute(self.id, client_context=client_context))

    async def unmute(self, *, client_context: str | None = None) -> Operation:
        """Undo :meth:`mute`."""
        return await self._finish(self._client.unmute(self.id, client_context=client_context))

    async def start_hold_music(
        self,
        participant_id: str,
        *,
        prompt: Playable | None = None,
        client_context: str | None = None,
    ) -> Operation:
        """Put a participant on hold, with music: *prompt*, or the service's."""
        return await self._finish(
            self._client.start_hold_music(
                self.id,
                participant_id,
                prompt=None if prompt is None else self._prompt(prompt),
                client_context=client_context,
            )
        )

    async def stop_hold_music(
        self, participant_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Take a participant off hold."""
        return await self._finish(
            self._client.stop_hold_music(self.id, participant_id, client_context=client_context)
        )

    async def change_screen_sharing_role(self, role: ScreenSharingRole | str) -> None:
        """Begin to show a screen (sharer), or stop (viewer)."""
        await self._ask(self._client.change_screen_sharing_role(self.id, role))

    async def update_recording_status(
        self, status: RecordingStatus | str, *, client_context: str | None = None
    ) -> Operation:
        """Say that the bot records, or does not: before it begins, and after it has ended.

        That opens and shuts the call's ``recording_gate``; ``record`` does it where it must be.
        """
        if status != RecordingStatus.RECORDING:
            self._heed_recording_status(status)
        operation = await self._finish(
            self._client.update_recording_status(self.id, status, client_context=client_context)
        )
        if status == RecordingStatus.RECORDING:
            self._heed_recording_status(status)
        return operation

    async def add_large_gallery_view(self, *, client_context: str | None = None) -> Operation:
        """Add the large gallery view."""
        return await self._finish(
            self._client.add_large_gallery_view(self.id, client_context=client_context)
        )

    async def audio_routing_groups(self) -> tuple[AudioRoutingGroup, ...]:
        """List the routing groups."""
        return await self._ask(self._client.audio_routing_groups(self.id))

    async def create_audio_routing_group(
        self,
        group_id: str,
        *,
        sources: Sequence[str],
        receivers: Sequence[str],
        routing_mode: RoutingMode | str | None = None,
    ) -> AudioRoutingGroup:
        """Have *sources* heard by *receivers* alone; all are ids of participants."""
        return await self._ask(
            self._client.create_audio_routing_group(
                self.id, group_id, sources=sources, receivers=receivers, routing_mode=routing_mode
            )
        )

    async def update_audio_routing_group(
        self,
        group_id: str,
        *,
        sources: Sequence[str] | None = None,
        receivers: Sequence[str] | None = None,
        routing_mode: RoutingMode | str | None = None,
    ) -> AudioRoutingGroup:
        """Change what is given of a routing group."""
        return await self._ask(
            self._client.update_audio_routing_group(
                self.id, group_id, sources=sources, receivers=receivers, routing_mode=routing_mode
            )
        )

    async def delete_audio_routing_group(self, group_id: str) -> bool:
        """Delete a routing group; False when it is not there."""
        return await self._ask(self._client.delete_audio_routing_group(self.id, group_id))

    async def content_sharing_sessions(self) -> tuple[ContentSharingSession, ...]:
        """Ask the service who shows their screen; ``sharing`` is what it told."""
        return await self._ask(self._client.content_sharing_sessions(self.id))

    async def operations(self) -> tuple[Operation, ...]:
        """Ask the service for the call's operations."""
        return await self._ask(self._client.operations(self.id))
