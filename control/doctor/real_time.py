"""Whether the tick threads may run in real time, and what they do here without any call."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mixminus.media.platform import MediaPlatform

from .findings import Finding, Level
from .machine import STOLEN_MOST, cpu_times, stolen_share
from .surroundings import Manager, Rights

PERMISSION: Final = "real-time permission"
JITTER: Final = "timer jitter"
MEASURED_S: Final = 2.0
PRIORITY: Final = 20
"""What remedies ask for, as deploy/ does: the engine takes 10, and 9 for its packet thread."""

LATE_P99_S: Final = 0.005
"""The most at p99 that is expected of a machine without real-time permission."""
LATE_P99_FIFO_S: Final = 0.001
"""The same with it."""
TICK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """What tick threads did for a while: how late their ticks began, in seconds."""

    scheduling: str
    tick_threads: int
    ticks: int
    p50_s: float
    p99_s: float
    max_s: float
    histogram: tuple[tuple[float | None, int], ...]
    """Ticks that began at most so many seconds late (None: any more), each of them once."""
    stolen: float
    """The share of the machine's time that its hypervisor took."""


async def measure(tick_threads: int, seconds: float = MEASURED_S) -> Measured:
    """Run an engine without calls, as a host would, and look at its ticks."""
    before = cpu_times()
    async with MediaPlatform(tick_threads) as platform:
        await asyncio.sleep(seconds)
        recent = platform.recent(seconds)
        distribution = platform.lateness_totals.take()
        stats = platform.stats()
    bounds: tuple[float | None, ...] = (*distribution.bounds_s, None)
    return Measured(
        scheduling=stats.scheduling,
        tick_threads=stats.tick_threads,
        ticks=sum(distribution.counts),
        p50_s=recent.lateness_p50_us / 1e6,
        p99_s=recent.lateness_p99_us / 1e6,
        max_s=recent.lateness_max_us / 1e6,
        histogram=tuple(zip(bounds, distribution.counts, strict=True)),
        stolen=stolen_share(before, cpu_times()),
    )


def check_permission(scheduling: str, rights: Rights, run_by: Manager) -> Finding:
    """Judge how the tick threads were scheduled."""
    details = {
        "scheduling": scheduling,
        "capSysNice": rights.has_sys_nice,
        "rtprioLimit": rights.real_time_priority,
        "noNewPrivileges": rights.no_new_privileges,
        "runBy": run_by,
    }
    if scheduling == "fifo":
        by = "CAP_SYS_NICE" if rights.has_sys_nice else f"RLIMIT_RTPRIO {_said(rights)}"
        return Finding(PERMISSION, Level.OK, f"SCHED_FIFO is granted, by {by}", details=details)
    instead = "nice -10" if scheduling == "nice" else "like any other thread"
    why = f"no CAP_SYS_NICE, RLIMIT_RTPRIO is {_said(rights)}"
    if rights.has_sys_nice:
        why = "the kernel refuses, for all CAP_SYS_NICE: a control group without real-time runtime?"
    return Finding(
        PERMISSION,
        Level.WARNING,
        f"SCHED_FIFO is refused ({why}); tick threads run {instead}",
        remedy(run_by, rights),
        details,
    )


def remedy(run_by: Manager, rights: Rights) -> str:
    """Say how real-time scheduling is granted to a process that is run like this one."""
    if rights.has_sys_nice:
        return (
            "CONFIG_RT_GROUP_SCHED: give the control group cpu.rt_runtime_us, or"
            " `sysctl kernel.sched_rt_runtime_us=-1`."
        )
    ways = {
        "shell": [
            f"For a user: add `USER - rtprio {PRIORITY}` to /etc/security/limits.d/mixminus.conf"
            " and log in again.",
            "For an interpreter: `sudo setcap cap_sys_nice=ep"
            f" {Path(sys.executable).resolve()}` (every script that it runs gets it, too).",
            f"For one start: `sudo prlimit --rtprio={PRIORITY} --pid $$`, then start it in this"
            " shell.",
        ],
        "systemd": [f"In the unit: LimitRTPRIO={PRIORITY} below [Service]."],
        "container": [
            f"Docker, Podman: `--ulimit rtprio={PRIORITY}`; in Compose `ulimits: {{rtprio:"
            f" {PRIORITY}}}`. It works for any user; `--cap-add SYS_NICE` does for root alone.",
        ],
        "kubernetes": [
            "In the container's securityContext: `capabilities: {add: [SYS_NICE]}`. A user other"
            " than root needs an image whose interpreter has the capability, too (setcap"
            " cap_sys_nice=ep), and allowPrivilegeEscalation: true.",
        ],
    }[run_by]
    if rights.no_new_privileges and run_by != "systemd":
        ways.append("NoNewPrivs is set here: capabilities of files are ignored until it is not.")
    return "\n".join(ways)


def check_jitter(measured: Measured) -> Finding:
    """Judge how late ticks began, without any call."""
    found = (
        f"ticks began {_ms(measured.p50_s)} late at p50, {_ms(measured.p99_s)} at p99,"
        f" {_ms(measured.max_s)} at most ({measured.ticks} of {measured.tick_threads}"
        f" thread{'s' * (measured.tick_threads != 1)}); {measured.stolen:.1%} of the time stolen"
    )
    details = {
        "p50Ms": round(measured.p50_s * 1e3, 3),
        "p99Ms": round(measured.p99_s * 1e3, 3),
        "maxMs": round(measured.max_s * 1e3, 3),
        "ticks": measured.ticks,
        "tickThreads": measured.tick_threads,
        "stolen": round(measured.stolen, 4),
        "histogram": [
            {"atMostMs": None if bound is None else round(bound * 1e3, 3), "ticks": count}
            for bound, count in measured.histogram
        ],
    }
    if measured.ticks == 0:
        return Finding(
            JITTER,
            Level.ERROR,
            "no tick began: the tick threads do not run",
            "The machine gives no CPU to a new thread: look at its load and at the control group.",
            details,
        )
    most_s = LATE_P99_FIFO_S if measured.scheduling == "fifo" else LATE_P99_S
    if measured.p99_s <= most_s:
        return Finding(JITTER, Level.OK, found, details=details)
    ways = [f"Expected at most {_ms(most_s)} at p99: look what else runs (top), and move it away."]
    if measured.stolen > STOLEN_MOST:
        ways.append("The hypervisor takes the CPUs away: use dedicated ones.")
    if measured.scheduling != "fifo":
        ways.append(f"Grant real-time scheduling: see {PERMISSION}.")
    level = Level.ERROR if measured.p99_s > TICK_S else Level.WARNING
    return Finding(JITTER, level, found, "\n".join(ways), details)


def _said(rights: Rights) -> str:
    return "unlimited" if rights.real_time_priority is None else str(rights.real_time_priority)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"
