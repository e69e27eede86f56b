"""Microsoft's npm package reads what our ACS simulator sends, and we read what it creates."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.simulate.keys import SimulatorKeys
from mixminus.control.simulate.services import PARTICIPANT, SimulatedAcs
from mixminus.media.pcm import FRAME_SAMPLES
from mixminus.media.transports.stream import AcsDialect, AcsService, Audio
from tests.streamfar import Far, constant
from tests.support import ROOT

pytestmark = pytest.mark.slow

PACKAGE = "@azure/communication-call-automation@1.6.0"
NO_REGISTRY = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "E404", "E403")
KINDS = ("AudioMetadata", "AudioData", "DtmfData")
NOW_MS = 1_700_000_000_123.0


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The folder that the package is installed in: a cache, as it is 17 MB."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm here")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(caches) / "mixminus" / PACKAGE.replace("/", "-")
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if result.returncode and any(code in result.stderr for code in NO_REGISTRY):
            pytest.skip("the npm registry cannot be reached")
        assert result.returncode == 0, result.stderr
    return folder


def exchange(sdk: Path, messages: list[str]) -> dict[str, Any]:
    script = ROOT / "tests/contract/npm/streaming.cjs"
    result = subprocess.run(
        ["node", str(script), str(sdk)],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_npm_reads_all_that_the_simulator_sends(sdk: Path, tmp_path: Path, rate_hz: int) -> None:
    service = SimulatedAcs(SimulatorKeys(tmp_path), rate_hz=rate_hz, audience="any")
    payload = constant(1000, rate_hz // 50).tobytes()
    messages = [
        *service.write_start(),
        service.write_audio(payload, NOW_MS, None),
        service.write_audio(bytes(len(payload)), NOW_MS + 20, None),
        service.write_audio(payload, NOW_MS + 40, 7),
        *(service.write_key(key) for key in "0123456789*#ABCD"),
    ]
    parsed = exchange(sdk, messages)["parsed"]
    assert [kind for kind, _ in parsed] == [
        "AudioMetadata",
        *["AudioData"] * 3,
        *["DtmfData"] * 16,
    ]
    metadata = parsed[0][1]
    assert (metadata["encoding"], metadata["sampleRate"], metadata["channels"]) == (
        "PCM",
        rate_hz,
        1,
    )
    mixed, silent, apart = (value for _, value in parsed[1:4])
    ours = [AcsDialect().parse(message) for message in messages[1:4]]
    for theirs, event in zip((mixed, silent, apart), ours, strict=True):
        assert isinstance(event, Audio)
        # What they read of it is what we read of it.
        stamp = datetime.fromisoformat(theirs["timestamp"]).timestamp() * 1000
        assert event.time_ms == pytest.approx(stamp, abs=0.01)
        assert event.silent is theirs["isSilent"]
    assert "participant" not in mixed
    assert silent["isSilent"] is True
    assert apart["participant"]["communicationUserId"] == PARTICIPANT.format(7)
    assert [value["data"] for _, value in parsed[4:]] == list("0123456789*#ABCD")


def test_we_read_what_npm_creates(sdk: Path) -> None:
    audio, stop = exchange(sdk, [])["written"]
    service = AcsService()
    said = service.parse(audio)
    assert said == Audio(bytes(n % 256 for n in range(640)))
    assert service.parse(stop) == "clear"
    # The bot's own parser, too: another bot may be at the far end of a test.
    assert AcsDialect().parse(audio) == said


async def test_a_bots_call_is_carried_by_messages_of_npms_making(sdk: Path) -> None:
    audio, _ = await asyncio.to_thread(lambda: exchange(sdk, [])["written"])
    far = await Far.open(AcsService())
    for _ in range(10):
        await far.tell(audio)
        await far.tick()
    counts = far.transport.counters()
    assert (counts["frames_in"], counts["malformed"], counts["reframed"]) == (10, 0, 0)
    assert far.heard[-1].size == FRAME_SAMPLES
    assert far.heard[-1].any()
    await far.close()
