"""The layers native <- media <- control, and the rules that a reader relies on, as tests."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

EDGE_LIBRARIES = {
    "aiortc",
    "aioice",
    "fastapi",
    "starlette",
    "uvicorn",
    "httpx2",
    "msal",
    "websockets",
}
PURE = [
    "media/pcm.py",
    "media/descriptor.py",
    "media/transports/link_frames.py",
    "media/transports/link_control.py",
    "media/transports/link_marks.py",
    "media/dtmf.py",
    "media/quality.py",
    "media/transports/media_watch.py",
    "media/transports/webrtc_paths.py",
    *(
        f"media/transports/stream/{name}.py"
        for name in ("dialect", "acs", "twilio", "framing", "mulaw", "pace")
    ),
    "media/recorder/gate.py",
    "media/recorder/segments.py",
    "media/replay/format.py",
    "control/replay/redact.py",
    "control/call_state.py",
    "control/console/origins.py",
    "control/journal_redact.py",
    "control/jws.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "control").glob("remote_*.py")),
    "control/host/stream_people.py",
    "control/simulate/playback.py",
    "control/service/routing.py",
    "control/service/roster.py",
    "control/service/records/build.py",
    "control/service/records/history.py",
    "control/service/records/quality.py",
    "media/presses.py",
    "media/session/dominant.py",
    "media/session/pauses.py",
    "media/session/shorten.py",
    "media/session/silence.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "control/graph").glob("*.py")),
]
NOT_PURE = EDGE_LIBRARIES | {"asyncio", "time", "socket", "threading"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of all that *path* imports, relative ones resolved."""
    parts = ("mixminus", *path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) + "." if node.level else ""
            module = (base + (node.module or "")).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_media_never_imports_control_nor_its_libraries() -> None:
    control_only = {
        "fastapi",
        "starlette",
        "uvicorn",
        "httpx2",
        "msal",
        "typer",
        "rich",
        "pydantic",
    }
    for path in python_files("media"):
        for name in imports(path):
            assert not name.startswith("mixminus.control"), f"{path} imports {name}"
            # A built-in plugin is one like any author's: its configuration is a pydantic model.
            if name.split(".")[0] == "pydantic" and "media/plugins/builtin/" in path.as_posix():
                continue
            assert name.split(".")[0] not in control_only, f"{path} imports {name}"


def test_folders_are_imported_by_their_one_name() -> None:
    for path in python_files("media", "control", "tests", "benchmarks", "examples"):
        for name in imports(path):
            assert name.split(".")[0] not in ("media", "control"), f"{path} imports {name}"


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_no_edge(name: str) -> None:
    for imported in imports(ROOT / name):
        assert imported.split(".")[0] not in NOT_PURE, f"{name} imports {imported}"


def test_only_the_module_files_include_python() -> None:
    for path in (ROOT / "native").iterdir():
        if "Python.h" in path.read_text() and path.suffix in (".c", ".h"):
            assert path.name.startswith("module"), f"{path} knows Python"


def test_only_the_engine_has_a_thread_or_a_clock() -> None:
    for path in (ROOT / "native").glob("*.c"):
        # shared_library looks, once and before any tick, whether a library allocates.
        # watchdog watches Python, beside the engine.
        threads = ("module", "engine", "tick_thread", "packet_thread", "schedule", "watchdog")
        if not path.name.startswith((*threads, "shared_library")):
            text = path.read_text()
            assert "pthread" not in text, path
            assert not {"clock_gettime", "clock_nanosleep"} & set(re.findall(r"\w+", text)), path


def test_build_names_every_native_file() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extension = config["tool"]["setuptools"]["ext-modules"][0]
    files = {str(p.relative_to(ROOT)) for p in (ROOT / "native").iterdir()}
    assert set(extension["sources"]) == {f for f in files if f.endswith(".c")}
    assert set(extension["depends"]) == {f for f in files if f.endswith(".h")}


def test_files_stay_under_500_lines() -> None:
    native = [*(ROOT / "native").iterdir()]
    for path in [*python_files("media", "control", "tests", "benchmarks", "examples"), *native]:
        lines = path.read_text().count("\n")
        assert lines <= 500, f"{path} has {lines} lines: split it by concept"


def test_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 900


def test_echo_bot_is_25_lines() -> None:
    assert len((ROOT / "examples/echo_bot.py").read_text().splitlines()) <= 25
