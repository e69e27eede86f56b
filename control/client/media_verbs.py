"""What a bot does with media that the service hosts: prompts, recordings, tones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..graph.enums import Tone
from .base import CallRequests, an_object, path_of
from .bodies import Json, Prompt, as_prompt, with_context
from .models import Operation, RecordOperation, read_operation

MAX_PROMPTS: Final = 20
MAX_RECORDING_BYTES: Final = 16 * 1024 * 1024
"""Four times what 120 s of 16 kHz, 16 bit, mono come to."""


def tone_of(key: Tone | str) -> Tone:
    """Return the tone that *key* means: ``#``, ``5``, ``tone5``, ``pound``.

    Raises: ValueError.
    """
    tone = Tone.of_key(key) if isinstance(key, str) and len(key) == 1 else None
    return Tone(key) if tone is None else tone


class MediaVerbs(CallRequests):
    """Operations on a call's media. All raise GraphRequestError, GraphConnectionError, TokenError.

    Each returns the operation as the service answered it: it may still be running.
    """

    async def play_prompt(
        self,
        call_id: str,
        *prompts: Prompt | str,
        loop: bool = False,
        client_context: str | None = None,
    ) -> Operation:
        """Play up to 20 *prompts* one after the other; *loop* (beta) goes on until cancelled.

        Raises: ValueError also, on no prompt or too many.
        """
        if not 0 < len(prompts) <= MAX_PROMPTS:
            raise ValueError(f"expected 1 to {MAX_PROMPTS} prompts, got {len(prompts)}")
        body: Json = {"prompts": [as_prompt(prompt).to_json() for prompt in prompts]}
        if loop:
            body["loop"] = True
        return await self._operate(call_id, "playPrompt", with_context(body, client_context))

    async def record_response(
        self,
        call_id: str,
        *,
        prompt: Prompt | str | None = None,
        barge_in: bool = False,
        initial_silence_s: int = 5,
        max_silence_s: int = 5,
        max_duration_s: int = 5,
        beep: bool = True,
        stop_tones: Sequence[str] = (),
        client_context: str | None = None,
    ) -> Operation:
        """Record what the caller says, after *prompt* and a beep.

        *barge_in* has this request go before operations that run or wait; it is not the caller's
        speech that stops a prompt. *stop_tones* are keys, for example ``#``.
        """
        body: Json = {
            "bargeInAllowed": barge_in,
            "initialSilenceTimeoutInSeconds": initial_silence_s,
            "maxSilenceTimeoutInSeconds": max_silence_s,
            "maxRecordDurationInSeconds": max_duration_s,
            "playBeep": beep,
            "stopTones": list(stop_tones),
        }
        if prompt is not None:
            body["prompts"] = [as_prompt(prompt).to_json()]
        return await self._operate(call_id, "recordResponse", with_context(body, client_context))

    async def cancel_media_processing(
        self, call_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Stop what is played and recorded, and all that waits to be."""
        return await self._operate(
            call_id, "cancelMediaProcessing", with_context({}, client_context)
        )

    async def subscribe_to_tone(
        self, call_id: str, *, client_context: str | None = None
    ) -> Operation:
        """Have the keys that the caller presses told."""
        return await self._operate(
            call_id, "subscribeToTone", with_context({}, client_context), is_repeatable=True
        )

    async def send_dtmf_tones(
        self,
        call_id: str,
        *tones: Tone | str,
        delay_ms: int | None = None,
        client_context: str | None = None,
    ) -> Operation:
        """Press keys: tones, or what is printed on them.

        Raises: ValueError also, on none or one that is unknown.
        """
        if not tones:
            raise ValueError("expected at least one tone")
        body: Json = {"tones": [tone_of(tone).value for tone in tones]}
        if delay_ms is not None:
            body["delayBetweenTonesMs"] = delay_ms
        return await self._operate(call_id, "sendDtmfTones", with_context(body, client_context))

    async def fetch_recording(self, operation: RecordOperation) -> bytes:
        """Return the clip of a recording: a WAV file, kept only until shortly after the call.

        Raises: ValueError also, when the operation made none.
        """
        url, token = operation.recording_location, operation.recording_access_token
        if url is None or token is None:
            raise ValueError(f"the operation {operation.id} has no recording")
        return await self._graph.fetch(url, token, limit_bytes=MAX_RECORDING_BYTES)

    async def operations(self, call_id: str) -> tuple[Operation, ...]:
        """List the operations of a call."""
        return tuple(
            read_operation(raw) for raw in await self._list(path_of(call_id, "operations"))
        )

    async def operation(self, call_id: str, operation_id: str) -> Operation:
        """Return one operation as it stands."""
        response = await self._ask("GET", path_of(call_id, "operations", operation_id))
        return read_operation(an_object(response))
