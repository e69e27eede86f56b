"""What plugins log, in this process and in one of their own: as lines of the call they work for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from mixminus.control.operation.call_context import concerning
from mixminus.control.operation.logs import Logs
from mixminus.media.plugins.chain import open_chain
from mixminus.media.plugins.config import PluginSpec
from tests.plugin_engine_kit import tone_frame, until

pytestmark = pytest.mark.alone

PLUGIN = """
import logging

log = logging.getLogger("loud.plugin")


class Loud:
    def open(self, context):
        log.info("opened with client_secret=canary-0001")

    def process(self, frame):
        log.debug("below the level")
        log.warning("frame of %d samples", frame.size)
        raise KeyError("passcode=canary-0002")
"""


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_lines_of_a_plugin_are_about_its_call(
    tmp_path: Path, isolation: Literal["none", "process"]
) -> None:
    path = tmp_path / "loud_plugin.py"
    path.write_text(PLUGIN)
    stream = io.StringIO()

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    def said(part: str) -> list[dict[str, Any]]:
        return [line for line in lines() if part in line["message"]]

    with Logs(stream=stream, level="info", form="json"):
        with concerning("call-1"):
            chain = open_chain([PluginSpec(f"{path}:Loud", isolation=isolation)])
        for index in range(10):
            chain.process(tone_frame(index))
        until(lambda: bool(said("frame of ") and said("is disabled")), "its lines come")
        chain.close()
    (opened,) = said("opened")
    assert opened["message"] == "opened with client_secret=[redacted]"
    assert (opened["logger"], opened["level"]) == ("loud.plugin", "info")
    assert said("frame of ")[0]["level"] == "warning"
    assert said("is disabled")[0]["message"].endswith("KeyError: 'passcode=[redacted]'")
    assert {line.get("callId") for line in lines()} == {"call-1"}
    assert "canary" not in stream.getvalue()
    assert not said("below")
