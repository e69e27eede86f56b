"""Nothing documented is forgotten: every name has its line, and every line a living test."""

from __future__ import annotations

import pytest

from tests.contract import coverage

NAMES = [(kind, name) for kind, names in coverage.documented().items() for name in names]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_documented_name_has_a_line(kind: str, name: str) -> None:
    line = coverage.table()[kind][name]
    assert line.set.strip()
    assert line.changes.strip()
    assert line.tests
    for test in line.tests:
        assert test.startswith("tests/")
        assert coverage.exists(test), f"no test {test}"


def test_every_line_is_of_something_known() -> None:
    documented = coverage.documented()
    further = {"method"}
    for kind, lines in coverage.table().items():
        assert kind in coverage.KINDS
        names = list(lines)
        # What the SDK has and the resource's page does not, comes after what the page has.
        assert names[: len(documented[kind])] == documented[kind]
        assert kind in further or len(names) == len(documented[kind])
        for line in lines.values():
            assert all(coverage.exists(test) for test in line.tests)


def test_a_dead_test_would_be_noticed() -> None:
    assert coverage.exists("tests/contract/test_coverage.py::test_a_dead_test_would_be_noticed")
    assert not coverage.exists("tests/contract/test_coverage.py::test_nobody_wrote_this")
    assert not coverage.exists("tests/contract/test_nothing.py::test_a")
    assert not coverage.exists("tests/contract/test_coverage.py")
    drives = "tests/contract/test_sdk.py::test_the_sdk_drives"
    assert coverage.exists(f"{drives}[answer]")
    assert not coverage.exists(f"{drives}[what_the_sdk_has_not]")
    creates = "tests/contract/test_seeds.py::test_create_call"
    assert coverage.exists(f"{creates}[create_call/01_p2p_service_hosted]")
    assert not coverage.exists(f"{creates}[create_call/13_nothing]")


def test_the_page_is_up_to_date() -> None:
    assert coverage.PAGE.read_text() == coverage.page(), "run python -m tests.contract.coverage"
