"""The packet thread under load, without Python, under the sanitizers and the real-time check."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.native.clib import COMPILER, HERE, SANITIZE, program

pytestmark = pytest.mark.slow

SOURCES = (
    "packet_thread.c",
    "port.c",
    "routes.c",
    "address.c",
    "packet_ring.c",
    "memory.c",
    "demux.c",
    "command.c",
    "graveyard.c",
    "schedule.c",
)
WRAPPED = ("malloc", "calloc", "free", "mmap", "pthread_mutex_lock")
BUILDS = {
    "plain": ("-O2",),
    "rt": (
        "-O2",
        "-DMM_RT_CHECK",
        str(HERE / "rt_guard.c"),
        *(f"-Wl,--wrap={name}" for name in WRAPPED),
    ),
    "asan": SANITIZE,
    "tsan": ("-O1", "-g", "-fsanitize=thread"),
}
CHURN_ROUNDS = {"plain": 200, "rt": 60, "asan": 100, "tsan": 100}


def run(build: str, *arguments: str) -> str:
    flags = (*BUILDS[build], "-Wl,--wrap=epoll_wait")
    target = program(*SOURCES, HERE / "packet_thread_stress.c", flags=flags)
    command = [str(target), *arguments]
    if build == "tsan" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not start here: unexpected memory mapping")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("build", list(BUILDS))
def test_ports_routes_and_peers_come_and_go_under_forged_datagrams(build: str) -> None:
    """Every kind came by, and each datagram is in one counter."""
    said = run(build, "churn", str(CHURN_ROUNDS[build]))
    assert "nothing left behind" in said
    counted = {name: int(count) for name, count in re.findall(r"(\w+) (\d+),", said)}
    apart = ("received", "lapped", "unfetched", "send_failed")
    assert counted["received"] == sum(n for name, n in counted.items() if name not in apart)
    for name in ("routed", "stun", "dtls", "dtls_stranger", "media_stranger", "junk", "oversize"):
        assert counted[name] > 0, said
    assert counted["unreadable"] == 0


@pytest.mark.parametrize("build", ["plain", "tsan"])
def test_a_flooded_port_does_not_keep_another_waiting(build: str) -> None:
    assert "100 routed beside" in run(build, "fair", "100")


@pytest.mark.parametrize("build", ["plain", "asan", "tsan"])
def test_a_port_removed_between_found_and_read_is_freed_after_that(build: str) -> None:
    assert "10 ports freed after they were read" in run(build, "barrier", "10")


@pytest.mark.skipif(not shutil.which("clang") or "clang" in COMPILER, reason="clang beside gcc")
def test_the_other_compiler_has_nothing_to_say() -> None:
    wrapped, shared = ("-O2", "-Wl,--wrap=epoll_wait"), ("-shared", "-fPIC", "-O2")
    assert program(*SOURCES, HERE / "packet_thread_stress.c", flags=wrapped, compiler="clang")
    assert program("outbox.c", "memory.c", HERE / "outbox_kit.c", flags=shared, compiler="clang")
