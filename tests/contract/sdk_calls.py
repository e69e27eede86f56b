"""The SDK's requests about a call itself, its handling and its media."""

from __future__ import annotations

import pytest
from msgraph_beta.generated.communications.calls.item.cancel_media_processing import (
    cancel_media_processing_post_request_body as cancel,
)
from msgraph_beta.generated.communications.calls.item.play_prompt import (
    play_prompt_post_request_body as play,
)
from msgraph_beta.generated.communications.calls.item.record_response import (
    record_response_post_request_body as record,
)
from msgraph_beta.generated.communications.calls.item.redirect import (
    redirect_post_request_body as redirect,
)
from msgraph_beta.generated.communications.calls.item.reject import (
    reject_post_request_body as reject,
)
from msgraph_beta.generated.communications.calls.item.send_dtmf_tones import (
    send_dtmf_tones_post_request_body as dtmf,
)
from msgraph_beta.generated.communications.calls.item.subscribe_to_tone import (
    subscribe_to_tone_post_request_body as tones,
)
from msgraph_beta.generated.communications.calls.item.transfer import (
    transfer_post_request_body as transfer,
)
from msgraph_beta.generated.communications.calls.item.update_recording_status import (
    update_recording_status_post_request_body as recording_status,
)
from msgraph_beta.generated.communications.calls.log_teleconference_device_quality import (
    log_teleconference_device_quality_post_request_body as device_quality,
)
from msgraph_beta.generated.models.call import Call
from msgraph_beta.generated.models.call_direction import CallDirection
from msgraph_beta.generated.models.call_state import CallState
from msgraph_beta.generated.models.cancel_media_processing_operation import (
    CancelMediaProcessingOperation,
)
from msgraph_beta.generated.models.identity import Identity
from msgraph_beta.generated.models.media_state import MediaState
from msgraph_beta.generated.models.modality import Modality
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_beta.generated.models.operation_status import OperationStatus
from msgraph_beta.generated.models.play_prompt_completion_reason import PlayPromptCompletionReason
from msgraph_beta.generated.models.play_prompt_operation import PlayPromptOperation
from msgraph_beta.generated.models.record_completion_reason import RecordCompletionReason
from msgraph_beta.generated.models.record_operation import RecordOperation
from msgraph_beta.generated.models.recording_status import RecordingStatus
from msgraph_beta.generated.models.reject_reason import RejectReason
from msgraph_beta.generated.models.send_dtmf_tones_operation import SendDtmfTonesOperation
from msgraph_beta.generated.models.service_hosted_media_config import ServiceHostedMediaConfig
from msgraph_beta.generated.models.subscribe_to_tone_operation import SubscribeToToneOperation
from msgraph_beta.generated.models.teleconference_device_audio_quality import (
    TeleconferenceDeviceAudioQuality,
)
from msgraph_beta.generated.models.teleconference_device_quality import (
    TeleconferenceDeviceQuality,
)
from msgraph_beta.generated.models.tone import Tone
from msgraph_beta.generated.models.update_recording_status_operation import (
    UpdateRecordingStatusOperation,
)

from tests.contract.sdk_world import ALICE, CALL, CONTEXT, Drivers, Made, World, user

drives = Drivers()


@drives("POST /communications/calls")
async def create(world: World) -> None:
    """All twelve scenarios are test_the_sdk_creates_the_call_of."""
    async with world.stage.person("John"):
        created = await world.client.communications.calls.post(
            Call(
                callback_uri=world.stage.receiver.url,
                targets=[user("112f7296-5fa4-42ca-bae8-6a692b15d4b8", "John")],
                requested_modalities=[Modality.Audio],
                media_config=ServiceHostedMediaConfig(),
                ringing_timeout_in_seconds=30,
                subject="By hand",
            )
        )
        assert created is not None
        assert created.id is not None
        assert created.state is CallState.Establishing
        assert (created.subject, created.ringing_timeout_in_seconds) == ("By hand", 30)
        await world.stage.told(created.id, "updated call established")
        await world.stage.hang_up(created.id)


@drives(f"GET {CALL}", f"DELETE {CALL}")
async def get_and_delete(world: World) -> None:
    async with world.peer() as made:
        shown = await made.call.get()
        assert shown is not None
        assert (shown.state, shown.direction) == (CallState.Established, CallDirection.Outgoing)
        assert shown.active_modalities == [Modality.Audio]
        assert shown.media_state is not None
        assert shown.media_state.audio is MediaState.Active
        assert shown.answered_by is not None
        assert shown.answered_by.identity is not None
        assert isinstance(shown.answered_by.identity.user, Identity)
        assert isinstance(shown.media_config, ServiceHostedMediaConfig)
        assert shown.call_chain_id == made.chain_id
        await made.call.delete()
        await made.told("updated call terminating", "deleted call terminated")
        with pytest.raises(ODataError) as caught:
            await made.call.get()
        assert caught.value.response_status_code == 404
        error = caught.value.error
        assert error is not None
        assert error.code == "8522"
        assert error.inner_error is not None
        assert error.inner_error.request_id


@drives(f"POST {CALL}/keepAlive")
async def keep_alive(world: World) -> None:
    async with world.peer() as made:
        assert await made.call.keep_alive.post() is None


@drives(f"POST {CALL}/answer")
async def answer(world: World) -> None:
    async with world.answered() as made:
        shown = await made.call.get()
        assert shown is not None
        assert (shown.state, shown.direction) == (CallState.Established, CallDirection.Incoming)
        assert shown.incoming_context is not None
        assert shown.incoming_context.source_participant_id
        assert await made.john.told("answered")


@drives(f"POST {CALL}/reject")
async def rejected(world: World) -> None:
    async with world.incoming() as made:
        await made.call.reject.post(reject.RejectPostRequestBody(reason=RejectReason.Busy))
        await made.told("deleted call terminated")
        assert await made.john.told("ended")


@drives(f"POST {CALL}/redirect")
async def redirected(world: World) -> None:
    async with world.incoming() as made, world.stage.person("Alice") as alice:
        await made.call.redirect.post(
            redirect.RedirectPostRequestBody(
                targets=[user(ALICE, "Alice")],
                timeout=30,
                callback_uri=world.stage.receiver.url,
                mask_callee=False,
                mask_caller=False,
            )
        )
        await alice.told("answered")
        await made.john.told("answered")
        await made.told("deleted call terminated")
        last = world.stage.notifications(made.id)[-1]["resourceData"]
        assert last["answeredBy"]["identity"]["user"]["id"] == ALICE


@drives(f"POST {CALL}/transfer")
async def transferred(world: World) -> None:
    async with world.peer() as made, world.stage.person("Alice") as alice:
        body = transfer.TransferPostRequestBody(transfer_target=user(ALICE, "Alice"))
        await made.call.transfer.post(body)
        await alice.told("answered")
        await made.told("updated call transferring", "updated call transferAccepted")
        await made.told("deleted call terminated")
        last = world.stage.notifications(made.id)[-1]["resourceData"]
        assert last["resultInfo"]["subcode"] == 7015


async def finished(made: Made, operation: PlayPromptOperation | RecordOperation | None) -> str:
    """Check that an operation runs, and return its id."""
    assert operation is not None
    assert operation.status is OperationStatus.Running
    assert operation.client_context == CONTEXT
    assert operation.id is not None
    return str(operation.id)


@drives(f"POST {CALL}/playPrompt")
async def play_prompt(world: World) -> None:
    async with world.peer() as made:
        operation = await made.call.play_prompt.post(
            play.PlayPromptPostRequestBody(
                prompts=[world.prompt()], loop=False, client_context=CONTEXT
            )
        )
        assert isinstance(operation, PlayPromptOperation)
        operation_id = await finished(made, operation)
        await made.told("deleted playPromptOperation")
        done = await made.call.operations.by_comms_operation_id(operation_id).get()
        assert isinstance(done, PlayPromptOperation)
        assert done.status is OperationStatus.Completed
        assert done.completion_reason is PlayPromptCompletionReason.CompletedSuccessfully


@drives(f"POST {CALL}/recordResponse")
async def record_response(world: World) -> None:
    async with world.peer() as made:
        operation = await made.call.record_response.post(
            record.RecordResponsePostRequestBody(
                prompts=[world.prompt()],
                barge_in_allowed=True,
                initial_silence_timeout_in_seconds=60,
                max_silence_timeout_in_seconds=5,
                max_record_duration_in_seconds=30,
                play_beep=False,
                stop_tones=["#", "1", "*"],
                client_context=CONTEXT,
            )
        )
        assert isinstance(operation, RecordOperation)
        operation_id = await finished(made, operation)
        await made.call.cancel_media_processing.post(
            cancel.CancelMediaProcessingPostRequestBody(client_context=CONTEXT)
        )
        await made.told("deleted recordOperation")
        done = await made.call.operations.by_comms_operation_id(operation_id).get()
        assert isinstance(done, RecordOperation)
        assert done.status is OperationStatus.Failed
        assert done.completion_reason is RecordCompletionReason.OperationCanceled
        assert done.result_info is not None
        assert (done.result_info.code, done.result_info.subcode) == (400, 8508)


@drives(f"POST {CALL}/cancelMediaProcessing")
async def cancel_media_processing(world: World) -> None:
    async with world.peer() as made:
        await made.call.play_prompt.post(
            play.PlayPromptPostRequestBody(prompts=[world.prompt()], loop=True)
        )
        operation = await made.call.cancel_media_processing.post(
            cancel.CancelMediaProcessingPostRequestBody(client_context=CONTEXT)
        )
        assert isinstance(operation, CancelMediaProcessingOperation)
        assert operation.status is OperationStatus.Completed
        assert operation.client_context == CONTEXT
        await made.told("deleted playPromptOperation")


@drives(f"POST {CALL}/subscribeToTone")
async def subscribe_to_tone(world: World) -> None:
    async with world.peer() as made:
        operation = await made.call.subscribe_to_tone.post(
            tones.SubscribeToTonePostRequestBody(client_context=CONTEXT)
        )
        assert isinstance(operation, SubscribeToToneOperation)
        assert operation.status is OperationStatus.Completed
        ring = await made.john.told("ring")
        await made.john.phone.send(type="tone", callId=ring["callId"], tone="7")
        await made.told("updated call established+toneInfo")
        tone = world.stage.notifications(made.id)[-1]["resourceData"]["toneInfo"]
        assert (tone["tone"], tone["sequenceId"]) == ("tone7", 1)


@drives(f"POST {CALL}/sendDtmfTones")
async def send_dtmf_tones(world: World) -> None:
    async with world.peer() as made:
        operation = await made.call.send_dtmf_tones.post(
            dtmf.SendDtmfTonesPostRequestBody(
                tones=[Tone.Tone1, Tone.Star], delay_between_tones_ms=100, client_context=CONTEXT
            )
        )
        assert isinstance(operation, SendDtmfTonesOperation)
        assert operation.status is OperationStatus.Running
        assert operation.client_context == CONTEXT
        await made.told("deleted sendDtmfTonesOperation")
        await made.john.told("tone")


@drives(f"POST {CALL}/updateRecordingStatus")
async def update_recording_status(world: World) -> None:
    async with world.answered(policyRecording=True) as made:
        operation = await made.call.update_recording_status.post(
            recording_status.UpdateRecordingStatusPostRequestBody(
                status=RecordingStatus.Recording, client_context=CONTEXT
            )
        )
        assert isinstance(operation, UpdateRecordingStatusOperation)
        assert operation.status is OperationStatus.Completed
        assert operation.client_context == CONTEXT


@drives(
    f"GET {CALL}/operations",
    f"GET {CALL}/operations/$count",
    f"GET {CALL}/operations/{{commsOperation-id}}",
)
async def operations(world: World) -> None:
    async with world.peer() as made:
        await made.call.play_prompt.post(play.PlayPromptPostRequestBody(prompts=[world.prompt()]))
        await made.told("deleted playPromptOperation")
        page = await made.call.operations.get()
        assert page is not None
        assert page.value is not None
        (operation,) = page.value
        assert isinstance(operation, PlayPromptOperation)
        assert operation.id is not None
        one = await made.call.operations.by_comms_operation_id(operation.id).get()
        assert one is not None
        assert (one.id, one.status) == (operation.id, OperationStatus.Completed)
        assert await made.call.operations.count.get() == 1


@drives("POST /communications/calls/logTeleconferenceDeviceQuality")
async def log_device_quality(world: World) -> None:
    quality = TeleconferenceDeviceQuality(
        call_chain_id="5f1c2bd4-2b6b-4f0c-9e8a-3a1b1d6a7c11",
        participant_id="2e2a0c3c-5d2f-4b43-8e25-6b7d2f6f0d22",
        media_leg_id="7b8d9e10-1f2a-4c3b-9d4e-5f6a7b8c9d33",
        device_name="MFT4",
        cloud_service_name="Gateway",
        media_quality_list=[TeleconferenceDeviceAudioQuality(channel_index=1)],
    )
    calls = world.client.communications.calls
    assert (
        await calls.log_teleconference_device_quality.post(
            device_quality.LogTeleconferenceDeviceQualityPostRequestBody(quality=quality)
        )
        is None
    )
