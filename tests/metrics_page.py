"""The tables of docs/metrics.md: `python -m tests.metrics_page` writes them from the catalogue."""

from __future__ import annotations

import re

from mixminus.control.operation.metrics.catalogue import SECTIONS
from mixminus.control.operation.metrics.spec import MetricSpec
from tests.support import ROOT

PAGE = ROOT / "docs" / "metrics.md"
BEGIN, END = "<!-- the catalogue: begin -->", "<!-- the catalogue: end -->"


def row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels) or "-"
    return f"| `{spec.name}` | {spec.kind} | {labels} | {spec.help} |"


def tables() -> str:
    """Return all metrics as the page shows them."""
    parts = []
    for title, specs in SECTIONS.items():
        head = f"### {title}\n\n| metric | kind | labels | what it is |\n|---|---|---|---|"
        parts.append("\n".join((head, *map(row, specs))))
    return "\n\n".join(parts)


def shown() -> str:
    """Return what the page has between its marks."""
    found = re.search(re.escape(BEGIN) + "\n(.*?)\n" + re.escape(END), PAGE.read_text(), re.S)
    assert found is not None, f"expected {BEGIN} and {END} in {PAGE}"
    return found.group(1).strip()


def main() -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}")


if __name__ == "__main__":
    main()
