"""Print the lowest versions that pyproject.toml allows, as pip constraints: ``make floors``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def floors() -> Iterator[str]:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
        found = re.match(r"([\w.-]+)(?:\[[^]]*])?>=([\d.]+),<", requirement)
        assert found, f"{requirement}: expected NAME>=FLOOR,<CEILING"
        yield f"{found[1]}=={found[2]}.*"


if __name__ == "__main__":
    print("\n".join(floors()))
