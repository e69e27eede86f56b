"""The files of the console's page: whole, small, and nothing in them that its policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT

STATIC = ROOT / "control/console/static"
WEBPHONE = ROOT / "control/webphone/static"
VENDORED = STATIC / "vendor"
IMPORT = re.compile(r'^(?:import|export)\b[^;"]*?from\s*"([^"]+)"', re.MULTILINE)
NAMES = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"([^"]+)"', re.MULTILINE)
EXPORTED = re.compile(r"^export (?:async )?(?:const|let|class|function\*?) (\w+)", re.MULTILINE)
LISTED = re.compile(r"^export \{([^}]*)\}", re.MULTILINE)
MARKUP_FROM_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style\b|\bstyle=|\son\w+=", re.IGNORECASE)


def sources(ending: str) -> list[Path]:
    """Our own files of the page."""
    return sorted(path for path in STATIC.rglob(f"*.{ending}") if VENDORED not in path.parents)


def resolve(path: Path, wanted: str) -> Path:
    """Return what *path* gets for an import: webphone/ is served beside the console's own."""
    found = (path.parent / wanted).resolve()
    if found.parent == STATIC / "webphone":
        return WEBPHONE / found.name
    return found


def test_each_file_has_one_job_and_is_short() -> None:
    for path in [*sources("js"), *sources("css"), *sources("html")]:
        lines = path.read_text().count("\n")
        assert lines <= 500, f"{path} has {lines} lines: split it by concept"


def test_folders_are_one_level_deep_as_they_are_served() -> None:
    for path in STATIC.rglob("*"):
        if path.is_file():
            assert len(path.relative_to(STATIC).parts) <= 2, path


def test_the_page_names_only_files_that_are_there() -> None:
    page = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:href|src)="/console/static/([^"]+)"', page)
    assert "main.js" in named
    for name in named:
        assert (STATIC / name).is_file(), name
    styles = {str(path.relative_to(STATIC)) for path in sources("css")}
    assert styles == {name for name in named if name.endswith(".css")}


@pytest.mark.parametrize("path", sources("js"), ids=lambda path: str(path.relative_to(STATIC)))
def test_a_module_imports_only_what_is_there(path: Path) -> None:
    text = path.read_text()
    for wanted in IMPORT.findall(text):
        assert wanted.startswith("."), f"{wanted}: a browser finds only relative modules"
        assert resolve(path, wanted).is_file(), f"{wanted} is not there"
    for names, wanted in NAMES.findall(text):
        found = resolve(path, wanted)
        if VENDORED in found.parents:
            continue
        exported = exports(found.read_text())
        for name in filter(None, (each.split(" as ")[0].strip() for each in names.split(","))):
            assert name in exported, f"{found.name} does not export {name}"


def exports(text: str) -> set[str]:
    """The names that a module of ours exports."""
    listed = (name for names in LISTED.findall(text) for name in names.split(","))
    return set(EXPORTED.findall(text)) | {each.split(" as ")[-1].strip() for each in listed}


def test_every_module_is_reached_from_the_page() -> None:
    reached: set[Path] = set()
    waiting = [STATIC / "main.js"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [resolve(path, wanted) for wanted in IMPORT.findall(path.read_text())]
    assert {path for path in sources("js") if path not in reached} == set()


def test_text_never_becomes_markup_and_nothing_is_inline() -> None:
    for path in sources("js"):
        assert not MARKUP_FROM_TEXT.search(path.read_text()), path
    assert not INLINE.search((STATIC / "index.html").read_text())


def test_vendored_libraries_have_their_licence_and_version_beside_them() -> None:
    readme = (VENDORED / "README.md").read_text()
    for path in VENDORED.glob("*.js"):
        (line,) = (line for line in readme.splitlines() if line.startswith(f"| `{path.name}` |"))
        assert re.search(r"\| \d+\.\d+\.\d+ \|", line), line
        licence = re.search(r"`([\w.]+\.LICENSE\.txt)`", line)
        assert licence is not None, line
        assert (VENDORED / licence[1]).is_file()
