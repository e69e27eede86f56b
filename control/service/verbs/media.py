"""The verbs on a call's media: prompts, recordings, tones.

Source: Microsoft Graph, call: playPrompt, recordResponse, cancelMediaProcessing, subscribeToTone,
sendDtmfTones; the subcodes are the calling platform's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from mixminus.media.dtmf import tone_pcm

from ...graph import errors, operations
from ...graph.enums import CallState, ChangeType, Tone
from ...graph.notifications import Json, Notification
from ...graph.operations import OperationStatus, Outcome, PlayReason, RecordReason
from ...graph.requests_media import PlayPromptRequest, RecordRequest, SendDtmfRequest
from ..ivr.media import TONE_MS, ServiceHostedMedia
from ..ivr.prompts import PromptError
from ..ivr.queue import Job, QueueFullError
from ..ivr.recorder import RecordLimits
from ..ivr.voice import Voice
from ..operations import call_terminated

if TYPE_CHECKING:
    from ..live_call import LiveCall

MIN_PAUSE_MS: Final = 60
"""Between two tones, whatever was asked for: receivers want 40 ms to tell them apart."""
QUEUE_RETRY_S: Final = 5

_CANCELED = (400, 8508, "Action failed, the operation was cancelled.")
_INTERNAL = (500, 9999, "Action failed, an internal error occurred.")

_RECORD_RESULTS: Final = {
    RecordReason.STOP_TONE: (200, 8514, "Action completed as stop tone was detected."),
    RecordReason.MAX_DURATION: (200, 8515, "Action completed, max record duration was reached."),
    RecordReason.MAX_SILENCE: (200, 8509, "Action completed, max silence timeout was reached."),
    RecordReason.INITIAL_SILENCE: (
        400,
        8510,
        "Action failed, initial silence timeout was reached.",
    ),
    RecordReason.MEDIA_TIMEOUT: (400, 8513, "Action failed, no media was received."),
}
"""Those that end with code 200 leave a clip behind."""


async def play_prompt(live: LiveCall, request: PlayPromptRequest) -> Json:
    """Play prompts after what the call plays and records already; return the operation.

    Raises: GraphError.
    """
    media = _hosted(live)

    async def run() -> Outcome:
        try:
            await media.play(request.prompts, loop=request.loop)
        except PromptError as error:
            reason = PlayReason.UNKNOWN.value
            return Outcome.failure(400, error.subcode, error.message, completionReason=reason)
        return Outcome.success(completionReason=PlayReason.SUCCEEDED.value)

    members = {"completionReason": PlayReason.CANCELED.value}
    return await _enqueue(live, operations.PLAY_PROMPT, request.client_context, run, members)


async def record_response(live: LiveCall, request: RecordRequest) -> Json:
    """Record what is said into the call; return the operation.

    Raises: GraphError.
    """
    media = _hosted(live)
    if request.barge_in:
        live.expect_store()
        await live.operations.queue.cancel()
    limits = RecordLimits(
        initial_silence_s=request.initial_silence_s,
        max_silence_s=request.max_silence_s,
        max_duration_s=request.max_duration_s,
        stop_keys=frozenset(request.stop_tones),
    )

    async def run() -> Outcome:
        if request.prompt is not None:
            try:
                await media.play([request.prompt])
            except PromptError as error:
                members = _no_clip(RecordReason.PROMPT_FAILED)
                return Outcome.failure(400, error.subcode, error.message, **members)
        clip = await media.record(limits, beep=request.play_beep)
        code, subcode, message = _RECORD_RESULTS[clip.reason]
        if code != 200:
            return Outcome.failure(code, subcode, message, **_no_clip(clip.reason))
        ticket = await live.services.recordings.add(live.id, clip.to_wav())
        return Outcome(
            OperationStatus.COMPLETED,
            code,
            subcode,
            message,
            {
                "completionReason": clip.reason.value,
                "recordingLocation": ticket.location,
                "recordingAccessToken": ticket.token,
            },
        )

    members = _no_clip(RecordReason.CANCELED)
    return await _enqueue(live, operations.RECORD, request.client_context, run, members)


async def cancel_media_processing(live: LiveCall, client_context: str | None) -> Json:
    """End all that is played, recorded or sent, and all that waits; each tells of its own end.

    Raises: GraphError.
    """
    live.expect_established()
    live.expect_store()
    await live.operations.queue.cancel()
    return live.operations.completed(operations.CANCEL_MEDIA_PROCESSING, client_context)


async def subscribe_to_tone(live: LiveCall, client_context: str | None) -> Json:
    """Tell the application of every key from now on.

    Raises: GraphError.
    """
    _hosted(live).listen(True)
    live.operations.tones.subscribe()
    return live.operations.completed(operations.SUBSCRIBE_TO_TONE, client_context)


async def send_dtmf_tones(live: LiveCall, request: SendDtmfRequest) -> Json:
    """Send keys into the call, as sound and as signals; return the operation.

    Raises: GraphError.
    """
    live.expect_established()

    async def run() -> Outcome:
        if live.room.is_over:
            return call_terminated(operations.SEND_DTMF_TONES)
        async with _speaker(live) as say:
            for index, name in enumerate(request.tones):
                if index:
                    await asyncio.sleep(max(MIN_PAUSE_MS, request.delay_ms) / 1000)
                key = Tone(name).key
                if key is not None:  # A flash is a hook's, and makes no sound.
                    live.room.press(live.member, key)
                    await say(key)
        return Outcome.success(completionReason=PlayReason.SUCCEEDED.value)

    members = {"completionReason": PlayReason.CANCELED.value}
    return await _enqueue(
        live,
        operations.SEND_DTMF_TONES,
        request.client_context,
        run,
        members,
        # Success is told by the completion reason alone: so all documented outcomes.
        canceled_status=OperationStatus.COMPLETED,
    )


async def heard_tone(live: LiveCall, tone: str) -> None:
    """Pass on that somebody in the call pressed a key: to a recording, and to the application."""
    if live.media is not None and not live.media.hear_tone(tone):
        return
    sequence_id = live.operations.tones.count() if live.call.is_established else None
    if sequence_id is None:
        return
    data: Json = {
        "@odata.type": "#microsoft.graph.call",
        "state": CallState.ESTABLISHED.value,
        "id": live.id,
        "toneInfo": {
            "@odata.type": "#microsoft.graph.toneInfo",
            "sequenceId": sequence_id,
            "tone": tone,
        },
    }
    await live.notify(Notification(ChangeType.UPDATED, (live.id,), data))


def _hosted(live: LiveCall) -> ServiceHostedMedia:
    live.expect_established()
    if live.is_app_hosted:
        raise errors.invalid_media_mode(
            "expected a call with serviceHostedMediaConfig, got one with appHostedMediaConfig."
        )
    media = live.media
    if media is None:
        raise errors.GraphError(400, "8504", "Media streams are not available.")
    if (live.row.resource["mediaState"] or {}).get("audio") != "active":
        raise errors.audio_inactive()
    return media


async def _enqueue(
    live: LiveCall,
    kind: str,
    client_context: str | None,
    run: Callable[[], Awaitable[Outcome]],
    members: dict[str, Any],
    *,
    canceled_status: OperationStatus = OperationStatus.FAILED,
) -> Json:
    """Make an operation that runs after those before it; *members* are those of one cut short."""
    queue = live.operations.queue
    try:
        queue.expect_room()
    except QueueFullError:
        raise errors.throttled(QUEUE_RETRY_S) from None
    shown = await live.operations.create(kind, client_context)
    is_record = kind == operations.RECORD
    reason = RecordReason.UNSPECIFIED.value if is_record else PlayReason.UNKNOWN.value
    queue.put(
        Job(
            shown["id"],
            run,
            canceled=Outcome(canceled_status, *_CANCELED, members),
            terminated=call_terminated(kind),
            failed=Outcome.failure(*_INTERNAL, **{**members, "completionReason": reason}),
        )
    )
    return shown


def _no_clip(reason: RecordReason) -> dict[str, Any]:
    return {"completionReason": reason.value, "recordingLocation": ""}


@asynccontextmanager
async def _speaker(live: LiveCall) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Give what plays a key where the application speaks: beside its own audio if it hosts that."""
    if live.media is not None:
        yield live.media.play_key
        return
    leg = live.conversation.add_voice(live.member)
    voice = Voice(live.services.platform, leg)

    async def say(key: str) -> None:
        await voice.say([tone_pcm(key, TONE_MS)])

    try:
        yield say
    finally:
        voice.close()
        live.conversation.remove_voice(live.member, leg)
