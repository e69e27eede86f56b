"""What settings there are, shown: in effect and masked, as example, schema and documentation."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mixminus.control.cli import run
from mixminus.control.cli.errors import NOT_FOUND, OK, USAGE
from mixminus.control.config import describe
from mixminus.control.config.checks import known_variables
from mixminus.control.config.sections import OF_PROCESS, TABLES, sections
from mixminus.control.config.sources import SettingsSources
from mixminus.control.config.toml import toml_key, toml_value
from tests.config_kit import SECRET, Write, clean, credentials, write
from tests.support import ROOT

__all__ = ["clean", "credentials", "write"]

pytestmark = pytest.mark.usefixtures("clean")

Captured = pytest.CaptureFixture[str]

PAGE = ROOT / "docs/settings.md"
PLUGIN = """
[[host.plugins]]
plugin = "gain"
on = "mix"
config = { gain_db = 6, api_key = "KEY" }
"""


def shown(capsys: Captured, *arguments: str) -> str:
    assert run(["config", *arguments]) == OK
    return capsys.readouterr().out


def failed(capsys: Captured, *arguments: str) -> str:
    assert run(["config", *arguments]) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert SECRET not in captured.err
    return captured.err


# ---- show ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_secrets_are_masked_and_origins_named(
    capsys: Captured, write: Write, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clean / "token").write_text(SECRET)
    (clean / "token").chmod(0o600)
    write(PLUGIN.replace("KEY", SECRET) + '[console]\ntoken_file = "token"\n')
    monkeypatch.setenv("MIXMINUS_PORT", "9441")
    for arguments in (["--origin"], ["--origin", "--json"], [], ["--json"]):
        assert SECRET not in shown(capsys, "show", *arguments)
    tables = json.loads(shown(capsys, "show", "--origin", "--json"))
    host = tables["host"]
    assert host["port"] == {"value": 9441, "origin": "MIXMINUS_PORT"}
    assert host["client_secret"] == {"value": "**********", "origin": "MIXMINUS_CLIENT_SECRET"}
    assert host["bind"] == {"value": "127.0.0.1", "origin": "default"}
    assert host["plugins"]["origin"] == "mixminus.toml: [host] plugins"
    assert host["plugins"]["value"] == [
        {"plugin": "gain", "on": "mix", "config": {"gain_db": 6, "api_key": "**********"}}
    ]
    assert tables["console"]["token"] == {
        "value": "**********",
        "origin": "mixminus.toml: [console] token_file",
    }
    assert json.loads(shown(capsys, "show", "--json"))["host"]["port"] == 9441


def test_what_is_shown_is_toml_and_what_is_missing_is_said(capsys: Captured) -> None:
    text = shown(capsys, "show", "--origin")
    tables = tomllib.loads(text)
    assert list(tables) == list(sections())
    assert tables["service"]["max_calls"] == 500
    assert "# client_secret: not set, and it is needed" in text
    assert 'bind = "127.0.0.1"  # default' in text
    assert json.loads(shown(capsys, "show", "--json"))["host"]["tenant_id"] is None


def test_wrong_settings_are_one_line(
    capsys: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXMINUS_PROT", SECRET)
    assert failed(capsys, "show") == (
        "mixminus: settings: MIXMINUS_PROT: no such setting: did you mean MIXMINUS_PORT?\n"
    )
    monkeypatch.delenv("MIXMINUS_PROT")
    write("[service]\nport = 'x'\n")
    assert "mixminus.toml: [service] port: expected a valid integer" in failed(capsys, "show")
    assert run(["config", "show", "--config", "none.toml"]) == NOT_FOUND
    assert "--config: expected a settings file" in capsys.readouterr().err


# ---- validate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", []),
        ("[host]\nport = 1\nclient_secret_file = '/run/secrets/x'\n", []),
        ("[[host.plugins]]\nplugin = 'gain'\nconfig = { gain_db = 6 }\n", []),
        ("[host]\nport = 'x'\n[service]\nbind = 7\n", ["[host] port: ", "[service] bind: "]),
        ("[host]\nprot = 1\nbnid = 2\n", ["[host] prot: ", "[host] bnid: "]),
        ("[host\n", ["not TOML: line 1"]),
        ("[[host.plugins]]\nplugin = 'gian'\n", ["[host] plugins: no plugin 'gian'"]),
        (
            "[[host.plugins]]\nplugin = 'gain'\nconfig = { gain_db = 'x' }\n",
            ["[host] plugins: plugin gain: config.gain_db: "],
        ),
        (
            "[[service.plugins]]\nplugin = 'gain'\non = 'mix'\n",
            ["[service] plugins: plugin gain: on: expected inbound or outbound here"],
        ),
    ],
)
def test_a_file_is_checked_by_itself(
    capsys: Captured,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    says: list[str],
) -> None:
    # What the environment says is neither checked nor does it hide what the file says.
    monkeypatch.setenv("MIXMINUS_PORT", "1")
    monkeypatch.setenv("MIXMINUS_CLIENT_SECRET_FILE", "/none")
    write(text)
    code = run(["config", "validate", "mixminus.toml", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == (USAGE if says else OK)
    assert answer["valid"] is not bool(says)
    found = [f"{one['where']}: {one['message']}" for one in answer["problems"]]
    assert len(found) == len(says)
    for line, wanted in zip(found, says, strict=True):
        assert wanted in line, line
    run(["config", "validate"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == (found or ["mixminus.toml is good"])


def test_no_file_is_checked_where_there_is_none(capsys: Captured) -> None:
    for arguments in ([], ["none.toml"]):
        assert run(["config", "validate", *arguments]) == NOT_FOUND
        assert "mixminus.toml" in capsys.readouterr().err.replace("none.toml", "mixminus.toml")


# ---- example, schema, documentation --------------------------------------------------------------


def uncommented(text: str, *, only_defaults: bool) -> str:
    """Return the example with its keys said; those that have a default, or all."""
    known = {
        (table, key.in_file): key.default is not ... and key.default is not None
        for table in sections()
        for key in describe.keys(table)
    }
    table, lines = "", []
    for line in text.splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        found = re.match(r"#(\w+) = ", line)
        if found and (known[table, found[1]] or not only_defaults):
            line = line[1:]
        lines.append(line)
    return "\n".join(lines)


@pytest.mark.usefixtures("credentials")
def test_the_example_says_nothing_and_its_defaults_are_the_defaults(
    capsys: Captured, write: Write
) -> None:
    before = {table: SettingsSources.read().partial(table)[0] for table in sections()}
    text = shown(capsys, "example")
    assert all(not keys for keys in tomllib.loads(text).values())
    assert max(len(line) for line in text.splitlines() if line.startswith("# ")) <= 98
    write(uncommented(text, only_defaults=True))
    sources = SettingsSources.read()
    said = [
        key for keys in tomllib.loads(Path("mixminus.toml").read_text()).values() for key in keys
    ]
    assert len(said) > 60
    for table in sections():
        assert sources.partial(table)[0] == before[table]


def test_the_schema_takes_what_is_good_and_nothing_else(capsys: Captured) -> None:
    schema = json.loads(shown(capsys, "schema"))
    jsonschema_rs.meta.validate(schema)
    checker = jsonschema_rs.validator_for(schema)
    example = shown(capsys, "example")
    checker.validate(tomllib.loads(example))
    checker.validate(tomllib.loads(uncommented(example, only_defaults=True)))
    checker.validate(tomllib.loads(PLUGIN))
    # All that there is has its place, and what it means.
    full = tomllib.loads(uncommented(example, only_defaults=False))
    for table, keys in full.items():
        properties = schema["properties"][table]["properties"]
        assert keys.keys() == properties.keys()
        assert all(one["description"] for one in properties.values())
    wrong: list[dict[str, Any]] = [
        {"host": {"prot": 1}},
        {"servce": {}},
        {"host": {"client_secret": "x"}},
        {"host": {"port": 70000}},
        {"operation": {"log_level": "loud"}},
        {"host": {"plugins": "gain"}},
    ]
    for one in wrong:
        assert not checker.is_valid(one), one


def test_every_setting_says_what_it_is() -> None:
    for table in sections():
        for key in describe.keys(table):
            assert key.meaning.endswith("."), f"{key.variable}: expected a docstring, one sentence"
            assert len(key.meaning) < 400, key.variable


def rows(text: str) -> dict[str, list[str]]:
    """Return the tables of the page: by heading, the names in their first columns."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
        elif match := re.match(r"\| `([A-Za-z_]+)`", line):
            found.setdefault(heading, []).append(match[1])
    return found


def test_every_setting_is_documented_and_every_documented_one_is_there() -> None:
    documented = rows(PAGE.read_text())
    for table, model in sections().items():
        assert documented.pop(f"[{table}]") == list(model.model_fields)
    assert documented.pop("Of the process") == list(OF_PROCESS)
    assert set(TABLES) == set(sections())


def test_the_documentation_says_what_the_code_does() -> None:
    begin, end = "<!-- mixminus config example --markdown -->\n", "<!-- end -->"
    page = PAGE.read_text()
    reference = page.partition(begin)[2].partition(end)[0]
    assert reference.strip() == describe.markdown().strip(), (
        "put what `mixminus config example --markdown` prints between the marks of docs/settings.md"
    )


def test_every_variable_that_code_or_pages_name_is_one() -> None:
    known = known_variables()
    kinds = ("control/**/*.py", "media/**/*.py", "native/*.c", "docs/**/*.md", "examples/*.py")
    paths = [path for kind in kinds for path in ROOT.glob(kind)]
    paths += [ROOT / "README.md", *(path for path in ROOT.glob("deploy/**/*") if path.is_file())]
    assert len(paths) > 200
    for path in paths:
        named = set(re.findall(r"\bMIXMINUS_[A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
        assert named <= known, f"{path}: {named - known}"


def test_the_file_that_the_page_shows_is_good(capsys: Captured, write: Write) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    write(block)
    assert shown(capsys, "validate") == "mixminus.toml is good\n"


def test_every_key_has_one_row_in_json(capsys: Captured) -> None:
    listed = json.loads(shown(capsys, "example", "--json"))
    assert len(listed) == sum(len(model.model_fields) for model in sections().values())
    assert len({row["variable"] for row in listed}) == len(listed)
    required = {row["name"] for row in listed if row["required"]}
    assert required == {"tenant_id", "app_id", "client_secret"}


@pytest.mark.parametrize(
    "value",
    [
        True,
        7,
        0.25,
        1e300,
        "",
        'quotes " and \\ and \n and \x7f and é and 🎧',
        [1, 2.5, "x", []],
        {},
        {"a b": 1, "plain-key": {"inner": [True]}, "": "empty"},
    ],
)
def test_what_is_written_as_toml_is_read_again(value: Any) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}")["key"] == value


def test_what_toml_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="expected what TOML can write, got NoneType"):
        toml_value(None)
    assert toml_key("a.b") == '"a.b"'
