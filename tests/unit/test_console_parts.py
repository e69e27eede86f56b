"""What the console's sources are made of: waveforms, plugin schemas, titles, wishes on routes."""

from __future__ import annotations

import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from mixminus.control.console.plugin_choice import chosen_spec
from mixminus.control.console.plugin_events import PluginEvents
from mixminus.control.console.plugin_kinds import (
    expect_no_paths,
    plugin_kinds,
    schema_of,
    shown_parameters,
)
from mixminus.control.console.source import ConsoleRefusedError
from mixminus.control.console.views import (
    decoded_blob,
    joined_names,
    quality_flags,
    row_state,
    safe_resource,
)
from mixminus.control.console.waveform import Waveforms, binned, extremes_of
from mixminus.control.console.wishes import PluginWish
from mixminus.control.journal import Journal
from mixminus.control.journal_redact import JournalRedactor
from mixminus.control.journal_titles import (
    call_of_path,
    envelope_title,
    notification_title,
    request_title,
    roster_names,
)
from mixminus.control.service.request_journal import RequestJournal
from mixminus.control.service.routing import routes, with_wishes
from mixminus.control.serving import Message
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.pcm import FRAME_SAMPLES, AudioFrame, Pcm
from mixminus.media.pipeline import AudioFileError
from mixminus.media.plugins.config import PluginSpec
from mixminus.media.plugins.events import PluginEvent


def write_wav(path: Path, pcm: Pcm) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


# ---- waveforms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 16_000, 50_001])
def test_extremes_are_those_of_each_frame(tmp_path: Path, samples: int) -> None:
    rng = np.random.default_rng(samples)
    pcm = rng.integers(-32768, 32767, samples, np.int16, endpoint=True)
    extremes = extremes_of(write_wav(tmp_path / "a.wav", pcm))
    frames = [pcm[at : at + FRAME_SAMPLES] for at in range(0, samples, FRAME_SAMPLES)]
    assert extremes.tolist() == [[int(f.min()), int(f.max())] for f in frames]


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 50, 51, 1000])
def test_bins_cover_all_frames_once(bins: int) -> None:
    extremes = np.array([[-at, at] for at in range(50)], np.int16)
    found = binned(extremes, bins)
    assert len(found) == min(bins, 50)
    assert max(high for _, high in found) == 49
    assert min(low for low, _ in found) == -49
    lengths = np.diff([*(np.arange(len(found)) * 50 // len(found)), 50])
    assert lengths.max() - lengths.min() <= 1
    at = 0
    for (low, high), length in zip(found, lengths.tolist(), strict=True):
        assert (low, high) == (-(at + length - 1), at + length - 1)
        at += length


def test_no_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0"):
        binned(np.zeros((1, 2), np.int16), 0)


async def test_a_waveform_is_kept_until_its_file_changes(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.full(3200, 100, np.int16))
    waveforms = Waveforms()
    assert await waveforms.peaks(path, 2) == [(100, 100), (100, 100)]
    kept = waveforms._kept[path]
    assert await waveforms.peaks(path, 1) == [(100, 100)]
    assert waveforms._kept[path] is kept
    write_wav(path, np.full(6400, -7, np.int16))
    assert await waveforms.peaks(path, 1) == [(-7, -7)]
    path.write_bytes(b"no audio at all")
    with pytest.raises(AudioFileError):
        await waveforms.peaks(path, 1)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        await waveforms.peaks(path, 1)


async def test_only_so_many_waveforms_are_kept(tmp_path: Path) -> None:
    waveforms = Waveforms(max_kept_bytes=60)
    paths = [
        write_wav(tmp_path / f"{at}.wav", np.full(10 * FRAME_SAMPLES, at, np.int16))
        for at in range(3)
    ]
    for at, path in enumerate(paths):
        assert await waveforms.peaks(path, 1) == [(at, at)]
    assert list(waveforms._kept) == paths[2:]


# ---- plugins -----------------------------------------------------------------------------------


def a_function(
    frame: AudioFrame, gain: float = 2.0, mode: Literal["a", "b"] = "a", file: Path | None = None
) -> Pcm:
    return frame


class WithModel:
    class Config(BaseModel):
        level: int = 3
        api_key: str = "x"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def process(self, frame: AudioFrame) -> None:
        return None


def test_a_schema_comes_of_a_model_or_of_keywords() -> None:
    assert schema_of(a_function) == {
        "type": "object",
        "properties": {
            "gain": {"type": "number", "default": 2.0},
            "mode": {"enum": ["a", "b"], "default": "a"},
            "file": {"type": "string", "format": "path", "default": None},
        },
    }
    assert schema_of(WithModel)["properties"]["level"]["default"] == 3
    with pytest.raises(ConsoleRefusedError, match="file: a path"):
        expect_no_paths({"file": "/etc/passwd"}, schema_of(a_function))
    expect_no_paths({"gain": 1.0}, schema_of(a_function))


def test_parameters_in_force_are_shown_and_secrets_are_not() -> None:
    spec = PluginSpec(WithModel, "mix", {"level": 5, "api_key": "hush"})
    assert shown_parameters(spec, schema_of(WithModel)) == {"level": 5}


def test_only_plugins_with_a_name_can_be_chosen() -> None:
    own = PluginSpec(WithModel, "own", {"level": 1}, name="mine")
    kinds = {kind.name: kind for kind in plugin_kinds(("own", "mix"), (own,))}
    assert kinds["mine"].streams == ("own",)
    chosen = chosen_spec(PluginWish(name="mine", stream="mix"), (own,), ("own", "mix"))
    assert (chosen.plugin, chosen.on, chosen.config) == (WithModel, "mix", {"level": 1})
    for name in ("os:system", "/tmp/x.py", "x.py", "injector", ""):
        with pytest.raises((ConsoleRefusedError, ValueError)):
            chosen_spec(PluginWish(name=name, stream="mix"), (own,), ("own", "mix"))


def test_values_of_plugins_do_not_flood_the_journal() -> None:
    now = [0.0]
    journal = Journal("host")
    events = PluginEvents(journal, lambda: now[0])

    def say(kind: Any, detail: str = "", value: Any = None) -> None:
        events.note(PluginEvent(kind, "meter", "mix", "call", None, detail, value))

    for _ in range(100):
        say("value", "level", -20.0)
        now[0] += 0.02
    say("disabled", "error: too many")
    titles = [entry.read()["title"] for entry in journal.since(0)[0]]
    assert titles == ["meter on mix: value: level"] * 2 + [
        "meter on mix: disabled: error: too many"
    ]
    shown = events.of("call", "mix", "meter")
    assert len(shown) == 20
    assert shown[-1]["kind"] == "disabled"
    assert shown[0]["value"] == -20.0
    assert events.of_all("call", "mix", "meter") == shown
    assert not events.of("another", "mix", "meter")


# ---- views -------------------------------------------------------------------------------------


def test_a_blob_is_shown_without_its_secret_or_not_at_all() -> None:
    descriptor = MediaSessionDescriptor.new("wss://localhost:1/media")
    for blob in (descriptor.to_blob(), descriptor.redacted()):
        shown = decoded_blob({"blob": blob})
        assert shown is not None
        assert shown["mixminus"] == {"version": 1, "secret": "[redacted]", "epoch": 1}
        assert shown["mpUri"] == "wss://localhost:1/media"
    assert decoded_blob({"blob": "no JSON"}) is None
    assert decoded_blob({"blob": json.dumps({"mixminus": {"secret": "hush"}})}) is None
    assert decoded_blob({"blob": "[1]"}) is None
    assert decoded_blob({}) is None
    assert decoded_blob(None) is None
    resource = {
        "id": "1",
        "mediaConfig": {"blob": descriptor.to_blob(), "x": 1},
        "meetingInfo": {"joinMeetingId": "12", "passcode": "hush"},
    }
    redactor = JournalRedactor()
    safe = safe_resource(resource, redactor)
    assert "wss://localhost:1/media" in safe["mediaConfig"]["blob"]
    assert safe["mediaConfig"]["x"] == 1
    assert safe["meetingInfo"]["joinMeetingId"] == "12"
    assert descriptor.link_secret is not None
    assert "hush" not in json.dumps(safe)
    assert descriptor.to_blob().rpartition('"secret":"')[2][:43] not in json.dumps(safe)
    broken = {"id": "1", "mediaConfig": {"blob": "?"}}
    assert safe_resource(broken, redactor)["mediaConfig"]["blob"] is None
    assert safe_resource({"id": "1"}, redactor) == {"id": "1"}


def test_names_states_and_flags() -> None:
    assert joined_names(["a", "b", "c"]) == "a, b, c"
    assert joined_names(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert row_state("hold") == "onHold"
    assert row_state("aStateOfTomorrow") == "established"
    assert quality_flags(0.05, 0.04, 60.0) == ("loss", "jitter", "concealment")
    assert quality_flags(None, None, None) == ()


# ---- titles ------------------------------------------------------------------------------------


def test_titles_name_what_happened() -> None:
    assert notification_title("updated", ("1",), {"state": "established"}) == (
        "call updated: established"
    )
    tone = {"state": "established", "toneInfo": {"tone": "tone1"}}
    assert notification_title("updated", ("1",), tone) == "tone updated: tone1"
    operation = {"@odata.type": "#microsoft.graph.playPromptOperation", "status": "completed"}
    assert notification_title("deleted", ("1", "operations", "2"), operation) == (
        "playPrompt deleted: completed"
    )
    assert notification_title("updated", ("1", "participants"), [{}, {}]) == (
        "participants updated: 2 entries"
    )
    item = {"changeType": "created", "resourceUrl": "/communications/calls/1", "resourceData": {}}
    assert envelope_title({"value": [item, item]}) == "call created and 1 more"
    assert envelope_title([]) == envelope_title({"value": []}) == "notification"
    assert call_of_path("/v1.0/communications/calls/12/mute?x=1") == "12"
    assert call_of_path("/communications/calls") is None
    assert call_of_path("/communications/calls/logTeleconferenceDeviceQuality") is None
    assert "\N{RIGHTWARDS ARROW} no answer in 3 ms" in request_title("GET", "/a?b=c", None, 3.2)
    assert "?" not in request_title("GET", "/a?b=c", None, 3.2)
    named = {"id": "1", "info": {"identity": {"user": {"displayName": "Ada"}}}}
    assert (
        roster_names([named, {"id": "2"}, {"id": "3", "info": {"identity": None}}]) == "Ada, 2, 3"
    )


# ---- requests ----------------------------------------------------------------------------------


async def exchanged(path: str, body: bytes, reply: bytes, *, fails: bool = False) -> list[Any]:
    """What the journal has after a request with that body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        if fails:
            raise RuntimeError("a bug")
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": reply})

    parts = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]

    async def receive() -> Message:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        assert message["type"].startswith("http.response")

    journal = Journal("service")
    scope = {"type": "http", "method": "POST", "path": path}
    try:
        await RequestJournal(app, journal)(scope, receive, send)
    except RuntimeError:
        assert fails
    return [entry.read() for entry in journal.since(0)[0]]


async def test_requests_are_written_down_with_their_bodies() -> None:
    (entry,) = await exchanged("/v1.0/communications/calls", b'{"a":1}', b'{"id":"12"}')
    assert (entry["kind"], entry["direction"], entry["callId"]) == ("request", "in", "12")
    assert entry["title"].startswith("POST /communications/calls \N{RIGHTWARDS ARROW} 201 in ")
    assert entry["body"] == {"request": {"a": 1}, "response": {"id": "12"}}
    (entry,) = await exchanged("/communications/calls/7/mute", b"", b"")
    assert (entry["callId"], entry["body"]) == ("7", None)
    assert await exchanged("/aa/oauth2/v2.0/token", b"client_secret=hush", b"{}") == []


async def test_a_body_that_is_no_json_or_long_is_left_out() -> None:
    (entry,) = await exchanged("/communications/calls", b"client_secret=hush", b"{}")
    assert entry["body"]["request"] == {"leftOut": "18 bytes"}
    long = json.dumps({"x": "y" * 20_000}).encode()
    (entry,) = await exchanged("/communications/calls/7/answer", long, long)
    assert entry["body"]["request"] == entry["body"]["response"]
    assert entry["body"]["request"] == {"leftOut": f"{len(long)} bytes"}


async def test_a_request_that_fails_is_written_down_too() -> None:
    (entry,) = await exchanged("/communications/calls/7/mute", b"{}", b"", fails=True)
    assert "no answer" in entry["title"]


# ---- who hears whom ----------------------------------------------------------------------------


@dataclass
class Somebody:
    participant_id: str
    in_lobby: bool = False
    is_muted: bool = False
    is_on_hold: bool = False
    in_default_mix: bool = True


def test_a_wish_concerns_one_pair_and_neither_lobby_hold_nor_mute() -> None:
    people = [Somebody(name) for name in "abcd"]
    wishes = {("a", "b"): False, ("c", "d"): True, ("b", "a"): True, ("x", "a"): True}
    heard = routes(people, ())
    with_wishes(heard, people, wishes)
    assert heard == {"a": ["c", "d"], "b": ["a", "c", "d"], "c": ["a", "b", "d"], "d": [*"abc"]}

    people[0].in_default_mix = False
    heard = routes(people, ())
    with_wishes(heard, people, {("b", "a"): True})
    assert heard == {"a": [], "b": ["c", "d", "a"], "c": ["b", "d"], "d": ["b", "c"]}

    for keeps_out in ("in_lobby", "is_muted", "is_on_hold"):
        people = [Somebody("a", **{keeps_out: True}), Somebody("b")]
        heard = routes(people, ())
        with_wishes(heard, people, {("b", "a"): True, ("a", "a"): True})
        assert heard["b"] == []
        assert "a" not in heard["a"]
