"""The engine without Python, under load, as the sanitizers see it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import debian
from tests.support import ROOT

pytestmark = pytest.mark.slow

SOURCES = sorted(p for p in (ROOT / "native").glob("*.c") if not p.name.startswith("module"))
HERE = Path(__file__).parent
BUILDS = {
    "plain": ["-O2"],
    "rt": [
        "-O2",
        "-DMM_RT_CHECK",
        str(HERE / "rt_guard.c"),
        *(f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "free", "mmap")),
        "-Wl,--wrap=pthread_mutex_lock",
    ],
    "asan": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-O1", "-g", "-fsanitize=thread"],
}
ROUNDS = {"plain": 5_000, "rt": 2_000, "asan": 2_000, "tsan": 1_500}
MOST_ROUNDS = 10_000
FRAMES = {"plain": 3_000_000, "rt": 10_000, "asan": 200_000, "tsan": 100_000}


SLOW = {"plain", "asan"}
"""The whole engine takes long to be built; the two that find most are the ones for every run."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in BUILDS
    ],
)
def stress(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    build = str(request.param)
    program = tmp_path_factory.mktemp("stress") / f"stress_{build}"
    done = compile_stress(program, BUILDS[build])
    if done.returncode and build in ("asan", "tsan"):
        debian.install(sanitizer_package())  # the compiler is here without its sanitizers' runtime
        done = compile_stress(program, BUILDS[build])
    assert done.returncode == 0, done.stderr
    return build, program


COMPILER = shutil.which("gcc") or shutil.which("clang") or "cc"


def compile_stress(program: Path, flags: list[str]) -> subprocess.CompletedProcess[str]:
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{ROOT / 'native'}"]
    sources = [*map(str, SOURCES), str(HERE / "stress.c")]
    command = [COMPILER, *warnings, *sources, *flags, "-o", str(program), "-lm", "-ldl"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def sanitizer_package() -> str:
    said = subprocess.run([COMPILER, "-dumpversion"], capture_output=True, text=True, check=True)
    major = said.stdout.split(".")[0].strip()
    return f"libclang-rt-{major}-dev" if "clang" in COMPILER else f"libgcc-{major}-dev"


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # TSan wants addresses where the kernel's randomisation does not always put them.
    command = [str(program), *arguments]
    if program.name.endswith("tsan") and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not start here: unexpected memory mapping")
    return done


def test_lapped_reader_never_gets_a_torn_or_reordered_frame(stress: tuple[str, Path]) -> None:
    build, program = stress
    done = run(program, "ring", str(FRAMES[build]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("read whole and in order") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "rounds", [pytest.param(0, id="some"), pytest.param(MOST_ROUNDS, marks=pytest.mark.soak)]
)
def test_joins_and_leaves_under_load_neither_race_nor_leak(
    stress: tuple[str, Path], rounds: int
) -> None:
    build, program = stress
    done = run(program, "legs", str(rounds or ROUNDS[build]))
    assert done.returncode == 0, done.stderr
    assert "nothing left behind" in done.stdout
