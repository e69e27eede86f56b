"""The doctor's judgements of the machine: what is found, how bad it is, how it is mended."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixminus.control.doctor import (
    acs,
    certificates,
    clock,
    environment,
    graph,
    libraries,
    limits,
    local,
    machine,
    outside,
    ports,
    real_time,
    situation,
    storage,
    store,
)
from mixminus.control.doctor.clock import (
    Readings,
    check_monotonic,
    check_offset,
    clock_source,
    offset_s,
    read_clocks,
)
from mixminus.control.doctor.environment import check_environment
from mixminus.control.doctor.findings import Finding, Level, worst
from mixminus.control.doctor.libraries import check_libraries
from mixminus.control.doctor.limits import check_open_files
from mixminus.control.doctor.local import lock_holders
from mixminus.control.doctor.machine import check_processor, cpu_times, stolen_share
from mixminus.control.doctor.ports import WantedPort, check_port, owners_of
from mixminus.control.doctor.real_time import Measured, check_jitter, check_permission
from mixminus.control.doctor.surroundings import Manager, Rights, manager, rights
from mixminus.media.libraries import BoundLibrary, CodecLibraries
from tests.support import ROOT

PLAIN = Rights(
    has_sys_nice=False,
    no_new_privileges=False,
    real_time_priority=0,
    open_files=1024,
    open_files_hard=4096,
    locked_bytes=None,
)


def test_a_complaint_has_a_way_out() -> None:
    with pytest.raises(ValueError, match="ports: expected a remedy beside a warning"):
        Finding("ports", Level.WARNING, "in use")
    found = [Finding("a", Level.OK, "x"), Finding("b", Level.WARNING, "x", "mend")]
    assert worst(found) is Level.WARNING
    assert worst([]) is Level.OK


def test_every_check_is_documented() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs/doctor.md").read_text(), re.M)
    documented = [name for row in rows[1:] for name in row.split(", ")]
    modules = (situation, machine, limits, ports, certificates, storage, store, environment, acs)
    checks = {module.CHECK for module in modules}
    checks |= {real_time.PERMISSION, real_time.JITTER, clock.MONOTONIC, clock.WALL}
    checks |= {graph.TOKENS, graph.GRAPH, graph.KEYS, outside.ACS_KEYS, outside.ISSUER}
    checks |= {local.SERVICE, local.HOST, *libraries.PACKAGES}
    assert sorted(documented) == sorted(checks)


# ---- processor -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({}, Level.OK, "x86_64, kernels avx512, 4 CPUs"),
        ({"cpus": 1, "usable": 1.0}, Level.OK, "1 CPU"),
        ({"chosen": "avx2"}, Level.WARNING, "this machine could do avx512"),
        ({"usable": 0.5}, Level.WARNING, "of which the control group leaves 0.5"),
        ({"usable": 2.5}, Level.OK, "of which the control group leaves 2.5"),
        ({"chosen": "scalar", "best": "scalar"}, Level.WARNING, "no AVX2"),
        ({"chosen": "scalar", "best": "scalar", "architecture": "aarch64"}, Level.OK, "aarch64"),
    ],
)
def test_the_processor_is_judged(change: dict[str, object], level: Level, says: str) -> None:
    values: dict[str, object] = {
        "architecture": "x86_64",
        "chosen": "avx512",
        "best": "avx512",
        "cpus": 4,
        "usable": 4.0,
        "environ": {"MIXMINUS_ISA": "avx2"},
    }
    found = check_processor(**{**values, **change})  # type: ignore[arg-type]
    assert found.level is level
    assert says in found.found


def test_stolen_time_is_a_share_of_all_time() -> None:
    before, after = [0] * 10, [50, 0, 20, 20, 0, 0, 0, 10, 50, 0]
    assert stolen_share(before, after) == 0.1
    assert stolen_share(before, before) == 0.0
    assert cpu_times("cpu  1 2 3\ncpu0 1 2 3\n") == [1, 2, 3]
    assert len(cpu_times()) >= 8


# ---- real time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_by", "says"),
    [
        ("shell", ["setcap cap_sys_nice=ep /", "rtprio 20", "prlimit --rtprio=20"]),
        ("systemd", ["LimitRTPRIO=20"]),
        ("container", ["--ulimit rtprio=20", "rtprio: 20"]),
        ("kubernetes", ["SYS_NICE", "setcap", "allowPrivilegeEscalation"]),
    ],
)
def test_how_real_time_is_granted_depends_on_who_starts_it(
    run_by: Manager, says: list[str]
) -> None:
    found = check_permission("nice", PLAIN, run_by)
    assert found.level is Level.WARNING
    assert found.found == (
        "SCHED_FIFO is refused (no CAP_SYS_NICE, RLIMIT_RTPRIO is 0); tick threads run nice -10"
    )
    assert all(one in found.remedy for one in says)


def test_granted_real_time_is_fine_and_says_by_what() -> None:
    by_limit = Rights(False, False, 80, None, None, None)
    by_capability = Rights(True, False, 0, None, None, None)
    assert check_permission("fifo", by_limit, "shell").found.endswith("RLIMIT_RTPRIO 80")
    assert check_permission("fifo", by_capability, "shell").found.endswith("CAP_SYS_NICE")
    refused = check_permission("normal", by_capability, "container")
    assert "control group without real-time runtime" in refused.found
    assert "cpu.rt_runtime_us" in refused.remedy


def test_capabilities_of_files_need_privileges_that_may_grow() -> None:
    held = Rights(False, True, 0, None, None, None)
    assert "NoNewPrivs is set" in check_permission("nice", held, "kubernetes").remedy


def measured(p99_s: float, scheduling: str = "nice", stolen: float = 0.0) -> Measured:
    bounds = ((0.001, 100), (0.02, 0), (None, 0))
    return Measured(scheduling, 2, 100, 0.0001, p99_s, p99_s, bounds, stolen)


@pytest.mark.parametrize(
    ("one", "level", "says"),
    [
        (measured(0.0009, "fifo"), Level.OK, ""),
        (measured(0.003, "nice"), Level.OK, ""),
        (measured(0.003, "fifo"), Level.WARNING, "at most 1.00 ms at p99"),
        (measured(0.006, "nice"), Level.WARNING, "Grant real-time scheduling"),
        (measured(0.006, "nice", 0.1), Level.WARNING, "hypervisor takes the CPUs away"),
        (measured(0.03, "nice"), Level.ERROR, "look what else runs"),
    ],
)
def test_late_ticks_are_judged_by_what_the_scheduling_promises(
    one: Measured, level: Level, says: str
) -> None:
    found = check_jitter(one)
    assert found.level is level
    assert says in found.remedy
    assert found.details["histogram"][0] == {"atMostMs": 1.0, "ticks": 100}
    assert found.details["histogram"][-1] == {"atMostMs": None, "ticks": 0}


def test_no_tick_at_all_is_an_error() -> None:
    found = check_jitter(Measured("nice", 1, 0, 0.0, 0.0, 0.0, (), 0.0))
    assert found.level is Level.ERROR


@pytest.mark.parametrize(
    ("environ", "files", "expected"),
    [
        ({}, [], "shell"),
        ({"INVOCATION_ID": "x"}, [], "systemd"),
        ({"INVOCATION_ID": "x", "TERM": "xterm"}, [], "shell"),
        ({}, [".dockerenv"], "container"),
        ({}, ["run/.containerenv"], "container"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, [".dockerenv"], "kubernetes"),
    ],
)
def test_who_starts_the_process_is_seen(
    tmp_path: Path, environ: dict[str, str], files: list[str], expected: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert manager(environ, tmp_path) == expected


def test_rights_are_read_from_the_kernel() -> None:
    given = rights("Name:\tx\nCapEff:\t0000000000800000\nNoNewPrivs:\t1\n")
    assert (given.has_sys_nice, given.no_new_privileges) == (True, True)
    assert not rights("CapEff:\t0000000000400000\n").has_sys_nice
    assert rights().open_files != 0


@pytest.mark.parametrize(
    ("limit", "calls", "level"),
    [(1024, 500, Level.WARNING), (65_536, 500, Level.OK), (None, 9_999, Level.OK)],
)
def test_open_files_are_counted_for_the_calls_at_once(
    limit: int | None, calls: int, level: Level
) -> None:
    found = check_open_files(Rights(False, False, 0, limit, limit, None), calls)
    assert found.level is level
    if level is Level.WARNING:
        assert "enough for about 149" in found.found
        assert "LimitNOFILE=3128" in found.remedy


# ---- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed_s", "raw_s", "resolution_s", "source", "level"),
    [
        (2.0, 2.0, 1e-9, "tsc", Level.OK),
        (2.0, 2.0005, 1e-9, "kvm-clock", Level.OK),
        (2.0, 2.1, 1e-9, "tsc", Level.WARNING),
        (2.0, 2.0, 0.004, "jiffies", Level.WARNING),
        (2.0, 2.0, 1e-9, "hpet", Level.WARNING),
        (0.0, 2.0, 1e-9, "tsc", Level.ERROR),
        (-1.0, 2.0, 1e-9, "tsc", Level.ERROR),
    ],
)
def test_the_clock_of_media_is_judged(
    passed_s: float, raw_s: float, resolution_s: float, source: str, level: Level
) -> None:
    before, after = Readings(10.0, 20.0), Readings(10.0 + passed_s, 20.0 + raw_s)
    found = check_monotonic(before, after, resolution_s=resolution_s, source=source)
    assert found.level is level


def test_this_machines_clock_goes_forward(tmp_path: Path) -> None:
    before = read_clocks()
    after = read_clocks()
    assert after.monotonic_s >= before.monotonic_s
    assert after.raw_s >= before.raw_s
    assert clock_source(tmp_path) == ""


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_S = 784_111_777.0
"""The example of RFC 9110, 5.6.7, and the same as Unix's time."""


@pytest.mark.parametrize(
    ("asked_s", "answered_s", "apart_s"),
    [
        # The header is cut off to the second: what agrees with any moment of it agrees.
        (DATE_S, DATE_S + 0.1, 0.0),
        (DATE_S + 0.9, DATE_S + 1.0, 0.0),
        (DATE_S - 2.0, DATE_S + 2.0, 0.0),
        (DATE_S + 31.0, DATE_S + 31.5, 30.0),
        (DATE_S - 30.5, DATE_S - 30.0, -30.0),
    ],
)
def test_clocks_are_compared_within_what_a_date_says(
    asked_s: float, answered_s: float, apart_s: float
) -> None:
    assert offset_s(DATE, asked_s, answered_s) == apart_s


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_what_is_no_date_compares_nothing(date: str) -> None:
    assert offset_s(date, 0.0, 1.0) is None


@pytest.mark.parametrize(
    ("apart_s", "level", "says"),
    [
        (None, Level.OK, "not compared"),
        (0.0, Level.OK, "agrees with graph"),
        (1.9, Level.OK, "agrees with graph, to 2 s"),
        (2.0, Level.OK, "2.0 s ahead of graph"),
        (-30.0, Level.WARNING, "30.0 s behind graph"),
        (90.0, Level.ERROR, "90.0 s ahead of graph"),
    ],
)
def test_a_clock_that_is_wrong_is_said(apart_s: float | None, level: Level, says: str) -> None:
    found = check_offset(apart_s, "graph")
    assert found.level is level
    assert says in found.found


# ---- ports ---------------------------------------------------------------------------------------


@pytest.fixture
def used() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def wanted(port: int, **more: object) -> WantedPort:
    return WantedPort("bot host", "host.port", "127.0.0.1", port, **more)  # type: ignore[arg-type]


def test_a_used_port_is_an_error_with_its_owner(used: socket.socket) -> None:
    port = used.getsockname()[1]
    found = check_port(wanted(port))
    assert found.level is Level.ERROR
    assert f"TCP 127.0.0.1 port {port} (bot host) is in use by" in found.found
    assert f"(pid {os.getpid()})" in found.found
    assert found.details["pids"] == [os.getpid()]
    ours = check_port(wanted(port), own_pids={os.getpid()})
    assert ours.level is Level.OK
    assert "is ours" in ours.found
    used.close()
    assert check_port(wanted(port)).level is Level.OK


def test_a_used_udp_port_is_an_error_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert check_port(wanted(port, protocol="udp")).level is Level.ERROR
        assert [owner.pid for owner in owners_of(port, "udp")] == [os.getpid()]
        # The same number of the other protocol is another port.
        assert owners_of(port, "tcp") == []


def test_any_free_port_suits_who_tells_nobody_beforehand() -> None:
    assert check_port(wanted(0)).level is Level.OK
    found = check_port(wanted(0, is_public=True))
    assert found.level is Level.WARNING
    assert "Set host.port" in found.remedy


def test_an_address_that_is_not_ours_is_an_error() -> None:
    found = check_port(WantedPort("call service", "service.port", "192.0.2.7", 9440))
    assert found.level is Level.ERROR
    assert "Set service.bind" in found.remedy


def test_a_socket_of_another_user_has_an_owner_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "   0: 0100007F:24E1 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net/tcp").write_text(f"  sl  local_address\n{row}\n")
    assert [str(one) for one in owners_of(0x24E1, "tcp", tmp_path)] == ["a process of another user"]
    assert owners_of(0x24E2, "tcp", tmp_path) == []


def test_who_holds_a_lock_is_seen(tmp_path: Path) -> None:
    lock = tmp_path / ".service.lock"
    assert lock_holders(lock) == []
    lock.touch()
    inode = lock.stat().st_ino
    (tmp_path / "locks").write_text(
        f"1: FLOCK  ADVISORY  WRITE 123 08:01:{inode} 0 EOF\n"
        f"2: POSIX  ADVISORY  WRITE 124 08:01:{inode} 0 EOF\n"
        "3: FLOCK  ADVISORY  WRITE 125 08:01:1 0 EOF\n"
    )
    assert lock_holders(lock, tmp_path / "locks") == [123]


# ---- libraries and environment -------------------------------------------------------------------


def test_libraries_are_told_with_path_and_version() -> None:
    opus = BoundLibrary("/x/libopus.so", "libopus 1.6")
    found = list(
        check_libraries(CodecLibraries(opus, None, False, ("libsrtp: expected one, found none",)))
    )
    assert [one.level for one in found] == [Level.OK, Level.WARNING]
    assert "/x/libopus.so" in found[0].found
    assert "expected one, found none; callers are carried by aiortc" in found[1].found
    assert "MIXMINUS_LIBSRTP" in found[1].remedy


@pytest.mark.parametrize(
    ("environ", "ca_file", "level", "says"),
    [
        ({}, None, Level.OK, "no variables of other programs"),
        ({"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}, None, Level.OK, "not read here"),
        ({"REQUESTS_CA_BUNDLE": "/corp.pem"}, None, Level.WARNING, "the machine's roots vouch"),
        ({"REQUESTS_CA_BUNDLE": "/corp.pem"}, Path("/corp.pem"), Level.OK, "/corp.pem vouches"),
        ({"HTTPS_PROXY": "http://u:hunter2@proxy"}, None, Level.WARNING, "connections are direct"),
        ({"REQUESTS_CA_BUNDLE": ""}, None, Level.OK, "no variables of other programs"),
    ],
)
def test_variables_of_other_programs_are_told(
    environ: dict[str, str], ca_file: Path | None, level: Level, says: str
) -> None:
    found = list(check_environment(environ, ca_file))
    assert worst(found) is level
    assert any(says in one.found for one in found)
    assert "hunter2" not in str(found)
