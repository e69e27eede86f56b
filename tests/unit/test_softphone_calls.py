"""The softphone that calls a bot or joins a meeting, what it does there, and how it comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.rtc_client import SignallingError
from mixminus.control.softphone import (
    Action,
    BotTarget,
    MeetingTarget,
    Softphone,
    SoftphoneReport,
)
from mixminus.media.dtmf import ToneDetector
from mixminus.media.pcm import Pcm, level_dbov
from mixminus.media.pipeline import load_audio
from tests.fake_rtc import NOT_YET, FakeService, Log, fake_service, options
from tests.support import eventually

BOT = BotTarget("app")
FILES = {"heard_file": None, "played_file": None}


class Running:
    """A softphone in a call that lasts until the test ends it."""

    def __init__(self, service: FakeService, tmp_path: Path, **changes: Any) -> None:
        self.log = Log()
        given = {"target": BOT, "duration_s": None, **FILES, **changes}
        self.phone = Softphone(options(service, tmp_path, **given), self.log)
        self.task = asyncio.create_task(self.phone.run())

    async def until(self, *names: str) -> None:
        await eventually(lambda: set(names) <= set(self.log.names) or self.task.done(), 15.0)
        assert set(names) <= set(self.log.names), self.log.events

    async def stopped(self) -> SoftphoneReport:
        self.phone.stop()
        return await asyncio.wait_for(self.task, 15)


def is_loud(frame: Pcm) -> bool:
    return level_dbov(frame) > -30.0


async def test_it_calls_a_bot(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        target = BotTarget("the-app", policy_recording=True)
        phone = Softphone(options(service, tmp_path, target=target, duration_s=0.5), log)
        report = await phone.run()
        assert log.names == ["registered", "calling", "answered", "connected", "ended"]
        assert report.succeeded
        assert report.call_id == "c"
        assert service.kinds == ["call", "hangup"]
        assert service.received[0]["appId"] == "the-app"
        assert service.received[0]["policyRecording"] is True


async def test_a_bot_that_does_not_answer_is_a_failed_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.refusals["call"] = "unknownUser"
        report = await Softphone(options(service, tmp_path, target=BOT), Log()).run()
        assert report.end is not None
        assert (report.end.by, report.end.message) == ("lost", "no luck")
        assert not report.succeeded


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (MeetingTarget(join_meeting_id="12345", passcode="x"), ["joinMeetingId", "passcode"]),
        (MeetingTarget(join_url="https://x"), ["joinUrl"]),
        (MeetingTarget(thread_id="19:x"), ["threadId"]),
    ],
)
async def test_it_joins_a_meeting(tmp_path: Path, target: MeetingTarget, said: list[str]) -> None:
    async with fake_service() as service:
        log = Log()
        report = await Softphone(
            options(service, tmp_path, target=target, duration_s=0.2), log
        ).run()
        assert log.names == ["registered", "joined", "answered", "connected", "ended"]
        assert (report.call_id, report.participant_id, report.succeeded) == ("p", "p", True)
        assert sorted(service.received[0].keys() - {"type", "sdp"}) == sorted(said)


async def test_it_waits_in_the_lobby_and_says_nothing_there(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.in_lobby = True
        running = Running(service, tmp_path, target=MeetingTarget(thread_id="19:x"))
        await running.until("answered")
        await eventually(lambda: len(service.heard) > 20)
        assert running.log.of("joined")[0]["inLobby"] is True
        assert "connected" not in running.log.names
        assert not any(is_loud(frame) for frame in service.heard)
        await service.say("admitted", callId="p")
        await running.until("admitted", "connected")
        await eventually(lambda: is_loud(service.heard[-1]))
        assert (await running.stopped()).succeeded


async def test_who_is_not_let_in_has_failed(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.in_lobby = True
        running = Running(service, tmp_path, target=MeetingTarget(thread_id="19:x"))
        await running.until("answered")
        await service.say("ended", callId="p", code=403, subcode=5854, message="denied")
        report = await asyncio.wait_for(running.task, 15)
        assert report.end is not None
        assert (report.end.by, report.end.code, report.succeeded) == ("far end", 403, False)


async def test_stopping_while_it_waits_leaves_the_lobby(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.in_lobby = True
        running = Running(service, tmp_path, target=MeetingTarget(thread_id="19:x"))
        await running.until("answered")
        report = await running.stopped()
        assert service.kinds == ["join", "hangup"]
        assert report.connected_at is None


@pytest.mark.slow
async def test_actions_are_done_in_their_order(tmp_path: Path) -> None:
    actions = (
        Action(0.3, "start"),
        Action(0.0, "press", "1,#"),
        Action(0.3, "update"),
        Action(0.4, "stop"),
        Action(0.4, "hold"),
        Action(0.4, "resume"),
    )
    async with fake_service() as service:
        running = Running(service, tmp_path, actions=actions)
        await eventually(lambda: "resume" in service.kinds, 15.0)
        await running.stopped()
        done = [m for m in service.received if m["type"] not in ("call", "hangup")]
        assert [m.get("tone") or m.get("action") or m["type"] for m in done] == [
            *("1", "#", "start", "update", "stop", "hold", "resume")
        ]
        assert [event["tone"] for event in running.log.of("pressed")] == ["1", "#"]
        assert [event["held"] for event in running.log.of("held")] == [True, False]


async def test_who_is_muted_or_on_hold_sends_nothing(tmp_path: Path) -> None:
    tone = np.full(1600, 8000, np.int16) * np.tile([1, -1], 800).astype(np.int16)
    async with fake_service() as service:
        running = Running(service, tmp_path, play=tone, muted=True)
        await running.until("connected", "muted")
        await eventually(lambda: len(service.heard) > 20)
        assert not any(is_loud(frame) for frame in service.heard)
        await running.phone.perform("hold")
        await running.phone.perform("unmute")
        await running.phone.perform("resume")
        await eventually(lambda: is_loud(service.heard[-1]))
        await running.phone.perform("hold")
        await eventually(lambda: not is_loud(service.heard[-1]))
        await running.stopped()
        assert service.kinds == ["call", "mute", "hold", "unmute", "resume", "hold", "hangup"]


@pytest.mark.slow
async def test_keys_can_be_sounds(tmp_path: Path) -> None:
    async with fake_service() as service:
        played = tmp_path / "played.wav"
        actions = (Action(0.0, "pressInBand", "42,#"), Action(0.0, "press", "1"))
        running = Running(service, tmp_path, actions=actions, played_file=played)
        await eventually(lambda: len(running.log.of("pressed")) == 4, 15.0)
        await running.stopped()
        assert service.kinds == ["call", "tone", "hangup"]
        assert [key.key for key in ToneDetector().push(load_audio(played))] == ["4", "2", "#"]


async def test_sharing_ends_with_the_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path, actions=(Action(0.0, "start"),))
        await running.until("sharing")
        await running.stopped()
        assert service.kinds == ["call", "share", "share", "hangup"]
        assert service.received[2]["action"] == "stop"


async def test_a_key_that_no_keypad_has_is_refused(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path)
        with pytest.raises(RuntimeError, match="in none"):
            await running.phone.perform("press", "1")
        await running.until("connected")
        with pytest.raises(ValueError, match="got 'X'"):
            await running.phone.perform("press", "1x")
        await running.stopped()


async def test_what_the_service_says_during_a_call_is_told(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.say("tone", callId="c", tone="5")
        await service.say("muted", callId="c", muted=True, by="service")
        await service.say("moved", callId="c", participantId="q")
        await service.say("error", callId="c", of="share", code="notInCall", message="why")
        await service.say("tone", callId="another", tone="6")
        await service.say("somethingNew", callId="c")
        await running.until("tone", "muted", "moved", "refused")
        assert running.log.of("tone") == [{"callId": "c", "tone": "5"}]
        assert running.log.of("refused")[0]["of"] == "share"
        assert (await running.stopped()).succeeded


async def test_lost_signalling_comes_back_and_the_call_goes_on(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.sockets[-1].close(1011)
        await running.until("signallingLost", "reconnected")
        assert service.kinds == ["call", "reoffer"]
        assert service.received[1]["callId"] == "c"
        service.heard.clear()
        await eventually(lambda: any(is_loud(frame) for frame in service.heard))
        await running.phone.perform("press", "7")
        report = await running.stopped()
        assert service.kinds == ["call", "reoffer", "tone", "hangup"]
        assert (report.reconnects, report.succeeded) == (1, True)
        assert report.transport["frames_out"] > 10


@pytest.mark.slow
async def test_lost_media_are_made_anew(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.media_flow()
        await service.transports[-1].close()
        await running.until("reconnected")
        assert service.kinds == ["call", "reoffer"]
        assert (await running.stopped()).succeeded


@pytest.mark.slow
async def test_media_that_do_not_come_back_end_the_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.refusals["reoffer"] = "notInCall"
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.media_flow()
        await service.transports[-1].close()
        report = await asyncio.wait_for(running.task, 30)
        assert report.end is not None
        assert report.end.by == "lost"
        assert report.end.message.endswith("no luck")


async def test_a_refused_reoffer_leaves_the_media_that_flow(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.refusals["reoffer"] = "noMedia"
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.sockets[-1].close(1011)
        await running.until("refused")
        service.heard.clear()
        await eventually(lambda: any(is_loud(frame) for frame in service.heard))
        report = await running.stopped()
        assert (report.reconnects, report.succeeded) == (0, True)


async def test_a_service_that_stays_away_ends_the_run(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path, reconnect_s=0.5)
        await running.until("connected")
        service.takes_sockets = False
        await service.sockets[-1].close(1011)
        with pytest.raises(SignallingError, match="closed the signalling with code 1011; "):
            await asyncio.wait_for(running.task, 15)


async def test_a_service_that_refuses_what_was_said_is_not_asked_again(tmp_path: Path) -> None:
    async with fake_service() as service:
        running = Running(service, tmp_path)
        await running.until("connected")
        await service.sockets[-1].close(4429, "tooFast")
        with pytest.raises(SignallingError, match="code 4429 tooFast"):
            await asyncio.wait_for(running.task, 15)
        assert len(service.sockets) == 1


async def test_a_loss_before_the_answer_is_a_lost_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.refusals["call"] = NOT_YET
        running = Running(service, tmp_path)
        await eventually(lambda: service.kinds == ["call"], 15.0)
        await service.sockets[-1].close(1011)
        report = await asyncio.wait_for(running.task, 15)
        assert report.end is not None
        assert "before the call was answered" in report.end.message


async def test_ringing_survives_a_lost_connection(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.rings = 0
        running = Running(service, tmp_path, target=None)
        await running.until("registered")
        service.rings = 1
        await service.sockets[-1].close(1012)
        await running.until("signallingLost", "ringing", "connected")
        assert (await running.stopped()).succeeded
