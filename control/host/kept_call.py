"""The durable side of a call: its name through all its rejoins, and what its bot keeps of it."""

from __future__ import annotations

import copy
import json
import logging
from abc import abstractmethod
from typing import Any, Final

from ..client.bodies import Options
from ..client.models import CallInfo
from ..graph.enums import CallState
from ..graph.notifications import Notification
from ..remote_state import CallMirror
from .durable import CallKeep
from .keeping import joining_of, kept_resource
from .letters import sequence_of
from .parts import MediaKind
from .waits import CallWaits

log = logging.getLogger("mixminus.control.host")

MAX_SAVED_STATE_BYTES: Final = 64 * 1024


class KeptCall:
    """A call that another process can go on with. Without a store it is only as long as this one.

    Thread: the loop's.
    """

    id: str
    is_rejoined: bool
    """Whether the call came back: it was another process's, or this one's before a stop."""
    end_reason: str | None
    _keep: CallKeep | None
    _mirror: CallMirror
    _waits: CallWaits
    _is_left_alone = _goes_on_here = False

    @property
    def keep(self) -> CallKeep | None:
        """What is in the host's store of this call; None when the host has none of its own."""
        return self._keep

    @property
    def lineage(self) -> str | None:
        """The call's name through all its rejoins, each of which has a Graph id of its own."""
        return None if self._keep is None else self._keep.lineage

    @property
    def epoch(self) -> int:
        """Which owner or rejoin of the call this is, from 1."""
        return 1 if self._keep is None else self._keep.epoch

    @property
    def saved_state(self) -> Any:
        """What the bot last gave :meth:`save_state`, also in another process; None before."""
        return None if self._keep is None else copy.deepcopy(self._keep.row.saved_state)

    async def save_state(self, value: Any) -> bool:
        """Keep *value*, JSON of at most 64 kB, for whoever goes on with this call.

        Returns True once it is in the store; False while that is away or takes longer than 5 s: it
        is written when the store is back, and lost should the host die before. While the host
        drains and offers the call to others it is waited for whose the call is.
        Raises: ValueError when it is no JSON, or too long; CallEndedError when another host has the
        call: it goes on there, with what was saved before; RuntimeError when the host keeps nothing
        of this call.
        """
        keep = self._keep
        if keep is None:
            raise RuntimeError(f"call {self.id}: nothing is kept of it by this host")
        keep.note(saved_state=_checked_state(value))
        while not await keep.written(past_offer=True):
            if keep.is_lost or (keep.is_offered and self._waits.is_ending):
                raise self._waits.over(f"call {self.id}: its state is not saved")
            if not keep.is_offered:
                return False
        return True

    @property
    def is_anothers(self) -> bool:
        """Whether it was let go of to others: it may go on there, under the same id."""
        return self._is_left_alone and not self._goes_on_here

    def let_go(self, reason: str, *, goes_on_here: bool = False) -> None:
        """End the call in this process alone: it goes on at another host, or may.

        With *goes_on_here* at this one, as a call of its own. Nothing is asked of the service, and
        its media are closed without a goodbye.
        """
        self._is_left_alone, self._goes_on_here = True, goes_on_here
        self._end(reason)

    @property
    @abstractmethod
    def info(self) -> CallInfo:
        """All that the service said of the call."""

    @abstractmethod
    def _end(self, reason: str) -> None:
        """Begin the end, once."""

    def _note_kept(self, notification: Notification | None = None) -> None:
        """Note how the call stands, and that *notification* is part of that."""
        if self._keep is None:
            return
        applied = None if notification is None else sequence_of(notification)
        call = self._mirror.call
        if call.is_over:
            # How it ended is noted with the end, in the same write.
            self._keep.note(applied)
            return
        resource = kept_resource(self.info.raw)
        row = self._keep.row
        if (row.state, row.resource, row.call_id) == (call.state.value, resource, self.id):
            self._keep.note(applied)
        else:
            self._keep.note(applied, call_id=self.id, state=call.state.value, resource=resource)

    async def _settle_kept(self) -> None:
        """Have what was noted written, so that a handler never runs ahead of the store by much."""
        if self._keep is not None and not self._mirror.call.is_over:
            await self._keep.settle()

    def _note_answer(self, media: MediaKind, options: Options | None) -> None:
        if self._keep is not None:
            call_options = None if options is None else options.to_json("outgoingCallOptions")
            body = {} if call_options is None else {"callOptions": call_options}
            self._keep.note(media=media, joining=joining_of("incoming", body))

    def _note_kept_end(self, reason: str) -> None:
        if self._keep is None:
            return
        if self._is_left_alone or self._keep.is_offered:
            self._keep.call_ended()
            return
        self._keep.note(
            state=CallState.TERMINATED.value,
            is_over=True,
            reason=reason,
            resource=kept_resource(self.info.raw),
        )

    def _describe_kept(self) -> dict[str, Any]:
        """Return what the admin API shows of this."""
        return {"lineage": self.lineage, "epoch": self.epoch, "isRejoined": self.is_rejoined}

    def _be_lost(self, instance: str) -> None:
        log.warning("call %s: it is %s's now: let go", self.id, instance)
        self.let_go(f"moved to {instance}")


def _checked_state(value: Any) -> Any:
    """Return *value* as the store will give it back.

    Raises: ValueError.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        length_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"expected JSON to be saved: {exc}") from None
    if length_bytes > MAX_SAVED_STATE_BYTES:
        raise ValueError(
            f"expected at most {MAX_SAVED_STATE_BYTES} bytes of JSON to be saved,"
            f" got {length_bytes}"
        )
    return json.loads(text)
