"""Print the lowest versions that pyproject.toml allows, as pip constraints: ``make floors``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def floors() -> Iterator[str]:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    parts = (
        extras[name] for name in ("dev", "contract", "aec", "otel", "postgres", "transcript", "vad")
    )
    for requirement in chain(project["dependencies"], *parts):
        if requirement.startswith("mixminus["):
            continue  # our own extras, whose packages are listed by themselves
        found = re.match(r"([\w.-]+)(?:\[[^]]*])?(>=|==)([\d.]+)(,<|\Z)", requirement)
        assert found, f"{requirement}: expected NAME>=FLOOR,<CEILING or NAME==VERSION"
        yield f"{found[1]}=={found[3]}" + (".*" if found[2] == ">=" else "")


if __name__ == "__main__":
    print("\n".join(floors()))
