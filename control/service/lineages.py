"""One media leg for each call of a bot: which of its sessions, by their epochs, is the present one.

A bot's call keeps its *lineage* (the blob's ``callId``) through all its rejoins, and each of them
has a higher *epoch*. The highest one has the call; what comes with another is from a host that lost
it.
"""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from mixminus.media.descriptor import DescriptorError, MediaSessionDescriptor, read_lineage

from ..graph import errors
from ..graph.requests import MediaConfig
from ..store.base import CallRow

if TYPE_CHECKING:
    from .live_call import LiveCall
    from .member import Member
    from .rooms import Room

log = logging.getLogger("mixminus.control.calls")

KEPT: Final = 20_000
"""Lineages that are remembered without a call: a host that wakes up late finds its epoch used."""

Key: TypeAlias = tuple[str, str, str]
"""Application, tenant, lineage."""


def descriptor_of(config: MediaConfig) -> MediaSessionDescriptor | None:
    """Return what an application says of its media; None when they are the service's.

    Raises: GraphError 400 for a blob that cannot be read.
    """
    if not config.is_app_hosted:
        return None
    try:
        return MediaSessionDescriptor.from_blob(config.blob or "")
    except DescriptorError as error:
        raise errors.invalid_argument(f"mediaConfig.blob: {error}.") from None


@dataclass(slots=True)
class _Entry:
    """What is known of one lineage."""

    begun: int = 0
    """The highest epoch of a call that was begun; 0: none."""
    pending: dict[int, Member | None] = field(default_factory=dict)
    """Epochs of calls that are being made, with the entries that those have in a roster already."""
    call: weakref.ref[LiveCall] | None = None

    @property
    def highest(self) -> int:
        return max(self.begun, *self.pending, 0)

    @property
    def last(self) -> LiveCall | None:
        """The call of the epoch that was begun last, also while it ends; None once it is over."""
        live = None if self.call is None else self.call()
        return None if live is None or live.call.is_over else live

    @property
    def living(self) -> LiveCall | None:
        live = self.last
        return None if live is None or live.call.is_ending else live


class Claim:
    """A lineage's next epoch, held while its call is made. Made by :meth:`Lineages.claim`.

    A context: left without :meth:`begun`, the epoch is free again, and nothing has changed.
    """

    def __init__(self, entry: _Entry | None, epoch: int) -> None:
        self._entry, self._epoch = entry, epoch

    @property
    def older(self) -> LiveCall | None:
        """The living call whose place is taken; None when there is none."""
        return None if self._entry is None else self._entry.living

    def member_in(self, room: Room, kind: str, identity_id: str) -> Member | None:
        """Return the entry that an older call has in *room* under that identity.

        That call may end already, or not be in the store yet: its place is taken all the same.
        """
        entry = self._entry
        if entry is None:
            return None
        found = [member for epoch, member in entry.pending.items() if epoch < self._epoch]
        if entry.last is not None and entry.last.has_entered:
            found.append(entry.last.member)
        for member in found:
            if member is None or (member.kind, member.identity_id) != (kind, identity_id):
                continue
            if room.conversation.members.get(member.participant_id) is member:
                return member
        return None

    def entered(self, member: Member) -> None:
        """Say that *member* is the new call's entry: a later epoch may find it in its place."""
        if self._entry is not None:
            self._entry.pending[self._epoch] = member

    def begun(self, live: LiveCall) -> None:
        """Give *live* the place: it is in the store. The older call ends, its leg at once."""
        entry = self._entry
        if entry is None:
            return
        entry.pending.pop(self._epoch, None)
        if self._epoch < entry.begun:
            # A later one was faster, and is there already.
            live.supersede()
            return
        # Also one that ends: its leg and its entry may be there for as long as the store is away.
        older = entry.last
        entry.begun, entry.call = self._epoch, weakref.ref(live)
        if older is not None:
            log.info("call %s: goes on as call %s, epoch %d", older.id, live.id, self._epoch)
            older.supersede()

    def __enter__(self) -> Self:
        """Hold the epoch."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of an epoch that no call was begun with."""
        if self._entry is not None:
            self._entry.pending.pop(self._epoch, None)


class Lineages:
    """The epochs of all lineages, each application's its own.

    Thread: the loop's.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def claim(
        self, app_id: str, tenant_id: str, descriptor: MediaSessionDescriptor | None
    ) -> Claim:
        """Hold the epoch of *descriptor* for a call that is about to be made with it.

        Media that have no link (None, or a blob without our member) have no lineage: all may.
        Raises: GraphError 409 when the epoch is not higher than all there were.
        """
        if descriptor is None or descriptor.link_secret is None:
            return Claim(None, 1)
        lineage, epoch = descriptor.call_id, descriptor.link_epoch
        entry = self._entry((app_id, tenant_id, lineage.casefold()))
        if epoch <= entry.highest:
            raise errors.stale_epoch(lineage, epoch, entry.highest)
        entry.pending[epoch] = None
        return Claim(entry, epoch)

    def continues(
        self, app_id: str, tenant_id: str, descriptor: MediaSessionDescriptor | None
    ) -> bool:
        """Say whether a call with *descriptor* would take the place of one that lives."""
        if descriptor is None or descriptor.link_secret is None:
            return False
        entry = self._entries.get((app_id, tenant_id, descriptor.call_id.casefold()))
        return entry is not None and entry.living is not None

    def learn(self, row: CallRow) -> None:
        """Take note of a call of an earlier run of this service: its epoch is used up."""
        blob = (row.resource.get("mediaConfig") or {}).get("blob")
        try:
            known = None if blob is None else read_lineage(blob)
        except DescriptorError as error:
            log.warning("call %s: its media configuration cannot be read: %s", row.call_id, error)
            return
        if known is not None:
            lineage, epoch = known
            entry = self._entry((row.app_id, row.tenant_id, lineage.casefold()))
            entry.begun = max(entry.begun, epoch)

    def _entry(self, key: Key) -> _Entry:
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > KEPT:
            oldest, forgotten = next(iter(self._entries.items()))
            if forgotten.pending or forgotten.living is not None:
                # Calls at once have a bound of their own, far below this one.
                self._entries.move_to_end(oldest)
                break
            del self._entries[oldest]
        return entry
