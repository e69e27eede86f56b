"""Our engine: bridges with legs over our RTP and WebRTC transports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Self

from benchmarks.peers.base import Address, Setting
from benchmarks.processes import Child

Carrier = Literal["RTP", "WebRTC"]


class Ours:
    """One engine process. See `base.RtpMeasured` and `base.WebRtcMeasured`."""

    def __init__(
        self, setting: Setting, carrier: Carrier, *, cores: Collection[int], tick_threads: int = 1
    ) -> None:
        self.name = f"mixminus, {carrier}"
        self.setting, self.complexity = str(setting), setting.complexity
        self.carrier = carrier
        self._arguments = (
            *("--tick-threads", str(tick_threads)),
            *("--complexity", str(setting.complexity)),
            *("--bit-rate", str(setting.bit_rate)),
        )
        self._cores = cores
        self._child: Child

    def __enter__(self) -> Self:
        self._child = Child("benchmarks.peers.ours_server", *self._arguments, cores=self._cores)
        return self

    def __exit__(self, *error: object) -> None:
        self._child.__exit__(*error)

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._child.pid,)

    def ask(self, what: str, **fields: Any) -> Any:
        """Ask the engine's process; see `peers.ours_server`."""
        return self._child.ask(what, **fields)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self._child.ask("facts")
        return facts

    def add_rtp_legs(self, far: Sequence[Address], room: int = 0) -> list[Address]:
        legs = self._child.ask("rtp_legs", far=[list(address) for address in far], room=room)
        return [(str(host), int(port)) for host, port in legs]

    def add_webrtc_legs(self, offers: Sequence[str], room: int = 0) -> list[str]:
        answers: list[str] = self._child.ask("webrtc_legs", offers=list(offers), room=room)
        return answers
