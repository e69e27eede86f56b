"""The API reference has every public module, and every public name in them says what it is."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = ("media", "control/host", "control/client", "control/acs")
"""What a bot's or plugin's author, or who builds on the engine, may import."""


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if any(part.startswith("_") and part != "__init__" for part in parts):
                continue
            yield ".".join(("mixminus", *parts)).removesuffix(".__init__"), path


def pages() -> Counter[str]:
    found: Counter[str] = Counter()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        found.update(re.findall(r"^::: (\S+)", page.read_text(), re.M))
    return found


def has_names(path: Path) -> bool:
    """Whether a module defines anything: packages that only gather names are shown by those."""
    body = ast.parse(path.read_text()).body
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign)
    return any(
        isinstance(node, kinds)
        for node in body
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    )


def test_every_public_module_is_on_one_page_of_the_reference() -> None:
    wanted = {name for name, path in modules() if has_names(path)}
    shown = pages()
    assert wanted - set(shown) == set(), "on no page"
    assert set(shown) - {name for name, _ in modules()} == set(), "no such module"
    assert [name for name, count in shown.items() if count > 1] == []


def undocumented(tree: ast.Module) -> Iterator[str]:
    def visit(node: ast.AST, prefix: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_"):
                continue
            overloads = {ast.unparse(d).rpartition(".")[2] for d in child.decorator_list}
            if not overloads & {"overload", "override", "setter"} and not ast.get_docstring(child):
                yield prefix + child.name
            if isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")

    yield from visit(tree, "")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_says_what_it_is(package: str) -> None:
    silent = [
        f"{name}: {what}"
        for name, path in modules()
        if path.is_relative_to(ROOT / package)
        for what in undocumented(ast.parse(path.read_text()))
    ]
    assert silent == []
