"""A captured call said again to the same bot: the same result, sooner, and without its secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixminus.control.cli import run as run_command
from mixminus.control.client.calls import CallsClient
from mixminus.control.client.requests import GraphClient, GraphRequestError, GraphResponse
from mixminus.control.graph.notifications import Notification, parse_envelope
from mixminus.control.host import Bot, BotHost, HostedCall, ToneInfo
from mixminus.control.host.bot import load_bot
from mixminus.control.host.calls import Addresses, HostCalls
from mixminus.control.host.plugins import HostPlugins
from mixminus.control.host.recording import GatePolicy, HostRecordings
from mixminus.control.replay.capture import HostCaptures
from mixminus.control.replay.redact import REDACTED
from mixminus.control.replay.run import replay
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.plugins.worker import PluginWorker
from mixminus.media.recorder import RecordingStore, recover
from mixminus.media.replay import (
    CAPTURE_NAME,
    Kind,
    TickRecord,
    VirtualLoop,
    VirtualPlatform,
    read_capture,
)
from tests.host_kit import TENANT
from tests.session_kit import FakeTransport

CALL_ID = "0000-0001"
CANARIES = {
    "client secret": "canary-client-secret-1",
    "access token": "eyJhbGciOiJSUzI1NiJ9.canaryTokenPayload2.canarySignature",
    "passcode": "canary-passcode-3",
    "recording token": "canary-recording-token-4",
    "signature": "canary-sas-signature-5",
    "join url": "canary-join-url-6",
    "bearer": "canary-bearer-7",
    "prompt": "canaryprompt8",
    "basic": "canary-basic-9",
    "s3": "canary-s3-10",
    "access key": "canary-accesskey-11",
}


class FakeGraph(GraphClient):
    """A service that takes all that is asked, and leaks what it should not."""

    def __init__(self) -> None:
        self._root = "https://graph.test"

    async def request(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> GraphResponse:
        if path.endswith("/calls"):
            blob = body["mediaConfig"]["blob"]
            config = {"@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob}
            made = {"id": CALL_ID, "state": "establishing", "tenantId": TENANT}
            return GraphResponse(201, {**made, "mediaConfig": config}, {})
        if path.endswith("/participants"):
            return GraphResponse(200, {"value": []}, {})
        if path.endswith("/mute"):
            raise GraphRequestError(403, "forbidden", f"no: {CANARIES['access token']}")
        operation = {"id": "op1", "status": "completed", "clientContext": CANARIES["client secret"]}
        return GraphResponse(200, operation, {})

    async def close(self) -> None: ...


class _Plugins(HostPlugins):
    """Plugins whose worker is the tick's own thread."""

    def __init__(self, platform: VirtualPlatform) -> None:
        super().__init__(platform, worker=PluginWorker(platform, is_threaded=False))
        platform.between = self.worker.work


class CapturedWorld:
    """A host whose calls are captured, in ticks that the test makes."""

    def __init__(
        self, path: Path, bot: Bot, policy: GatePolicy = "policy", *, has_plugins: bool = False
    ) -> None:
        self.platform = VirtualPlatform()
        self.store = RecordingStore(path)
        self.calls = HostCalls(
            platform=self.platform,
            client=CallsClient(FakeGraph()),
            bot=bot,
            users={},
            addresses=lambda: Addresses("app", TENANT, "https://h/api/calls", "wss://h/media"),
            recordings=HostRecordings(self.store, self.platform, policy=policy),
            plugins=_Plugins(self.platform) if has_plugins else None,
            captures=HostCaptures(
                self.store, self.platform, bot=bot.name, secrets=[CANARIES["client secret"]]
            ),
        )

    async def tell(self, **data: Any) -> None:
        entry = {
            "changeType": "updated",
            "resourceUrl": f"/communications/calls/{CALL_ID}",
            "resourceData": {"id": CALL_ID, **data},
        }
        self.calls.deliver(parse_envelope({"value": [entry]})[0], TENANT)
        # The handlers have their time before the next tick.
        await asyncio.sleep(0.005)

    async def tell_roster(self, *names: str) -> None:
        people = [
            {
                "id": f"p{number}",
                "info": {"identity": {"user": {"id": f"u{number}", "displayName": name}}},
                "mediaStreams": [{"mediaType": "audio", "sourceId": str(number)}],
            }
            for number, name in enumerate(names, 5)
        ]
        path = (CALL_ID, "participants")
        self.calls.deliver(Notification("updated", path, people), TENANT)
        await asyncio.sleep(0.005)

    async def run(self, call: HostedCall, ticks: int, speech: Callable[[int], int]) -> None:
        """So many ticks, in which speaker 5 says a number a frame."""
        assert call.session is not None
        for _ in range(ticks):
            value = speech(self.platform.now() // 200_000)
            pcm = np.full(FRAME_SAMPLES, value, np.int16)
            call.session.open_speaker(5).source.write(pcm, self.platform.now())
            call.session.legs.link.source.write(pcm, self.platform.now())
            self.platform.tick()
            await asyncio.sleep(0.02)

    def capture(self) -> Path:
        (directory,) = self.store.entries()
        return directory / CAPTURE_NAME


def busy_bot() -> Bot:
    """Makes a call, says what it hears at half its loudness, and asks for this and that."""
    bot = Bot("busy")
    random = np.random.default_rng(1)

    @bot.on_start
    async def start(host: BotHost) -> None:
        await asyncio.sleep(60)
        call = await host.calls.create(user="John")
        await call.wait_established()

    @bot.on_call
    async def talk(call: HostedCall) -> None:
        async for frame in call.audio:
            said = (frame // 2).astype(np.int16)
            if said.any():
                said[:3] = random.integers(1, 99, 3)
            await call.audio.send(said)

    @bot.on_participants
    async def look(call: HostedCall) -> None:
        await call.fetch_participants()
        try:
            await call.mute()
        except GraphRequestError:
            await call.audio.send(np.full(FRAME_SAMPLES, 777, np.int16))

    @bot.on_tone
    async def press(call: HostedCall, tone: ToneInfo) -> None:
        assert tone.key is not None
        await call.audio.send(np.full(FRAME_SAMPLES, 1000 + ord(tone.key), np.int16))

    return bot


def speech(number: int) -> int:
    return 0 if number % 80 < 20 else 2000 + 10 * (number % 300)


async def captured_call(
    world: CapturedWorld,
    ticks: int,
    before: Callable[[HostedCall], Awaitable[None]] | None,
) -> None:
    """One call of a bot from its creation to the far end's hang-up; *before* anybody speaks."""
    start = asyncio.create_task(world.calls.create(user="John"))
    call = await start
    assert call.session is not None
    await world.tell(state="established", mediaState={"audio": "active"})
    call.session.attach(FakeTransport(["speakers", "tones"]))
    await asyncio.sleep(0.02)
    if before is not None:
        await before(call)
    await world.run(call, ticks // 3, speech)
    await world.tell_roster("Ann", CANARIES["join url"].replace("canary", "Bob"))
    await world.run(call, ticks // 3, speech)
    await world.tell(
        state="established",
        toneInfo={"tone": "tone5", "sequenceId": 1},
        joinWebUrl=f"https://teams.test/{CANARIES['join url']}",
        meetingInfo={"passcode": CANARIES["passcode"], "organizer": None},
        recordingAccessToken=CANARIES["recording token"],
        note=f"Authorization: Bearer {CANARIES['bearer']}",
        uri=f"https://blob.test/clip.wav?sv=1&sig={CANARIES['signature']}",
        more=f"Basic {CANARIES['basic']} https://s3.test/x?a=1&X-Amz-Signature={CANARIES['s3']}",
        connectionString=f"endpoint=https://h/;accesskey={CANARIES['access key']}",
        prompt=f"https://h/prompts/{CANARIES['prompt']}.wav",
    )
    await world.run(call, ticks // 3, speech)
    await world.tell(state="terminated", resultInfo={"code": 200, "subcode": 0, "message": "bye"})
    await call.wait_closed()
    await world.calls.close()


def made_capture(
    path: Path,
    bot: Bot | None = None,
    policy: GatePolicy = "policy",
    *,
    ticks: int = 150,
    has_plugins: bool = False,
    before: Callable[[HostedCall], Awaitable[None]] | None = None,
) -> CapturedWorld:
    """One call, captured; in virtual time too, so that a busy machine makes no difference.

    A bot's own on_start makes the call in the replay; here the test does.
    """

    async def run() -> CapturedWorld:
        world = CapturedWorld(path, bot or busy_bot(), policy, has_plugins=has_plugins)
        await captured_call(world, ticks, before)
        return world

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def test_the_same_bot_says_the_same_again_and_sooner(tmp_path: Path) -> None:
    world = made_capture(tmp_path)
    assert stat.S_IMODE(world.capture().stat().st_mode) == 0o600
    assert stat.S_IMODE(world.capture().parent.stat().st_mode) == 0o700
    first = replay(world.capture(), busy_bot())
    assert first.bot_error is None
    assert {(asked.method, asked.was_answered) for asked in first.asked} == {
        ("GET", True),
        ("POST", True),
    }
    # It heard, answered, was told of the roster and of a key.
    assert first.own_frames >= 140
    for told in (777, 1000 + ord("5")):
        assert told in first.own
        assert told in first.captured_own
    assert first.is_same, (first.same_frames, first.own_frames, first.shift_frames)
    assert abs(first.shift_frames) <= 1
    again = replay(world.capture(), busy_bot())
    assert again.digest == first.digest
    assert first.virtual_s >= 60.0
    assert first.real_s < first.virtual_s


def test_another_bot_is_told_apart(tmp_path: Path) -> None:
    world = made_capture(tmp_path)
    bot = busy_bot()

    @bot.on_call
    async def talk(call: HostedCall) -> None:
        with pytest.raises(GraphRequestError, match="is not in the capture"):
            await call.unmute()
        async for frame in call.audio:
            await call.audio.send((frame // 4).astype(np.int16))

    result = replay(world.capture(), bot)
    assert result.bot_error is None
    assert not result.is_same
    assert result.same_frames < result.own_frames
    assert [a.path for a in result.asked if not a.was_answered] == [
        f"/communications/calls/{CALL_ID}/unmute"
    ]


def test_a_bot_that_fails_does_so_in_the_replay(tmp_path: Path) -> None:
    world = made_capture(tmp_path)
    bot = Bot()

    @bot.on_call
    async def fail(call: HostedCall) -> None:
        raise KeyError("as it did then")

    result = replay(world.capture(), bot)
    assert result.bot_error == "KeyError: 'as it did then'"


def test_no_canary_reaches_a_capture(tmp_path: Path) -> None:
    bot = busy_bot()
    secrets: list[str] = []

    @bot.on_call
    async def look(call: HostedCall) -> None:
        assert call.session is not None
        secret = call.session.descriptor.link_secret
        assert secret is not None
        secrets.extend([call.session.media_configuration(), secret.hex()])
        secrets.append(base64.b64encode(secret).decode())
        await call.update_recording_status("recording")
        await call.wait_ended()

    world = made_capture(tmp_path, bot)
    assert len(secrets) == 3
    content = world.capture().read_bytes()
    assert b"established" in content
    for name, canary in CANARIES.items():
        assert canary.encode() not in content, name
    for secret in secrets:
        assert secret.encode() not in content
        assert json.dumps(secret)[1:-1].encode() not in content
    assert content.count(REDACTED.encode()) >= 8
    # What is no secret is there, and so is the key that was pressed.
    assert b"tone5" in content
    assert b"Ann" in content


def test_nothing_is_kept_while_the_gate_is_shut(tmp_path: Path) -> None:
    world = made_capture(tmp_path / "never", policy="never")
    assert list(world.store.entries()) == []
    bot = busy_bot()

    @bot.on_call
    async def say_so(call: HostedCall) -> None:
        async for frame in call.audio:
            if frame.timestamp == 150 * 200_000:
                await call.update_recording_status("recording")
            if frame.timestamp == 200 * 200_000:
                await call.update_recording_status("notRecording")

    world = made_capture(tmp_path / "always", bot, "always", ticks=300)
    with world.capture().open("rb") as file:
        items = list(read_capture(file))
    ticks = [item for item in items if isinstance(item, TickRecord)]
    assert 45 <= len(ticks) <= 55
    # What was told before is there; the key came when it was shut again.
    assert b"Ann" in world.capture().read_bytes()
    assert b"tone5" not in world.capture().read_bytes()
    assert items[-1].kind is Kind.END


def test_a_capture_that_was_cut_short_is_recovered_and_replayed(tmp_path: Path) -> None:
    world = made_capture(tmp_path)
    path = world.capture()
    content = path.read_bytes()
    path.unlink()
    path.with_name(path.name + ".part").write_bytes(content[: len(content) // 2 + 5])
    (path.parent / "lock").touch(mode=0o600)
    (report,) = recover(RecordingStore(tmp_path))
    assert report.files == (path,)
    result = replay(path, busy_bot())
    assert result.bot_error is None
    assert result.own_frames >= 60


BOT_FILE = """
import numpy as np
from mixminus.control.host import Bot
bot = Bot("quiet echo")

@bot.on_call
async def echo(call):
    async for frame in call.audio:
        await call.audio.send((frame // 2).astype(np.int16))
"""


def test_the_command_says_whether_the_bot_did_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "echo_bot.py"
    path.write_text(BOT_FILE)
    world = made_capture(tmp_path / "captured", load_bot(path))
    directory = str(world.capture().parent)

    def run(*arguments: str) -> int:
        return run_command(["replay", *arguments])

    out = tmp_path / "out"
    code = run(directory, str(path), "--out", str(out), "--check")
    said = capsys.readouterr().out
    assert code == 0, said
    assert re.search(r"said the same in (\d+) of \1 frames", said)
    assert {file.name for file in out.iterdir()} == {"said.wav", "said-then.wav"}
    # Of another length: what Python keeps of a file goes by its size and the second it is of.
    path.write_text(BOT_FILE.replace("// 2", "// 10"))
    assert run(directory, str(path), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["same"] is False
    assert 0 < shown["sameFrames"] < shown["frames"]
    assert run(directory, str(path), "--check") == 1
    path.write_text(
        BOT_FILE.replace(
            "        await", "        print('heard')\n        raise OSError\n        await"
        )
    )
    capsys.readouterr()
    assert run(directory, str(path), "--json") == 1
    assert json.loads(capsys.readouterr().out)["botError"].startswith("OSError")
    no_capture = tmp_path / "speech.mmcap"
    no_capture.write_bytes(b"RIFF")
    capsys.readouterr()
    assert run(str(no_capture), str(path)) == 1
    assert "expected a capture" in capsys.readouterr().err
    assert run(str(tmp_path / "none"), str(path)) == 3
    assert run(directory, str(tmp_path / "none.py")) == 3
