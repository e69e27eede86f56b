"""A conversation's bridge: the legs of its members, and routing applied to them."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from mixminus.media.bridge import Leg
from mixminus.media.platform import MediaPlatform

from .member import Member
from .routing import PrivateRoute, routes, with_wishes
from .speaker_taps import SpeakerTaps

SPEAKING_SLOTS = 64
"""Frames that may wait in a leg that the service itself speaks on (1.28 s)."""


class Mixer:
    """The bridge of one conversation. Numbers all its streams (MSI) from 1.

    A new member hears nobody, and is silent, until the first :meth:`route`.
    Thread: the platform's loop.
    """

    def __init__(self, platform: MediaPlatform) -> None:
        self._bridge = platform.create_bridge()
        self.taps = SpeakerTaps(platform)
        """The speakers apart, for who wants them so."""
        self._last_source_id = 0
        self._heard: dict[Leg, tuple[Leg, ...] | None] = {}
        self._wishes: dict[tuple[str, str], bool] = {}

    def next_source_id(self) -> int:
        """Return the number of a new stream."""
        self._last_source_id += 1
        return self._last_source_id

    def add_leg(
        self,
        source_id: int,
        *,
        max_target_frames: int,
        source_slots: int,
        render_slots: int,
        paced: bool,
        relay: bool,
    ) -> Leg:
        """Add a member's leg; the arguments are those of ``Bridge.add_leg``."""
        leg = self._bridge.add_leg(
            source_id,
            max_target_frames=max_target_frames,
            source_slots=source_slots,
            render_slots=render_slots,
            paced=paced,
            relay=relay,
        )
        self._isolate(leg)
        # A tick may have come in between; what it said is not for this member.
        leg.render.clear()
        return leg

    def add_speaking_leg(self, source_id: int) -> Leg:
        """Add a leg that the service speaks on: nobody reads what it hears."""
        leg = self._bridge.add_leg(source_id, source_slots=SPEAKING_SLOTS, paced=True)
        self._isolate(leg)
        return leg

    def remove_leg(self, leg: Leg) -> None:
        """Take a leg out. Again is no error."""
        self._heard.pop(leg, None)
        leg.close()

    def route(self, members: Collection[Member], groups: Collection[PrivateRoute]) -> None:
        """Say to the bridge whom each member hears, where that changed; all from one tick on."""
        voices = {m.participant_id: (m.leg, *m.voices) for m in members}
        heard = routes(members, groups)
        if self._wishes:
            kept = ((pair, wish) for pair, wish in self._wishes.items() if heard.keys() >= {*pair})
            self._wishes = dict(kept)
            with_wishes(heard, members, self._wishes)
        others = len(self._bridge.legs) - 1
        changed: dict[Leg, tuple[Leg, ...] | None] = {}
        for listener in members:
            speakers = heard[listener.participant_id]
            sources: tuple[Leg, ...] | None
            if len(speakers) == others:
                # All others are what a leg hears by itself, at less cost than by name.
                sources = None
            elif listener.music is not None:
                sources = (listener.music,)
            else:
                heard_voices = chain.from_iterable(map(voices.__getitem__, speakers))
                sources = (*heard_voices, *listener.whispers)
            if self._heard[listener.leg] != sources:
                changed[listener.leg] = sources
        if changed:
            self._bridge.set_routes(changed)
            self._heard |= changed
        if self.taps.are_wanted:
            source_ids = {member.participant_id: member.source_id for member in members}
            self.taps.route(
                {source_ids[key]: legs for key, legs in voices.items()},
                {key: [source_ids[speaker] for speaker in heard[key]] for key in source_ids},
            )

    def wish(
        self,
        listener: Member,
        speaker: Member,
        hears: bool,
        members: Collection[Member],
        groups: Collection[PrivateRoute],
    ) -> None:
        """Have *listener* hear *speaker* or not, whatever groups say, from the next :meth:`route`.

        Until it is wished otherwise, or one of them leaves; what is so anyhow needs no wish.
        """
        pair = listener.participant_id, speaker.participant_id
        self._wishes.pop(pair, None)
        if (pair[1] in routes(members, groups)[pair[0]]) != hears:
            self._wishes[pair] = hears

    def hears(self, listener: Leg, speaker: Leg) -> bool:
        """Say whether what comes on *speaker* goes to *listener* now."""
        sources = self._heard.get(listener, ())
        return listener is not speaker and (sources is None or speaker in sources)

    def _isolate(self, leg: Leg) -> None:
        self._bridge.set_sources(leg, ())
        self._heard[leg] = ()

    def close(self) -> None:
        """Stop mixing. Again is no error."""
        self.taps.close()
        self._heard.clear()
        self._bridge.close()
