"""What an installed wheel must do, with no sources near: run by the Python it is installed in."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from importlib.metadata import files, version
from pathlib import Path

import mixminus.control
import mixminus.media
from mixminus.media import _native

SITE = Path(sysconfig.get_path("purelib"))
BIN = Path(sysconfig.get_path("scripts"))
PARTS = (
    "mixminus/control/service/static/phone.html",
    "mixminus/control/console/static/index.html",
    "mixminus/media/py.typed",
    "mixminus/media/_native.pyi",
)


def main() -> None:
    for module in (mixminus.control, mixminus.media, _native):
        assert module.__file__ is not None
        assert SITE in Path(module.__file__).parents, f"{module.__file__} is not in {SITE}"
    inside = {str(name) for name in files("mixminus") or ()}
    missing = [name for name in PARTS if name not in inside]
    assert not missing, f"the wheel lacks {missing}"
    sources = [name for name in inside if name.endswith((".c", ".h")) or "tests/" in name]
    assert not sources, f"the wheel has {sources}"
    command("--help")
    assert version("mixminus") in command("version")
    assert command("plugin", "list")
    # A whole call: service, bot host and softphone in three processes, the echo measured.
    command("demo", "--duration", "3", "--out", "call")
    report = json.loads(Path("call/report.json").read_text())
    print(f"  echo correlation {report['echo']['medianCorrelation']:.3f}")


def command(*arguments: str) -> str:
    done = subprocess.run(
        [BIN / "mixminus", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"mixminus {arguments}: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
