"""What happened in a call: kept of the last that are over."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixminus.media.platform import EngineStats

if TYPE_CHECKING:
    from .live_call import LiveCall, StateChange
    from .rooms import Party


@dataclass(frozen=True, slots=True)
class CallReport:
    """What happened in a call, and how fast."""

    app_id: str
    tenant_id: str
    state: str
    states: tuple[StateChange, ...]
    created_at: datetime
    resource: dict[str, Any]
    operations: tuple[tuple[dict[str, Any], datetime], ...]
    """Each as it was last shown, and when it began."""
    legs: dict[str, dict[str, int]]
    transports: dict[str, dict[str, int]]
    engine: EngineStats
    lateness_us: NDArray[np.float32]


def report_of(live: LiveCall) -> CallReport:
    """Report on a call as it is now."""
    platform, operations = live.services.platform, live.operations
    legs, transports = _media_report(live)
    return CallReport(
        app_id=live.app_id,
        tenant_id=live.tenant_id,
        state=live.call.state.value,
        states=tuple(live.states),
        created_at=live.created_at,
        resource=live.row.resource,
        operations=tuple(
            (resource, operations.began_at[resource["id"]]) for resource in operations.all()
        ),
        legs=legs,
        transports=transports,
        engine=platform.stats(),
        lateness_us=platform.lateness_us(live.first_tick),
    )


def _media_report(live: LiveCall) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """Return what became of the frames in each party's leg, and in what carried them.

    The bot is "bot", the first who was met "caller"; others go by their participant ids.
    """
    if not live.has_entered:
        return {}, {}
    parties: dict[str, Party] = {"bot": live}
    for participant_id, party in live.met().items():
        parties["caller" if len(parties) == 1 else participant_id] = party
    legs = {name: asdict(party.member.leg_counters()) for name, party in parties.items()}
    return legs, {name: party.counters() for name, party in parties.items()}
