"""C files under test as a shared library or a fuzz program: built once a session, driven by ctypes.

rtp = library("rtp.c")               native/rtp.c, gcc or clang, warnings are errors
toy = library("codec.c", HERE / "toy.c", flags=("-DTOY",))
replay("rtp", "rtp.c", runs=20_000)  fuzz/fuzz_rtp.c under ASan + UBSan: its corpus, then mutations
fuzz("rtp", "rtp.c")                 the same by libFuzzer, for FUZZ_SECONDS
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests import debian

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent.parent / "native"
FUZZ = HERE / "fuzz"
FUZZ_SECONDS = int(os.environ.get("MIXMINUS_FUZZ_SECONDS", "3"))  # each target; hours are welcome
COMPILER = shutil.which("gcc") or shutil.which("clang") or "cc"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{NATIVE}", f"-I{FUZZ}")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# The tail is libm for codecs and libdl, which is part of libc from glibc 2.34 on.
LIBRARIES = ("-lm", "-ldl")


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mixminus-clib-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _path(source: str | Path) -> str:
    path = Path(source)
    return str(path if path.is_absolute() else NATIVE / path)


@cache
def build(
    sources: tuple[str, ...], flags: tuple[str, ...], compiler: str = COMPILER, suffix: str = ""
) -> Path:
    """Compile *sources* into one file, and fail with what the compiler said."""
    done, out = _compile(sources, flags, compiler, suffix)
    if done.returncode and any(flag.startswith("-fsanitize") for flag in flags):
        debian.install(_sanitizer_package(compiler))  # the compiler is here without their runtime
        done, out = _compile(sources, flags, compiler, suffix)
    assert done.returncode == 0, done.stderr
    return out


def _compile(
    sources: tuple[str, ...], flags: tuple[str, ...], compiler: str, suffix: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    key = hashlib.sha256(repr((sources, flags, compiler)).encode()).hexdigest()[:16]
    out = _folder() / f"{Path(sources[-1]).stem}-{key}{suffix}"
    command = [compiler, *WARNINGS, *flags, *sources, "-o", str(out), *LIBRARIES]
    return subprocess.run(command, capture_output=True, text=True, check=False), out


def _sanitizer_package(compiler: str) -> str:
    said = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=True)
    major = said.stdout.split(".")[0].strip()
    return f"libclang-rt-{major}-dev" if "clang" in compiler else f"libgcc-{major}-dev"


def library_path(*sources: str | Path, flags: tuple[str, ...] = ("-O2",)) -> Path:
    """A shared library of *sources* (names in native/, or absolute paths)."""
    every = tuple(_path(source) for source in sources)
    return build(every, ("-shared", "-fPIC", *flags), suffix=".so")


def library(*sources: str | Path, flags: tuple[str, ...] = ("-O2",)) -> ctypes.CDLL:
    """The same, loaded. Set restype and argtypes of what you call: ctypes guesses int."""
    return ctypes.CDLL(str(library_path(*sources, flags=flags)))


def program(*sources: str | Path, flags: tuple[str, ...], compiler: str = COMPILER) -> Path:
    """A program of *sources*."""
    return build(tuple(_path(source) for source in sources), flags, compiler)


def _corpus(name: str) -> list[str]:
    return sorted(str(path) for path in (FUZZ / "corpus" / name).glob("*") if path.is_file())


def replay(
    name: str, *sources: str | Path, runs: int, seed: int = 1, timeout_s: float = 300
) -> str:
    """Run fuzz/fuzz_NAME.c over its kept corpus and *runs* seeded mutations, under ASan + UBSan."""
    target = program(*sources, FUZZ / "replay.c", FUZZ / f"fuzz_{name}.c", flags=SANITIZE)
    command = [str(target), str(seed), str(runs), *_corpus(name)]
    return _run(command, timeout_s)


def fuzz(name: str, *sources: str | Path, seconds: int = FUZZ_SECONDS) -> str:
    """Run fuzz/fuzz_NAME.c by libFuzzer; what it finds stays in build/fuzz/NAME."""
    clang = shutil.which("clang")
    assert clang, "libFuzzer comes with clang: apt-get install clang"
    flags = ("-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
    target = program(*sources, FUZZ / f"fuzz_{name}.c", flags=flags, compiler=clang)
    found = HERE.parent.parent / "build" / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    corpus = FUZZ / "corpus" / name
    folders = [str(found), *([str(corpus)] if corpus.is_dir() else [])]
    prefix = f"-artifact_prefix={found}/"
    command = [str(target), f"-max_total_time={seconds}", "-timeout=10", prefix, *folders]
    return _run(command, seconds + 120)


def _run(command: list[str], timeout_s: float) -> str:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environment
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout + done.stderr
