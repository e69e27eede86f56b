"""Who hears whom in a conversation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class Routed(Protocol):
    """What routing looks at in a member."""

    @property
    def participant_id(self) -> str:
        """Its id in groups and routes."""

    @property
    def in_lobby(self) -> bool:
        """Whether it waits to be admitted."""

    @property
    def is_muted(self) -> bool:
        """Whether it is not to be heard."""

    @property
    def is_on_hold(self) -> bool:
        """Whether it is away for a while."""

    @property
    def in_default_mix(self) -> bool:
        """Whether it talks with all others, and not through groups alone."""


class PrivateRoute(Protocol):
    """What routing looks at in an audio routing group: participant ids."""

    @property
    def sources(self) -> Sequence[str] | None:
        """Who speaks."""

    @property
    def receivers(self) -> Sequence[str] | None:
        """Who hears them."""


def routes(members: Iterable[Routed], groups: Iterable[PrivateRoute]) -> dict[str, list[str]]:
    """Return for each participant whom it hears: the default mix, then its groups.

    Nobody hears itself. In the lobby and on hold one hears and is heard by nobody; who is muted is
    heard by nobody. Who is not in the default mix neither hears nor is heard there. A source of a
    group is heard by the receivers of its groups alone, who go on hearing the default mix if they
    are in it. Groups may name participants that are not there.
    """
    members = list(members)
    receivers: dict[str, set[str]] = {}
    for group in groups:
        for source in group.sources or ():
            receivers.setdefault(source, set()).update(group.receivers or ())
    present = [member for member in members if not (member.in_lobby or member.is_on_hold)]
    speaking = [member for member in present if not member.is_muted]
    public = [
        speaker.participant_id
        for speaker in speaking
        if speaker.in_default_mix and speaker.participant_id not in receivers
    ]
    places = {speaker_id: place for place, speaker_id in enumerate(public)}
    private = [
        speaker.participant_id for speaker in speaking if speaker.participant_id in receivers
    ]
    heard: dict[str, list[str]] = {member.participant_id: [] for member in members}
    for listener in present:
        listener_id = listener.participant_id
        hears = heard[listener_id]
        if listener.in_default_mix:
            place = places.get(listener_id, len(public))
            hears += public[:place] + public[place + 1 :]
        for speaker_id in private:
            if speaker_id != listener_id and listener_id in receivers[speaker_id]:
                hears.append(speaker_id)
    return heard


def with_wishes(
    heard: dict[str, list[str]],
    members: Iterable[Routed],
    wishes: Mapping[tuple[str, str], bool],
) -> None:
    """Change *heard* as an operator wishes it of single pairs, ``(listener, speaker)``.

    A wish goes before the default mix and groups, not before the lobby, hold and mute.
    """
    present = {m.participant_id: m for m in members if not (m.in_lobby or m.is_on_hold)}
    for (listener_id, speaker_id), hears in wishes.items():
        speaker = present.get(speaker_id)
        if listener_id not in present or speaker is None or listener_id == speaker_id:
            continue
        speakers = heard[listener_id]
        if not hears and speaker_id in speakers:
            speakers.remove(speaker_id)
        elif hears and speaker_id not in speakers and not speaker.is_muted:
            speakers.append(speaker_id)
