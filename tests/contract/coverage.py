"""What of the documented API is covered: the table in coverage.toml, and the page made of it.

``python -m tests.contract.coverage`` writes docs/graph-coverage.md.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import ROOT

HERE = Path(__file__).parent
TABLE = HERE / "coverage.toml"
PAGE = ROOT / "docs" / "graph-coverage.md"
KINDS = {
    "method": "Methods of the call resource",
    "property": "Properties of the call resource",
    "relationship": "Relationships of the call resource",
    "scenario": "Scenarios of create call",
    "record": "Properties of callRecord",
}
INTRODUCTION = """\
# Coverage of the Graph calling API

For each documented method, property, relationship and scenario: where the call service sets it,
what changes it, and the test that proves it. Made from `tests/contract/coverage.toml` by
`python -m tests.contract.coverage`; a test fails on a line that is missing, or that names a test
that is not there. Where an answer differs from the documentation's example, and why, is in
`tests/contract/deviations.toml`.
"""


@dataclass(frozen=True)
class Line:
    """One covered thing."""

    set: str
    changes: str
    tests: tuple[str, ...]


def documented() -> dict[str, list[str]]:
    """Return the names that need a line, by kind, as the documentation lists them."""
    call = json.loads((HERE / "data/call_resource.json").read_text())
    record = json.loads((HERE / "data/call_record_resource.json").read_text())
    scenarios = sorted(path.stem for path in (HERE / "data/create_call").glob("*.json"))
    return {
        "method": call["methods"],
        "property": call["properties"],
        "relationship": call["relationships"],
        "scenario": scenarios,
        "record": record["properties"],
    }


def table() -> dict[str, dict[str, Line]]:
    """Read coverage.toml: lines by kind and name."""
    raw: Mapping[str, Mapping[str, Any]] = tomllib.loads(TABLE.read_text())
    return {
        kind: {
            name: Line(line["set"], line["changes"], tuple(line["tests"]))
            for name, line in lines.items()
        }
        for kind, lines in raw.items()
    }


def exists(node_id: str) -> bool:
    """Say whether a test of that id is in the tree, with its parameter if it has one."""
    file, _, name = node_id.partition("::")
    path = ROOT / file
    if not path.is_file() or not name:
        return False
    test, _, parameter = name.removesuffix("]").partition("[")
    if parameter and not _is_known(parameter):
        return False
    return test in _functions(path)


def _is_known(parameter: str) -> bool:
    """Say whether a parameter is an example of the data, or drives a request of the SDK."""
    if "/" in parameter:
        return (HERE / "data" / f"{parameter}.json").is_file()
    drivers = (HERE / name for name in ("sdk_calls.py", "sdk_group.py", "test_sdk_records.py"))
    return any(parameter in _functions(path) for path in drivers)


@cache
def _functions(path: Path) -> frozenset[str]:
    """Return the names of a module's functions."""
    nodes = ast.parse(path.read_text()).body
    functions = (n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions)


def page() -> str:
    """Render the table."""
    parts = [INTRODUCTION]
    for kind, lines in table().items():
        parts.append(
            f"\n## {KINDS[kind]}\n\n| name | set by | changed by | proved by |\n|---|---|---|---|\n"
        )
        for name, line in lines.items():
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in line.tests)
            parts.append(f"| {name} | {line.set} | {line.changes} | {tests} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
