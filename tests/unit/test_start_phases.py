"""The phases of a start: each from where the one before it ended."""

from __future__ import annotations

import subprocess
import sys
import time

from mixminus.control.operation.start_phases import StartPhases


def test_a_phase_goes_from_the_end_of_the_one_before() -> None:
    now_s, cpu_s = [10.5], [0.4]
    phases = StartPhases(10.0, clock_s=lambda: now_s[0], cpu_s=lambda: cpu_s[0])
    phases.end("imports")
    now_s[0], cpu_s[0] = 12.5, 0.45
    phases.end("store")
    assert phases.described() == {
        "imports": {"ms": 500, "cpuMs": 400},
        "store": {"ms": 2000, "cpuMs": 50},
    }


def test_the_begin_of_a_process_is_the_system_s() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    code = (
        "from mixminus.control.operation.start_phases import process_began_s;"
        "print(process_began_s())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    # It is told in clock ticks.
    assert before_s - 0.01 <= float(told.stdout) <= after_s
