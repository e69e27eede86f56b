"""The speakers of a session: a leg each while their own audio is wanted, and who hears whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ..bridge import Bridge, Leg
from .callbacks import Callbacks
from .hub import Hub

MAX_SPEAKERS: Final = 1024
"""More than a meeting lets speak; each costs the tick thread a playout."""
MAX_SOURCE_ID: Final = 2**32 - 1
SPEAKER_RENDER_SLOTS: Final = 2
"""Nobody is told anything through a speaker's leg."""


class Speakers:
    """Opens and closes speakers' legs, and sums them up for the application.

    While there is one, the application hears the speakers' legs; else the link's leg, the far end's
    own mix. So each speaker's frames and the mix are of the same tick, and their sum is the mix.
    Thread: the loop's.
    """

    def __init__(self, bridge: Bridge, link: Leg, application: Leg, hub: Hub) -> None:
        self._bridge, self._link, self._application, self._hub = bridge, link, application, hub
        self._legs: dict[int, Leg] = {}
        self._names: dict[int, str] = {}
        self._claims: set[object] = set()
        self._ask: Callable[[bool], None] = lambda wanted: None
        self.on_speaker: Callbacks[[int, Leg, bool]] = Callbacks("speakers")

    @property
    def legs(self) -> Mapping[int, Leg]:
        """The speakers' legs now, by source id."""
        return MappingProxyType(dict(self._legs))

    @property
    def names(self) -> Mapping[int, str]:
        """What the transport calls the speakers it named, those who left as well."""
        return MappingProxyType(self._names)

    @property
    def wanted(self) -> bool:
        """Whether anybody wants them."""
        return bool(self._claims)

    def claim(self) -> Callable[[], None]:
        """Want each speaker's audio; returns what gives the claim up. Again is no error."""
        key = object()
        self._claims.add(key)
        if len(self._claims) == 1:
            self._hub.tap_speakers(True)
            self._ask(True)

        def give_up() -> None:
            if key not in self._claims:
                return
            self._claims.discard(key)
            if not self._claims:
                self._hub.tap_speakers(False)
                self._ask(False)

        return give_up

    def connect(self, ask: Callable[[bool], None]) -> None:
        """Ask by *ask* for the speakers, from now on."""
        self._ask = ask
        if self._claims:
            ask(True)

    def open(self, source_id: int, name: str | None) -> Leg:
        """Return that speaker's leg, made now if there is none.

        Raises: ValueError on an id out of range; RuntimeError beyond 1024 speakers.
        """
        if not 1 <= source_id <= MAX_SOURCE_ID:
            raise ValueError(f"source_id: expected 1 to {MAX_SOURCE_ID}, got {source_id}")
        leg = self._legs.get(source_id)
        if leg is not None and name is not None:
            self._name(source_id, name)
        return leg or self._add(source_id, name)

    def close(self, source_id: int) -> None:
        """Take that speaker's leg out. One that is not there is no error."""
        leg = self._legs.pop(source_id, None)
        if leg is None:
            return
        self.on_speaker.call(source_id, leg, False)
        self._hub.close_speaker(source_id)
        self._route()
        leg.close()

    def close_all(self) -> None:
        """Take out all of them."""
        for source_id in tuple(self._legs):
            self.close(source_id)

    def _add(self, source_id: int, name: str | None) -> Leg:
        if len(self._legs) >= MAX_SPEAKERS:
            raise RuntimeError(f"expected at most {MAX_SPEAKERS} speakers")
        leg = self._bridge.add_leg(source_id, render_slots=SPEAKER_RENDER_SLOTS)
        self._legs[source_id] = leg
        self._route(leg)
        self._hub.open_speaker(source_id, leg)
        if name is not None:
            # Before the callbacks: they ask for it.
            self._name(source_id, name)
        self.on_speaker.call(source_id, leg, True)
        return leg

    def _name(self, source_id: int, name: str) -> None:
        if source_id not in self._names and len(self._names) >= MAX_SPEAKERS:
            # Of those who left, the first: what is remembered must not grow with the call.
            gone = next((key for key in self._names if key not in self._legs), None)
            if gone is not None:
                del self._names[gone]
        self._names[source_id] = name

    def _route(self, added: Leg | None = None) -> None:
        heard = list(self._legs.values()) or [self._link]
        routes = {self._application: heard, self._link: [self._application]}
        if added is not None:
            routes[added] = []
        self._bridge.set_routes(routes)
