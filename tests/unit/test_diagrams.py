"""The drawings in docs: they are drawn, and speak of what the code has."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.support import ROOT

DOCS = ROOT / "docs"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sequence", DOCS / "hooks/sequence.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sequence = load()


def blocks() -> list[str]:
    return [
        found[1]
        for page in sorted(DOCS.glob("*.md"))
        for found in sequence.BLOCK.finditer(page.read_text())
    ]


def source() -> str:
    files = [
        path for folder in ("media", "control", "native") for path in (ROOT / folder).rglob("*")
    ]
    return "\n".join(path.read_text() for path in files if path.suffix in {".py", ".c", ".h"})


def test_lanes_that_are_classes_and_words_of_code_are_in_the_code() -> None:
    code = source()
    names = set()
    for block in blocks():
        parsed = sequence.parse(block)
        names |= {lane for lane in parsed.lanes if re.fullmatch(r"(?:[A-Z][a-z]+){2,}", lane)}
        text = " ".join(step.text for step in parsed.steps)
        names |= set(re.findall(r"\b\w+_\w+\b", text))
    assert {"HostedCall", "CallBook", "on_incoming_call", "mix_minus"} <= names
    assert [name for name in sorted(names) if not re.search(rf"\b(?:mm_)?{name}\b", code)] == []


@pytest.mark.parametrize("block", blocks())
def test_each_is_drawn_whole(block: str) -> None:
    drawn = ElementTree.fromstring(sequence.draw(sequence.parse(block)))
    said = " ".join(part.text or "" for part in drawn.iter("text")).split()
    for word in block.replace(" -> ", " ").split():
        assert word in {"lanes:", "|"} or word.rstrip(":") in {w.rstrip(":") for w in said}, word
    width, height = map(int, drawn.attrib["viewBox"].split()[2:])
    for part in drawn.iter("text"):
        assert 0 <= int(part.attrib["x"]) <= width
        assert 0 <= int(part.attrib["y"]) <= height


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("A -> B: x", "expected 'lanes: A | B'"),
        ("lanes: A | B\nA -> C: x", "expected one of A, B, got 'C'"),
        ("lanes: A | B\nnothing", "expected 'A -> B: words' or 'A: words'"),
    ],
)
def test_a_block_that_cannot_be_drawn_is_quoted(block: str, says: str) -> None:
    with pytest.raises(sequence.DiagramError, match=re.escape(says)):
        sequence.parse(block)


def test_a_page_keeps_what_is_no_drawing(tmp_path: Path) -> None:
    page = "before\n\n```sequence\nlanes: A | B\nA -> B: <hello>\n```\n\n```python\nx = 1\n```\n"
    made = sequence.on_page_markdown(page)
    assert made.startswith("before\n\n<svg ")
    assert "&lt;hello&gt;" in made
    assert made.endswith("```python\nx = 1\n```\n")
