"""What calls tell, in either role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ...call_totals import CallTotals
from ...graph.enums import CallState
from .families import Families


def collect_calls(
    families: Families, role: str, states: Iterable[CallState], totals: CallTotals
) -> None:
    """Say how many calls of a role are in which state, and what became of all."""
    living = Counter(dict.fromkeys(CallState, 0))
    living.update(states)
    for state, count in living.items():
        families.gauge("mixminus_calls", count, role=role, state=state.value)
    for direction, count in totals.begun.items():
        families.count("mixminus_calls_begun_total", count, role=role, direction=direction)
    for code, count in totals.ended.items():
        families.count("mixminus_calls_ended_total", count, role=role, code=code)
    families.histogram("mixminus_call_setup_seconds", totals.setup.distribution(), role=role)
    families.histogram("mixminus_call_duration_seconds", totals.length.distribution(), role=role)
