"""Stock aiortc: a peer connection a leg, each decoded and encoded; nothing is mixed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Self

from benchmarks.peers.base import Setting
from benchmarks.processes import Child

STOCK_COMPLEXITY = 10
STOCK_SETTING = f"48 kHz stereo, 96 kb/s, c{STOCK_COMPLEXITY}"
"""What aiortc's own encoder is; nothing of it can be set."""


class Aiortc:
    """One process of aiortc. Without a *setting* as it comes. See `base.WebRtcMeasured`.

    *pairs*: each second leg is sent what the one before it says (for delays); else each leg is
    sent speech of its own, and what it says is decoded and left.
    """

    def __init__(
        self, setting: Setting | None, *, cores: Collection[int], pairs: bool = False
    ) -> None:
        self.name = (
            f"aiortc, stock ({STOCK_SETTING})" if setting is None else "aiortc, set as the others"
        )
        self.setting = STOCK_SETTING if setting is None else str(setting)
        self.complexity = STOCK_COMPLEXITY if setting is None else setting.complexity
        self._arguments: tuple[str, ...] = ()
        if setting is not None:
            complexity, bit_rate = str(setting.complexity), str(setting.bit_rate)
            self._arguments = ("--complexity", complexity, "--bit-rate", bit_rate)
        self._cores, self._pairs = cores, pairs
        self._child: Child

    def __enter__(self) -> Self:
        self._child = Child("benchmarks.peers.aiortc_server", *self._arguments, cores=self._cores)
        return self

    def __exit__(self, *error: object) -> None:
        self._child.__exit__(*error)

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._child.pid,)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self._child.ask("facts")
        return facts

    def add_webrtc_legs(self, offers: Sequence[str], room: int = 0) -> list[str]:
        answers: list[str] = self._child.ask("answers", offers=list(offers), pairs=self._pairs)
        return answers
