"""A bot host and its store: who the host is in it, and the rows of its calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mixminus.media.descriptor import DescriptorError, read_lineage

from ..client.bodies import Media, ServiceHosted
from ..client.models import CallInfo
from ..store.base import StoreError
from ..store.host_base import HostCallRow
from .durable import LONGEST_RETRY_S, CallKeep
from .errors import StoreBusyError
from .parts import MediaKind, Peer

if TYPE_CHECKING:
    from ..store.host_base import HostStore

log = logging.getLogger("mixminus.control.host")

HOST_STORE_NAME: Final = "host.db"
CLOSE_S: Final = 5.0
"""How long what a store did not take is still tried when the host stops."""


def kept_resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a call's *resource*: all but its media, which hold a secret."""
    return {name: value for name, value in resource.items() if name != "mediaConfig"}


def joining_of(kind: str, body: Mapping[str, Any], media: Media | None = None) -> dict[str, Any]:
    """Return how a call was asked for, so that it can be joined again with media of its own."""
    asked = {key: body[key] for key in body if key not in ("mediaConfig", "callbackUri", "targets")}
    in_default_mix = True if media is None else media.in_default_mix
    return {"kind": kind, "body": asked, "inDefaultMix": in_default_mix}


class HostKeeping:
    """The host's name, its store while that is open, and what still has to be written there.

    *open_store* opens it. Thread: the loop's.
    """

    def __init__(
        self, instance: str, app_id: str, open_store: Callable[[], Awaitable[HostStore]]
    ) -> None:
        self.instance = instance
        self.app_id, self._open_store = app_id, open_store
        self._store: HostStore | None = None
        self._tasks: dict[asyncio.Task[None], CallKeep] = {}
        self._dropped: set[int] = set()
        self._dropping: asyncio.Task[None] | None = None
        self.on_applied: Callable[[Collection[int]], None] = lambda sequences: None
        """Called with the numbers of inbox rows once the store knows that they are done with."""

    @property
    def store(self) -> HostStore:
        """The store.

        Raises: StoreError when it is not open.
        """
        if self._store is None:
            raise StoreError("the host's store is not open")
        return self._store

    @property
    def unwritten(self) -> int:
        """How many calls there are of which something is not in the store yet."""
        return len(self._tasks)

    async def open(self) -> None:
        """Open the store.

        Raises: StoreError, and InstanceInUseError when a living host has this one's name.
        """
        self._store = await self._open_store()

    async def close(self) -> None:
        """Write what waits, as long as that takes no longer than 5 s, and close the store."""
        if self._store is None:
            return
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=CLOSE_S)
        late = [*self._tasks]
        for task, keep in self._tasks.items():
            log.error("call %s: its end is not in the store", keep.row.call_id)
            task.cancel()
        if self._dropping is not None:
            # What stays is looked at again at the next start, and dropped then.
            self._dropping.cancel()
            late.append(self._dropping)
        await asyncio.gather(*late, return_exceptions=True)
        store, self._store = self._store, None
        await store.close()

    def new(
        self,
        *,
        call_id: str | None,
        lineage: str,
        media: MediaKind,
        tenant_id: str,
        state: str,
        resource: Mapping[str, Any],
        peer: Peer,
        joining: Mapping[str, Any],
    ) -> CallKeep:
        """Return the keep of a call that is not in the store yet: once it is written, it is."""
        row = HostCallRow(
            lineage=lineage,
            epoch=1,
            owner=self.instance,
            app_id=self.app_id,
            tenant_id=tenant_id,
            call_id=call_id,
            media=media,
            state=state,
            is_over=False,
            resource=kept_resource(resource),
            peer={"id": peer.id, "displayName": peer.display_name},
            joining=dict(joining),
            saved_state=None,
            reason=None,
        )
        return CallKeep(self, row, is_new=True)

    async def begin(
        self, body: Mapping[str, Any], media: Media, *, kind: str, lineage: str, peer: Peer
    ) -> CallKeep:
        """Write down a call that is about to be asked for, as *body* says.

        Raises: StoreBusyError when the store takes nothing now: then nothing is there.
        """
        keep = self.new(
            call_id=None,
            lineage=lineage,
            media="service" if isinstance(media, ServiceHosted) else "app",
            tenant_id=str(body.get("tenantId", "")),
            state="establishing",
            resource={},
            peer=peer,
            joining=joining_of(kind, body, media),
        )
        try:
            is_written = await keep.written()
        except BaseException:
            _forget(keep)
            raise
        if not is_written:
            _forget(keep)
            raise StoreBusyError("the store of this host is away: it takes no new calls")
        return keep

    def of_row(self, row: HostCallRow) -> CallKeep:
        """Return the keep of a call that is in the store, and ours."""
        return CallKeep(self, row, is_new=False)

    async def close_row(self, row: HostCallRow, reason: str) -> None:
        """Write down that a call is over of which nothing is left here.

        Raises: StoreError; StaleOwnerError when another host has the call.
        """
        await self.store.save_call(replace(row, is_over=True, reason=reason))

    async def find(
        self, info: CallInfo, tenant_id: str, told: str | None = None
    ) -> HostCallRow | None:
        """Return the row of the call that the service describes: by its id, or by its media's name.

        Media of the service's have none: *told* is the lineage at whose address word of it came. It
        says where to look, and no more: a row of another application or tenant than *tenant_id*,
        or of a call that has an id, is not the one.
        Raises: StoreError.
        """
        row = await self.store.call_of(info.id)
        if row is None and (lineage := _lineage_of(info)) is not None:
            row = await self.store.lineage(lineage)
        if row is None and told is not None:
            asked = await self.store.lineage(told)
            if asked is not None and self._is_unanswered(asked, tenant_id):
                row = asked
        return row

    def _is_unanswered(self, row: HostCallRow, tenant_id: str) -> bool:
        """Say whether *row* is of a call of ours in that tenant, of which the id is not known."""
        asked, found = (self.app_id, tenant_id), (row.app_id, row.tenant_id)
        return row.call_id is None and [*map(str.casefold, asked)] == [*map(str.casefold, found)]

    def drop(self, sequence: int) -> None:
        """Have done with a row of the inbox that is about no call of this host."""
        self._dropped.add(sequence)
        if self._dropping is None or self._dropping.done():
            self._dropping = asyncio.create_task(self._drop_all(), name="store inbox")

    def run(self, keep: CallKeep) -> asyncio.Task[None]:
        """Write what *keep* has, in a task of the host's."""
        task = asyncio.create_task(keep.write(), name=f"store {keep.lineage}")
        self._tasks[task] = keep
        task.add_done_callback(self._written)
        return task

    def applied(self, sequences: Collection[int]) -> None:
        """Tell the inbox that its rows of those numbers are done with."""
        if sequences:
            self.on_applied(sequences)

    async def _drop_all(self) -> None:
        while self._dropped:
            sequence = min(self._dropped)
            try:
                await self.store.applied(sequence)
            except StoreError as exc:
                log.warning("the inbox keeps what is about no call here, for now: %s", exc)
                await asyncio.sleep(LONGEST_RETRY_S)
                continue
            self._dropped.discard(sequence)
            self.applied((sequence,))

    def _written(self, task: asyncio.Task[None]) -> None:
        keep = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: writing it failed", keep.row.call_id, exc_info=error)


def _forget(keep: CallKeep) -> None:
    """Have *keep* not written; what a slow store may take all the same is closed there."""
    if keep.is_away:
        keep.discard()
    else:
        keep.note(is_over=True, reason="never asked for: the store was away")


def _lineage_of(info: CallInfo) -> str | None:
    config = info.raw.get("mediaConfig")
    blob = config.get("blob") if isinstance(config, Mapping) else None
    if not isinstance(blob, str):
        return None
    try:
        found = read_lineage(blob)
    except DescriptorError:
        return None
    return None if found is None else found[0]
