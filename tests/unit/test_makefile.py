"""A missing tool is named in the first error line, with its Debian package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

TOOLS = ("python3", "cc", "gcc", "git", "make", "sh")


def preflight(tmp_path: Path, without: str) -> subprocess.CompletedProcess[str]:
    """Run the check with a PATH that has every tool but some."""
    found = {name: shutil.which(name) for name in TOOLS}
    found["python3"] = str(Path(sys.base_prefix) / "bin" / "python3")
    for name, path in found.items():
        if name not in without.split() and path:
            (tmp_path / name).symlink_to(os.path.realpath(path))
    # Not a part of the make that may run these tests.
    alone = ["/usr/bin/env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", f"PATH={tmp_path}"]
    return subprocess.run(
        [*alone, "make", "preflight"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ("python3", "apt-get install python3"),
        ("cc gcc clang", "apt-get install gcc libc6-dev"),
        ("git", "apt-get install git"),
    ],
)
def test_what_is_missing_is_named_first(tmp_path: Path, without: str, says: str) -> None:
    done = preflight(tmp_path, without)
    assert done.returncode != 0
    assert says in done.stderr.splitlines()[0]


def test_with_all_there_it_says_nothing(tmp_path: Path) -> None:
    done = preflight(tmp_path, "")
    assert done.returncode == 0, done.stderr


def test_warnings_of_the_documentation_are_errors() -> None:
    # mkdocs counts no warnings when it is told to be quiet.
    makefile = (ROOT / "Makefile").read_text()
    (build,) = re.findall(r"mkdocs build.*", makefile)
    assert "-q" not in build
    assert "\nstrict: true\n" in (ROOT / "mkdocs.yml").read_text()
