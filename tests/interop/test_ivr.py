"""Service-hosted media over real HTTPS: what is fetched is heard, what is said is recorded."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mixminus.control.service.phones import DEFAULT_NUMBER, PhoneScript
from mixminus.control.service.settings import APP_INSTANCE_ID
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.dtmf import ToneDetector, tone_pcm
from mixminus.media.pcm import Pcm
from tests.ivr_kit import SERVICE_HOSTED, Ivr, ivr
from tests.service_kit import call_body
from tests.signals import sine
from tests.support import ROOT, eventually
from tests.unit.test_prompts import wav

HELLO = sine(440, 16_000, 0.4)
BYE = sine(880, 16_000, 0.3)


def speech() -> Pcm:
    with wave.open(str(ROOT / "tests/data/speech.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def serve_prompts(call: Ivr) -> None:
    call.site.answers["/hello.wav"] = (200, {"content-type": "audio/wav"}, wav(HELLO))
    call.site.answers["/bye.wav"] = (302, {"location": "/bye2.wav"}, b"")
    call.site.answers["/bye2.wav"] = (200, {}, wav(BYE))
    call.site.answers["/text.wav"] = (200, {}, b"<html>")


async def test_prompts_are_heard_and_their_end_is_told(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        await call.call()
        shown = await call.post(
            "playPrompt",
            clientContext="mine",
            prompts=[call.prompt("/hello.wav", "1"), call.prompt("/bye.wav", "2")],
        )
        assert shown["status"] == "running"
        assert shown["clientContext"] == "mine"
        assert shown["completionReason"] is None
        end = await call.ended(shown)
        assert call.said_within(np.concatenate([HELLO, BYE]))
        assert end["@odata.type"] == "#microsoft.graph.playPromptOperation"
        assert end["status"] == "completed"
        assert end["completionReason"] == "completedSuccessfully"
        assert end["clientContext"] == "mine"
        info = end["resultInfo"]
        assert (info["code"], info["subcode"]) == (200, 0)
        assert info["message"] == "Action completed successfully."
        url = f"/v1.0/communications/calls/{call.call_id}/operations"
        listed = (await call.graph.http.get(url)).json()["value"]
        assert [each["id"] for each in listed] == [shown["id"]]
        one = (await call.graph.http.get(f"{url}/{shown['id']}")).json()
        assert one["status"] == "completed"
        assert one["completionReason"] == "completedSuccessfully"


@pytest.mark.slow
async def test_media_of_the_set_up_is_fetched_then_and_not_again(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        config = {
            "@odata.type": "#microsoft.graph.serviceHostedMediaConfig",
            "preFetchMedia": [call.prompt("/hello.wav", "1")["mediaInfo"]],
        }
        await call.call(mediaConfig=config)
        await eventually(lambda: [path for _, path, _ in call.site.asked] == ["/hello.wav"])
        await call.ended(await call.post("playPrompt", prompts=[call.prompt("/hello.wav", "1")]))
        assert len(call.site.asked) == 1
        await call.ended(await call.post("playPrompt", prompts=[call.prompt("/hello.wav", "2")]))
        assert len(call.site.asked) == 2
        await call.ended(await call.post("playPrompt", prompts=[call.prompt("/hello.wav")]))
        assert len(call.site.asked) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("path", "subcode"), [("/text.wav", 8535), ("/none.wav", 8536)])
async def test_a_prompt_that_cannot_be_played_fails(
    tmp_path: Path, path: str, subcode: int
) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        await call.call()
        end = await call.ended(await call.post("playPrompt", prompts=[call.prompt(path)]))
        assert end["status"] == "failed"
        assert (end["resultInfo"]["code"], end["resultInfo"]["subcode"]) == (400, subcode)
        body = {"prompts": [call.prompt(path)], "playBeep": False}
        end = await call.ended(await call.post("recordResponse", **body))
        assert end["status"] == "failed"
        assert end["completionReason"] == "playPromptFailed"
        assert end["resultInfo"]["subcode"] == subcode
        assert end["recordingLocation"] == ""


async def test_operations_run_in_order_and_cancel_tells_of_each(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        await call.call()
        hello = [call.prompt("/hello.wav", "1")]
        first = await call.post("playPrompt", prompts=hello)
        second = await call.post("playPrompt", prompts=hello, loop=True)
        third = await call.post("recordResponse", prompts=[])
        fourth = await call.post("sendDtmfTones", tones=["tone1"], delayBetweenTonesMs=1000)
        await call.ended(first)
        await call.until(lambda: len(call.heard) > 100)
        assert len(call.ends()) == 1
        cancelled = await call.post("cancelMediaProcessing", clientContext="stop")
        assert cancelled["@odata.type"] == "#microsoft.graph.cancelMediaProcessingOperation"
        assert cancelled["status"] == "completed"
        await call.until(lambda: len(call.ends()) == 4)
        assert [end["id"] for end in call.ends()] == [
            operation["id"] for operation in (first, second, third, fourth)
        ]
        _, play, record, tones = call.ends()
        assert (play["status"], play["completionReason"]) == ("failed", "mediaOperationCanceled")
        assert (record["status"], record["completionReason"]) == ("failed", "operationCanceled")
        assert record["recordingLocation"] == ""
        assert (tones["status"], tones["completionReason"]) == (
            "completed",
            "mediaOperationCanceled",
        )
        for end in (play, record, tones):
            assert (end["resultInfo"]["code"], end["resultInfo"]["subcode"]) == (400, 8508)
        call.heard.clear()
        await call.tick(20)
        assert not any(frame.any() for frame in call.heard[2:])


async def test_barge_in_goes_before_all_that_waits(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        await call.call()
        prompts = [call.prompt("/hello.wav", "1")]
        playing = await call.post("playPrompt", prompts=prompts, loop=True)
        waiting = await call.post("playPrompt", prompts=prompts)
        body = {"bargeInAllowed": True, "initialSilenceTimeoutInSeconds": 1}
        record = await call.post("recordResponse", **body)
        end = await call.ended(record)
        assert end["completionReason"] == "initialSilenceTimeout"
        assert [each["id"] for each in call.ends()] == [
            playing["id"],
            waiting["id"],
            record["id"],
        ]
        assert [each["completionReason"] for each in call.ends()[:2]] == [
            "mediaOperationCanceled"
        ] * 2


async def fetched(call: Ivr, end: dict[str, object]) -> bytes:
    headers = {"Authorization": f"Bearer {end['recordingAccessToken']}"}
    reply = await call.graph.http.get(str(end["recordingLocation"]), headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/octet-stream"
    return reply.content


async def test_a_response_is_recorded_from_the_beep_to_the_stop_tone(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        serve_prompts(call)
        await call.call()
        shown = await call.post(
            "recordResponse",
            clientContext="mine",
            prompts=[call.prompt("/hello.wav", "1")],
            stopTones=["#", "1"],
            maxRecordDurationInSeconds=60,
        )
        assert shown["status"] == "running"
        for name in ("completionReason", "recordingLocation", "recordingAccessToken"):
            assert shown[name] is None
        media = call.service.book._living[call.call_id].media
        assert media is not None
        # After the prompt and the beep; what is said before is no part of it.
        await call.until(lambda: media._recorder is not None, "the recording")
        said = speech()[: 3 * 16_000]
        silence = np.zeros(1600, np.int16)
        call.voice.start([said, silence, tone_pcm("1", 120), silence])
        end = await call.ended(shown)
        assert call.said_within(HELLO)
        assert end["status"] == "completed"
        assert end["completionReason"] == "stopToneDetected"
        assert (end["resultInfo"]["code"], end["resultInfo"]["subcode"]) == (200, 8514)
        clip = await fetched(call, end)
        (tmp_path / "clip.wav").write_bytes(clip)
        with wave.open(str(tmp_path / "clip.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        # Sample for sample, but where the playout gave a quiet frame of delay back.
        pieces = said.reshape(-1, 3200)
        kept = sum(piece.tobytes() in pcm.tobytes() for piece in pieces)
        assert kept >= len(pieces) - 2
        assert ToneDetector().push(pcm) == ()
        reply = await call.graph.http.get(end["recordingLocation"])
        assert reply.status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "status", "limits"),
    [
        ("maxRecordDurationReached", "completed", {"maxRecordDurationInSeconds": 2}),
        (
            "maxSilenceTimeout",
            "completed",
            {"maxSilenceTimeoutInSeconds": 2, "maxRecordDurationInSeconds": 60},
        ),
        ("initialSilenceTimeout", "failed", {"initialSilenceTimeoutInSeconds": 1}),
        ("mediaReceiveTimeout", "failed", {"initialSilenceTimeoutInSeconds": 60}),
    ],
)
async def test_a_recording_ends_for_each_reason(
    tmp_path: Path, reason: str, status: str, limits: dict[str, int]
) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        body = {"maxRecordDurationInSeconds": 120, "playBeep": False, **limits}
        shown = await call.post("recordResponse", **body)
        if status == "completed":
            call.voice.start([speech()])
        if reason == "mediaReceiveTimeout":
            call.voice.close()
        end = await call.ended(shown)
        assert (end["status"], end["completionReason"]) == (status, reason)
        if status == "completed":
            assert len(await fetched(call, end)) > 44 + 16_000
        else:
            assert end["recordingLocation"] == ""
            assert end["recordingAccessToken"] is None


async def test_the_caller_who_hangs_up_ends_the_recording_before_the_call(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        shown = await call.post("recordResponse", initialSilenceTimeoutInSeconds=120)
        waiting = await call.post("recordResponse")
        await call.tick(50)
        await call.phone.send(type="hangup", callId=call.call_id)
        await eventually(lambda: call.told(lambda data: data.get("state") == "terminated"))
        assert [end["id"] for end in call.ends()] == [shown["id"], waiting["id"]]
        for end in call.ends():
            assert (end["status"], end["completionReason"]) == ("failed", "operationCanceled")
            assert end["resultInfo"]["subcode"] == 8528
        everything = call.told(lambda data: True)
        assert everything[-1].get("state") == "terminated"


@pytest.mark.slow
async def test_recordings_outlive_their_call_for_a_while(tmp_path: Path) -> None:
    async with ivr(tmp_path, recordings_kept_s=0.3) as call:
        await call.call()
        call.voice.start([speech()])
        end = await call.ended(await call.post("recordResponse", maxRecordDurationInSeconds=1))
        await call.phone.send(type="hangup", callId=call.call_id)
        await eventually(lambda: call.told(lambda data: data.get("state") == "terminated"))

        async def is_gone() -> bool:
            headers = {"Authorization": f"Bearer {end['recordingAccessToken']}"}
            reply = await call.graph.http.get(end["recordingLocation"], headers=headers)
            assert reply.status_code in (200, 404)
            return reply.status_code == 404

        await eventually(is_gone)


async def test_keys_are_told_once_subscribed_in_their_order(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        await call.phone.send(type="tone", callId=call.call_id, tone="9")
        silence = np.zeros(1600, np.int16)
        done = call.voice.start([tone_pcm("8", 100), silence])
        await call.until(done.done)
        shown = await call.post("subscribeToTone", clientContext="t")
        assert shown["@odata.type"] == "#microsoft.graph.subscribeToToneOperation"
        assert shown["status"] == "completed"
        await call.phone.send(type="tone", callId=call.call_id, tone="5")
        await call.until(lambda: call.tones() == [(1, "tone5")])
        call.voice.start([tone_pcm("*", 100), silence, tone_pcm("D", 100), silence])
        await call.until(lambda: call.tones() == [(1, "tone5"), (2, "star"), (3, "d")])
        (told,) = call.told(lambda data: (data.get("toneInfo") or {}).get("tone") == "tone5")
        assert told["@odata.type"] == "#microsoft.graph.call"
        assert told["state"] == "established"
        assert told["toneInfo"]["@odata.type"] == "#microsoft.graph.toneInfo"
        await call.post("cancelMediaProcessing")
        await call.phone.send(type="tone", callId=call.call_id, tone="#")
        await call.until(lambda: call.tones()[-1] == (4, "pound"))
        assert not call.ends()


async def test_tones_that_are_sent_sound_in_the_call_and_reach_the_device(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        await call.call()
        shown = await call.post(
            "microsoft.graph.sendDtmfTones", tones=["tone4", "flash", "pound"], clientContext="d"
        )
        assert shown["status"] == "running"
        end = await call.ended(shown)
        assert end["@odata.type"] == "#microsoft.graph.sendDtmfTonesOperation"
        assert (end["status"], end["completionReason"]) == ("completed", "completedSuccessfully")
        found = ToneDetector().push(call.heard_pcm)
        assert "".join(each.key for each in found) == "4#"
        for key in "4#":
            assert (await call.phone.expect("tone"))["tone"] == key


async def test_tones_of_an_application_that_hosts_its_media_are_heard_beside_it(
    tmp_path: Path,
) -> None:
    async with ivr(tmp_path) as call:
        blob = MediaSessionDescriptor.new("wss://localhost:1/media").to_blob()
        await call.call(
            mediaConfig={"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob}
        )
        end = await call.ended(await call.post("sendDtmfTones", tones=["star", "tone0"]))
        assert end["completionReason"] == "completedSuccessfully"
        assert "".join(each.key for each in ToneDetector().push(call.heard_pcm)) == "*0"
        assert await call.refused("playPrompt", prompts=[call.prompt("/a.wav")]) == (400, "8500")
        assert await call.refused("recordResponse") == (400, "8500")
        assert await call.refused("subscribeToTone") == (400, "8500")


async def test_nothing_is_played_before_the_call_stands_and_after_it_ends(tmp_path: Path) -> None:
    async with ivr(tmp_path) as call:
        body = call_body(call.receiver.url, mediaConfig=SERVICE_HOSTED)
        call.call_id = await call.graph.created(body)
        prompts = [call.prompt("/hello.wav")]
        actions: dict[str, dict[str, object]] = {
            "playPrompt": {"prompts": prompts},
            "recordResponse": {},
            "sendDtmfTones": {"tones": ["tone1"]},
            "subscribeToTone": {},
            "cancelMediaProcessing": {},
        }
        for action, members in actions.items():
            assert await call.refused(action, **members) == (400, "8501")
        await call.graph.http.delete(f"/v1.0/communications/calls/{call.call_id}")
        await eventually(lambda: call.told(lambda data: data.get("state") == "terminated"))
        for action, members in actions.items():
            assert await call.refused(action, **members) == (404, "8522")
        assert call.ends() == []


async def test_a_scripted_telephone_speaks_and_presses_keys(tmp_path: Path) -> None:
    said = np.tile(speech(), 3)
    (tmp_path / "hello.wav").write_bytes(wav(said))
    script = PhoneScript(
        number=DEFAULT_NUMBER, answer_after_s=0.0, file=tmp_path / "hello.wav", tones="#"
    )
    async with ivr(tmp_path / "state", phones=(script,)) as call:
        instance = {"id": APP_INSTANCE_ID, "displayName": "IVR"}
        call.call_id = await call.graph.created(
            call_body(
                call.receiver.url,
                mediaConfig=SERVICE_HOSTED,
                source={"identity": {"applicationInstance": instance}},
                targets=[{"identity": {"phone": {"id": DEFAULT_NUMBER}}}],
            )
        )

        def has_audio() -> bool:
            # As few ticks as can be: the telephone speaks from the first on.
            call.platform.tick()
            return bool(call.told(lambda data: data.get("mediaState")))

        await eventually(has_audio)
        shown = await call.post(
            "recordResponse", stopTones=["#"], maxRecordDurationInSeconds=120, playBeep=False
        )
        end = await call.ended(shown)
        assert end["completionReason"] == "stopToneDetected"
        (tmp_path / "clip.wav").write_bytes(await fetched(call, end))
        with wave.open(str(tmp_path / "clip.wav")) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        last = pcm[: np.flatnonzero(pcm)[-1] + 1][-16_000:]
        np.testing.assert_array_equal(last, said[: np.flatnonzero(said)[-1] + 1][-16_000:])
