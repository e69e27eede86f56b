"""What may be wrong with a plugin's configuration is said before it hears a frame."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from mixminus.media.pcm import AudioFrame, Pcm
from mixminus.media.plugins.config import PluginSpec, make_plugin
from mixminus.media.plugins.errors import PluginConfigError, PluginError, UnknownPluginError
from mixminus.media.plugins.registry import list_plugins, resolve
from tests.plugin_engine_kit import plugin_file, tone_frame


class Shape(enum.Enum):
    ROUND = "round"


class Typed:
    def __init__(
        self,
        gain_db: float,
        mode: Literal["soft", "hard"] = "soft",
        bands: tuple[int, ...] = (),
        pair: tuple[int, str] | None = None,
        file: Path | None = None,
        shape: Shape = Shape.ROUND,
        levels: dict[str, int] | None = None,
        on: bool = True,
    ) -> None:
        if gain_db > 60:
            raise ValueError("more than 60 dB is no gain")
        self.values = (gain_db, mode, bands, pair, file, shape, levels, on)

    def process(self, frame: AudioFrame) -> None:
        return None


class Modelled:
    class Config(BaseModel):
        gain_db: float = Field(default=0.0, ge=-40, le=40)
        name: str = "x"

    def __init__(self, gain_db: float, name: str) -> None:
        self.gain_db, self.name = gain_db, name

    def process(self, frame: AudioFrame) -> Pcm:
        return np.zeros(320, np.int16)


def test_short_and_long_form_say_the_same() -> None:
    short = PluginSpec.parse("gain@mix,gain_db=6,kind=soft,isolation=process,name=loud")
    assert short == PluginSpec.parse(
        json.dumps(
            {
                "plugin": "gain",
                "on": "mix",
                "config": {"gain_db": 6, "kind": "soft"},
                "isolation": "process",
                "name": "loud",
            }
        )
    )
    assert PluginSpec.parse("./a/loud.py:Loud").name == "Loud"
    assert PluginSpec.parse("./a/loud.py").name == "loud"
    assert PluginSpec.parse("pack.module:Deep.Inner@own").on == "own"


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"plugin": "gain", "on": "speakers"}, "on", "expected one of inbound, outbound, speaker"),
        ({"plugin": "gain", "isolation": "vm"}, "isolation", "expected none or process, got 'vm'"),
        ({"plugin": "gain", "confg": {}}, "confg", "no such field: there are plugin, on"),
        ({"plugin": "gain", "config": [1]}, "config", "expected an object, got"),
        ({"plugin": 3}, "plugin", "expected a name, module:attr or a .py file"),
        ({"plugin": ""}, "plugin", "expected a name"),
        ({"plugin": "gain", "memory_mb": 1}, "memory_mb", "expected 16 or more, got 1"),
        ({"plugin": "gain", "name": "x" * 65}, "name", "at most 64 characters"),
        ("gain,loud", "loud", "expected NAME=VALUE"),
        ("{nonsense", "", "expected JSON"),
        ("[1]", "plugin", ""),
    ],
)
def test_a_spec_that_is_wrong_is_refused_by_its_field(given: Any, field: str, said: str) -> None:
    if given == "[1]":
        with pytest.raises(UnknownPluginError):
            PluginSpec.parse(given).validate()
        return
    with pytest.raises(PluginConfigError) as caught:
        PluginSpec.parse(given)
    assert caught.value.field == field
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("config", "field", "said"),
    [
        ({}, "config.gain_db", "is missing"),
        ({"gain_db": "6"}, "config.gain_db", "expected float, got '6'"),
        ({"gain_db": True}, "config.gain_db", "expected float, got True"),
        ({"gain_db": float("nan")}, "config.gain_db", "expected a finite number"),
        ({"gain_db": 1, "gian": 2}, "config.gian", "no such setting: there are gain_db, mode"),
        ({"gain_db": 1, "mode": "loud"}, "config.mode", "expected one of 'soft', 'hard'"),
        ({"gain_db": 1, "bands": [1, "x"]}, "config.bands.1", "expected int, got 'x'"),
        ({"gain_db": 1, "pair": [1]}, "config.pair", "expected 2 values"),
        ({"gain_db": 1, "shape": "flat"}, "config.shape", "expected one of 'round'"),
        ({"gain_db": 1, "levels": {"a": 1.5}}, "config.levels.a", "expected int, got 1.5"),
        ({"gain_db": 1, "on": 1}, "config.on", "expected bool, got 1"),
        ({"gain_db": 90}, "config", "more than 60 dB is no gain"),
    ],
)
def test_values_are_checked_by_annotation(config: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(PluginConfigError) as caught:
        PluginSpec(Typed, config=config).validate()
    assert caught.value.field == field
    assert said in str(caught.value)


def test_values_come_as_annotated() -> None:
    config = {"gain_db": 3, "bands": [1, 2], "pair": [1, "a"], "file": "/x", "shape": "round"}
    made = make_plugin(Typed, config)
    (gain_db, _, bands, pair, file, shape, _, _) = made._instance.values
    assert isinstance(gain_db, float)
    assert (bands, pair, file, shape) == ((1, 2), (1, "a"), Path("/x"), Shape.ROUND)


def test_a_pydantic_model_is_asked_where_there_is_one() -> None:
    assert make_plugin(Modelled, {"gain_db": 3})._instance.name == "x"
    with pytest.raises(PluginConfigError) as caught:
        make_plugin(Modelled, {"gain_db": 41}, name="m")
    assert caught.value.field == "config.gain_db"
    assert "less than or equal to 40, got 41" in str(caught.value)
    with pytest.raises(PluginConfigError, match=r"config\.gian: no such setting"):
        make_plugin(Modelled, {"gian": 1})
    made = make_plugin(Modelled, {"gain_db": 3})
    with pytest.raises(PluginConfigError, match=r"config\.gain_db"):
        made.check_change({"gain_db": -41})
    assert made.check_change({"gain_db": 5}) == {"gain_db": 5.0}


def test_plugins_are_found_by_name_module_and_file(tmp_path: Path) -> None:
    assert {"gain", "level_meter"} <= {info.name for info in list_plugins()}
    assert resolve("gain") is resolve("mixminus.media.plugins.builtin.gain:Gain")
    with plugin_file(tmp_path) as path:
        double = resolve(f"{path}:double")
        np.testing.assert_array_equal(
            make_plugin(double, {}).process(tone_frame()), tone_frame() * 2
        )
        with pytest.raises(PluginError, match=r"expected one plugin in .*, found double, Faulty"):
            resolve(path)
        with pytest.raises(UnknownPluginError, match="no_such"):
            resolve(f"{path}:no_such")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("gian", "no plugin 'gian': expected module:attr, a .py file, or one of agc"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("json:no_such", "no attribute 'no_such'"),
        ("json:__name__", "expected a class with process(frame), or a function"),
        ("json:JSONDecoder", "expected a class with process(frame), or a function"),
        ("/no/such.py", "no such plugin file: /no/such.py"),
    ],
)
def test_what_is_no_plugin_is_said_to_be_none(reference: str, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        resolve(reference)
    assert said in str(caught.value)


def test_objects_of_a_file_are_no_plugins(tmp_path: Path) -> None:
    path = tmp_path / "with_objects.py"
    path.write_text(
        "class Table: pass\n\nTABLE = Table()\n\ndef softer(frame):\n    return frame // 2\n"
    )
    assert resolve(str(path)).__name__ == "softer"


def test_a_file_that_fails_says_why(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise SystemExit(3)\n")
    with pytest.raises(PluginError, match="failed: SystemExit: 3"):
        resolve(str(path))


def test_a_child_process_takes_references_and_json_alone() -> None:
    with pytest.raises(PluginConfigError, match="plugin: expected a name, module:attr or a file"):
        PluginSpec(Typed, isolation="process")
    with pytest.raises(PluginConfigError, match="config: expected JSON"):
        PluginSpec("gain", config={"gain_db": float("inf")}, isolation="process")
