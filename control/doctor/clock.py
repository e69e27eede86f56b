"""The clocks: one that only goes forward for media, one that agrees with others for tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from .findings import Finding, Level

MONOTONIC: Final = "monotonic clock"
WALL: Final = "wall clock"

READINGS: Final = 8
"""A thread that is interrupted between two readings sees the clocks apart."""
COARSE_S: Final = 0.001
RATE_APART: Final = 0.001
"""0.1 %: a crystal is wrong by 0.01 % at most, and NTP corrects by 0.05 % at most."""
SLOW_SOURCES: Final = frozenset(("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies"))
"""Clock sources that take a system call and a microsecond or more for each reading."""

AGREES_S: Final = 2.0
"""Servers write their Date once a second, a busy one later."""
APART_S: Final = 5.0
"""From here on somebody should look: ACS refuses at 300 s, tokens are given 60 s and more."""
TOO_FAR_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Readings:
    """The clocks, read together."""

    monotonic_s: float
    raw_s: float


def read_clocks() -> Readings:
    """Read the clocks of this machine, as nearly at once as a few tries allow."""
    tries = []
    for _ in range(READINGS):
        before = time.monotonic()
        raw_s = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        took_s = time.monotonic() - before
        tries.append((took_s, Readings(before + took_s / 2, raw_s)))
    return min(tries, key=lambda one: one[0])[1]


def check_monotonic(
    before: Readings, after: Readings, *, resolution_s: float, source: str
) -> Finding:
    """Judge the clock of media, read twice a second or more apart; *source* is the kernel's."""
    passed_s = after.monotonic_s - before.monotonic_s
    raw_s = after.raw_s - before.raw_s
    details = {
        "resolutionNs": round(resolution_s * 1e9),
        "source": source,
        "passedS": round(passed_s, 4),
        "hardwareS": round(raw_s, 4),
    }
    found = f"resolution {resolution_s * 1e9:.0f} ns, source {source or 'unknown'}"
    remedy = "Choose another: /sys/devices/system/clocksource/clocksource0/available_clocksource."
    if passed_s <= 0 or raw_s <= 0:
        return Finding(MONOTONIC, Level.ERROR, "it stands still or goes backward", remedy, details)
    rate = passed_s / raw_s - 1
    if abs(rate) > RATE_APART:
        found = f"it runs {rate:+.2%} beside the hardware's"
        remedy = "Look at NTP (chronyc tracking) and at the hypervisor's clock source."
        return Finding(MONOTONIC, Level.WARNING, found, remedy, details)
    if resolution_s > COARSE_S or source in SLOW_SOURCES:
        return Finding(MONOTONIC, Level.WARNING, found, remedy, details)
    return Finding(MONOTONIC, Level.OK, found, details=details)


def clock_source(root: Path = Path("/sys/devices/system/clocksource/clocksource0")) -> str:
    """Return the kernel's clock source, "" where it does not say."""
    try:
        return (root / "current_clocksource").read_text().strip()
    except OSError:
        return ""


def offset_s(date: str, asked_s: float, answered_s: float) -> float | None:
    """Return how far our clock is ahead of a server's; None when *date* is none.

    *date* is the Date header of an answer (RFC 9110, 5.6.7: whole seconds, cut off); the times are
    Unix's, before and after. What is known is a span; zero is returned when it is in there.
    """
    try:
        theirs_s = parsedate_to_datetime(date).astimezone(UTC).timestamp()
    except (ValueError, TypeError):
        return None
    # The answer was written between the two times, and in the second that the header names.
    least, most = asked_s - (theirs_s + 1.0), answered_s - theirs_s
    if least <= 0.0 <= most:
        return 0.0
    return least if least > 0.0 else most


def check_offset(apart_s: float | None, server: str) -> Finding:
    """Judge our clock against *server*'s; None: nobody could be asked."""
    if apart_s is None:
        return Finding(WALL, Level.OK, "not compared: no server answered with a date")
    details = {"aheadS": round(apart_s, 1), "server": server}
    if abs(apart_s) < AGREES_S:
        found = f"agrees with {server}, to {AGREES_S:g} s"
        return Finding(WALL, Level.OK, found, details=details)
    found = f"{abs(apart_s):.1f} s {'ahead of' if apart_s > 0 else 'behind'} {server}"
    if abs(apart_s) < APART_S:
        return Finding(WALL, Level.OK, found, details=details)
    remedy = "Set it by NTP: `timedatectl set-ntp true`, or chrony. Tokens are refused otherwise."
    level = Level.ERROR if abs(apart_s) >= TOO_FAR_S else Level.WARNING
    return Finding(WALL, level, found, remedy, details)
