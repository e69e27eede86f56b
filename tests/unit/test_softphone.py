"""The softphone that is rung, against a small signalling server with a real WebRTC far end."""

from __future__ import annotations

import asyncio
import json
import threading
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.rtc_client import SignallingError, SignInError
from mixminus.control.softphone import Softphone
from mixminus.media.pcm import Pcm
from tests.fake_rtc import Log, fake_service, options
from tests.support import eventually


def read_wav(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.mark.slow
async def test_it_answers_plays_records_and_hangs_up(tmp_path: Path) -> None:
    async with fake_service() as service:
        tasks = asyncio.all_tasks()
        log = Log()
        report = await Softphone(options(service, tmp_path), log).run()
        assert log.names == ["registered", "ringing", "answered", "connected", "ended"]
        assert report.succeeded
        assert report.end is not None
        assert (report.end.by, report.end.code, report.end.subcode) == ("here", 200, 4521)
        assert service.kinds == ["answer", "hangup"]
        for transport in service.transports:
            await transport.close()
        # The server's handler of that one connection may take a moment longer.
        await eventually(lambda: asyncio.all_tasks() <= tasks)
        assert not [t.name for t in threading.enumerate() if "decoder" in t.name]
    heard, played = read_wav(tmp_path / "heard.wav"), read_wav(tmp_path / "played.wav")
    assert abs(heard.size - played.size) <= 320
    given = options(service, tmp_path).play
    assert given is not None
    start = int(np.abs(played.astype(int)).argmax()) // 320 * 320
    loop_at = next(at for at in range(0, 641, 320) if np.array_equal(played[at : at + 8000], given))
    assert start >= loop_at
    # The echo is the input turned over, later: the best match of the two is negative.
    product = np.correlate(heard.astype(float), played[loop_at : loop_at + 8000].astype(float))
    assert -product.min() > 0.3 * float(np.square(given.astype(float)).sum())
    json_report = report.as_json()
    assert set(json_report["legs"]) == {"network", "application"}
    assert json_report["legs"]["network"]["voice"] > 50
    assert json_report["transport"]["frames_in"] > 50
    assert json_report["engine"]["ticks"] > 50
    assert len(json_report["latenessUs"]) > 50
    assert {at for at, _ in json_report["rssBytes"]} <= {1.0}
    assert json.dumps(json_report)


async def test_the_far_end_ending_the_call_ends_it(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        phone = Softphone(options(service, tmp_path, duration_s=None, play=None), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "connected" in log.names)
        await service.say("ended", callId="call-0", code=410, subcode=301005, message="lost media")
        report = await asyncio.wait_for(running, 10)
        assert report.end is not None
        assert (report.end.by, report.end.message) == ("far end", "lost media")
        assert not report.succeeded
        assert log.names[-1] == "ended"


async def test_stop_hangs_up(tmp_path: Path) -> None:
    async with fake_service() as service:
        log = Log()
        phone = Softphone(options(service, tmp_path, duration_s=None), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "connected" in log.names)
        phone.stop()
        assert (await asyncio.wait_for(running, 10)).succeeded
        assert service.kinds[-1] == "hangup"


async def test_stop_ends_the_waiting_for_a_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.rings = 0
        log = Log()
        phone = Softphone(options(service, tmp_path), log)
        running = asyncio.create_task(phone.run())
        await eventually(lambda: "registered" in log.names)
        phone.stop()
        report = await asyncio.wait_for(running, 10)
        assert not report.succeeded
        assert log.names == ["registered", "ended"]


@pytest.mark.parametrize(
    "losing",
    [("cancelled", {"reason": "answeredElsewhere"}), ("error", {"code": "notRinging"})],
)
async def test_a_ring_that_another_device_answers_is_waited_out(
    tmp_path: Path, losing: tuple[str, dict[str, Any]]
) -> None:
    async with fake_service() as service:
        service.rings, service.losing = 2, losing
        log = Log()
        report = await Softphone(options(service, tmp_path, duration_s=0.1), log).run()
        assert log.names.count("ringing") == 2
        assert log.names.count("cancelled") == 1
        assert report.call_id == "call-1"
        assert report.succeeded


async def test_a_refused_answer_is_a_failed_call(tmp_path: Path) -> None:
    async with fake_service() as service:
        service.refusals["answer"] = "badSdp"
        report = await Softphone(options(service, tmp_path), Log()).run()
        assert not report.succeeded
        assert report.end is not None
        assert report.end.message == "no luck"
        assert not (tmp_path / "heard.wav").exists()


async def test_a_bad_token_and_a_dead_service_are_clear_errors(tmp_path: Path) -> None:
    async with fake_service() as service:
        with pytest.raises(SignInError, match="this token is no user's"):
            await Softphone(options(service, tmp_path, token="other"), Log()).run()
        gone = options(service, tmp_path, rtc_url="wss://localhost:1/rtc")
        with pytest.raises(SignallingError, match="cannot connect to wss://localhost:1/rtc: "):
            await Softphone(gone, Log()).run()
