"""Fuzz everything that reads what strangers send, for long: ``python -m tests.native.fuzz.run``.

Each fuzz_*.c is found by itself, with the sources that its test module's TARGETS names: first the
kept corpus and seeded mutations of it under ASan and UBSan, then libFuzzer for --seconds. Then the
Python parsers, by hypothesis, with --examples each. What ended a target is kept in its corpus for
good; what only reached new code stays in build/fuzz, and the next run begins with it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.native.clib import FUZZ, FUZZ_SECONDS, fuzz, replay
from tests.native.codecs import libopus_path

Sources = tuple[str | Path, ...]

SECONDS = 300
RUNS = 5_000
EXAMPLES = 20_000
ROOT = FUZZ.parent.parent.parent
BUILD = ROOT / "build" / "fuzz"
PYTHON_PARSERS = "tests/property/test_hostile_input.py"
ENDED = ("crash-", "leak-", "oom-", "timeout-", "slow-unit-")
"""What libFuzzer calls the input that ended it."""


def targets() -> dict[str, Sources]:
    """Return the sources of each target, from TARGETS of the test modules beside this folder."""
    found: dict[str, Sources] = {}
    for path in sorted(FUZZ.parent.glob("test_*.py")):
        if not re.search(r"^TARGETS\b", path.read_text(), re.MULTILINE):
            continue
        module = importlib.import_module(f"tests.native.{path.stem}")
        for name, sources in module.TARGETS.items():
            if name in found:
                raise ValueError(f"expected one TARGETS with {name!r}, got it again in {path.name}")
            found[name] = tuple(sources)
    return found


def keep_findings(name: str) -> list[Path]:
    """Copy what ended the target into its corpus, where each later run begins with it."""
    kept = []
    corpus = FUZZ / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for path in sorted((BUILD / name).glob("*")):
        if path.name.startswith(ENDED) and not (corpus / path.name).exists():
            kept.append(Path(shutil.copy(path, corpus / path.name)))
    return kept


def executions(said: str) -> int:
    """Return how many inputs libFuzzer ran, from its last line."""
    done = re.findall(r"Done (\d+) runs", said)
    return int(done[-1]) if done else 0


def attempt(what: str, run: Callable[[], str]) -> tuple[bool, str]:
    """Run it, and say how it went."""
    began = time.monotonic()
    try:
        said = run()
    except (AssertionError, subprocess.TimeoutExpired) as exc:
        # Both say what failed, the first with all that the target printed.
        return False, f"{what}: {exc}"
    ran = executions(said)
    told = f", {ran:,} inputs" if ran else ""
    return True, f"{what}: nothing found{told}, {time.monotonic() - began:.0f} s"


def run_target(name: str, sources: Sources, seconds: int, runs: int) -> tuple[bool, list[str]]:
    """Run one target both ways."""
    seed = int(time.time())  # printed by the replay when it fails, and taken there as an argument
    replayed, first = attempt(
        f"{name}, replay", lambda: replay(name, *sources, runs=runs, seed=seed, timeout_s=3600)
    )
    found, second = attempt(f"{name}, libFuzzer", lambda: fuzz(name, *sources, seconds=seconds))
    kept = [f"{name}: kept {path.relative_to(ROOT)}" for path in keep_findings(name)]
    return replayed and found, [first, second, *kept]


def run_python(examples: int) -> tuple[bool, list[str]]:
    """Run the Python parsers; hypothesis keeps what failed in .hypothesis, and prints it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", PYTHON_PARSERS]
    environment = {**os.environ, "MIXMINUS_FUZZ_EXAMPLES": str(examples)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().splitlines()[-1:]
    return done.returncode == 0, last if done.returncode == 0 else [done.stdout, done.stderr]


def main(arguments: list[str] | None = None) -> int:
    """Return 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.native.fuzz.run", description=__doc__)
    default = FUZZ_SECONDS if "MIXMINUS_FUZZ_SECONDS" in os.environ else SECONDS
    parser.add_argument("names", nargs="*", help="targets; all, and the Python parsers, when none")
    parser.add_argument("--seconds", type=int, default=default, help=f"libFuzzer, each ({SECONDS})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of a replay, most ({RUNS})")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of a Python parser")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    parser.add_argument("--list", action="store_true", help="print the targets and stop")
    args = parser.parse_args(arguments)
    every = targets()
    if unknown := set(args.names) - set(every):
        parser.error(f"expected some of {', '.join(every)}, got {', '.join(sorted(unknown))}")
    if args.list:
        print("\n".join(every))
        return 0
    if not shutil.which("clang"):
        parser.error("libFuzzer comes with clang: apt-get install clang")
    os.environ.setdefault("MM_LIBOPUS", libopus_path())
    chosen = args.names or list(every)
    good = True
    with ThreadPoolExecutor(args.jobs) as pool:
        tasks = [pool.submit(run_target, n, every[n], args.seconds, args.runs) for n in chosen]
        if not args.names:
            tasks.append(pool.submit(run_python, args.examples))
        for task in tasks:
            fine, lines = task.result()
            good &= fine
            print("\n".join(lines), flush=True)
    print("nothing found" if good else "FOUND SOMETHING: see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
