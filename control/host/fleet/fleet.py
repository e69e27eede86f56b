"""A host among others: it says that it lives, watches them, and takes over what they leave."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from mixminus.media.fence import Fence
from mixminus.media.load import Health

from ...camel import camel
from ...client.models import CallInfo
from ...graph.enums import CallState
from ...operation.admission import Admission
from ...store.base import StoreError
from ...store.host_base import (
    HostCallRow,
    InstanceInUseError,
    InstanceRow,
    StaleOwnerError,
)
from ..rejoin import Rejoin
from .asking import Asking, Json
from .beating import Beating, sayer
from .gate import GraphGate
from .moving import Movable, Moving
from .placement import Placement, preferred
from .reconcile import EngineCall, ask_service, differences
from .takeover import Takeover
from .watching import LOOK_S, BeatWatch

if TYPE_CHECKING:
    from ...client.calls import CallsClient
    from ..call import HostedCall
    from ..calls import HostCalls
    from ..inbox import CallInbox
    from ..keeping import HostKeeping

log = logging.getLogger("mixminus.control.host")

START_S: Final = 10.0
"""How long the start waits for the calls that come back, before it says that the host stands."""

FENCE, BEATS, WATCH = "fence", "beats", "watch"
DRAIN, FEWER, REJOIN, WORD = "drain", "fewer", "rejoin ", "word of "
"""What the tasks are called; those that bring a call back have its lineage after that."""


class HostFleet:
    """What a host has to do with the hosts beside it; alone, with its own calls from before.

    *make* makes a call that another host was asked for; *clock_s* only goes forward.
    Thread: the loop's.
    """

    def __init__(
        self,
        calls: HostCalls,
        keeping: HostKeeping,
        inbox: CallInbox,
        rejoin: Rejoin,
        *,
        fence: Fence,
        gate: GraphGate,
        admission: Admission,
        capacity_calls: int,
        url: Callable[[], str],
        client_of: Callable[[str], CallsClient],
        make: Callable[[Json], Awaitable[Json]],
        clock_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._clock_s = clock_s
        self._calls, self._keeping, self._inbox = calls, keeping, inbox
        self.rejoin, self.fence = rejoin, fence
        self._gate = gate
        self._admission, self._capacity_calls = admission, capacity_calls
        self._url, self._client_of = url, client_of
        self.instance, self.incarnation = keeping.instance, str(uuid.uuid4())
        self.watch = BeatWatch(self.instance)
        self._placement = Placement()
        self.beating = Beating(
            fence,
            say=sayer(
                lambda: keeping.store,
                self.instance,
                self.incarnation,
                load=self._load,
                calls=lambda: len(calls),
                is_draining=lambda: admission.draining,
            ),
            look=self._look_at_own,
            on_stolen=self._be_stolen,
        )
        self.takeover = Takeover(
            self.instance,
            self.watch,
            store=lambda: keeping.store,
            start=self._start_rejoin,
            holds=self._holds,
            may_take=lambda: not admission.draining,
        )
        self.moving = Moving(
            calls=lambda: tuple(calls),
            can_move=self._can_move,
            store=lambda: keeping.store,
            takers=lambda: self._placement.takers(self.instance),
        )
        self.asking = Asking(self.instance, store=lambda: keeping.store, make=make)
        self.on_fewer: Callable[[], Awaitable[None]] | None = None
        """Run by one of the hosts that are left when another died, left or drains."""
        self._takers: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._offs: list[Callable[[], None]] = []
        self._failed: asyncio.Future[None] | None = None

    # Start and end.

    async def start(self) -> None:
        """Enter the fleet, and bring back the calls that are ours in the store.

        Returns once each of them stands here, is closed, or could not be brought back yet.
        Raises: StoreError; InstanceInUseError when a living host has this one's name.
        """
        store = self._keeping.store
        self._failed = asyncio.get_running_loop().create_future()
        await store.register(self._row())
        self._calls.on_found, self._calls.on_link_lost = self._found, self._start_rejoin
        self._gate.arm(self.fence, self._calls.is_left)
        self._offs += [store.on_wake(self._be_woken), self._admission.on_change(self._changed)]
        self._spawn(self.fence.keep(), FENCE)
        self._spawn(self.beating.run(), BEATS)
        count = await self.takeover.begin()
        await self._look_around()
        if count:
            log.info("%s: calls that were its own and come back: %d", self.instance, count)
            await self._settle()
        others = [row.instance for row in self.watch.living if row.instance != self.instance]
        if others:
            log.info("%s: shares its store with %s", self.instance, ", ".join(sorted(others)))
        self._spawn(self._watch(), WATCH)

    async def stop_taking(self) -> None:
        """Take nothing more over, and bring nothing more back: before the calls are ended."""
        self._calls.on_found = self._calls.on_link_lost = None
        await self.asking.close()
        tasks = [task for task in self._tasks if task.get_name() not in (FENCE, BEATS)]
        await _cancel(tasks)

    async def close(self) -> None:
        """Leave the fleet: what is not over by now is another's to take."""
        for off in self._offs:
            off()
        self._offs.clear()
        await _cancel(self._tasks)
        try:
            await self._keeping.store.leave(self.instance, self.incarnation)
        except StoreError as exc:
            log.warning("%s: leaving the fleet: %s", self.instance, exc)

    async def wait_failed(self) -> None:
        """Wait for ever, unless another process takes this one's name: then raise that."""
        assert self._failed is not None
        await asyncio.shield(self._failed)

    # Placement.

    def place(self) -> str:
        """Return the instance that is to have one call more: the one with least to do."""
        return self._placement.choose(self.instance)

    async def ask(self, instance: str, body: Json) -> Json | None:
        """Have *instance* make a call; None when it does not: then it is to be made here.

        Raises: as ``Asking.ask``.
        """
        return await self.asking.ask(instance, body)

    async def owner_of(self, call_id: str) -> str | None:
        """Return which instance has the call of that id, which is not over; None: nobody."""
        row = await self._keeping.store.call_of(call_id)
        return None if row is None or row.is_over else row.owner

    # What is shown.

    async def describe(self) -> dict[str, Any]:
        """Return the instances and the living calls as JSON. Raises: StoreError."""
        store = self._keeping.store
        rows = await store.living()
        return {
            "instance": self.instance,
            "incarnation": self.incarnation,
            "isFenceOpen": self.fence.is_open,
            "standstills": self.fence.standstills,
            "instances": [self._describe_instance(row, rows) for row in await store.instances()],
            "calls": [describe_row(row) for row in rows],
        }

    async def reconcile(self) -> dict[str, Any]:
        """Compare the calls of service, store and this process. Raises: StoreError."""
        rows = await self._keeping.store.living()
        engine = [_engine_call(call) for call in self._calls]
        tenants = {row.call_id: row.tenant_id for row in rows if row.call_id is not None}
        tenants |= {call.id: call.tenant_id for call in self._calls}
        states, failed = await ask_service(tenants, self._client_of)
        return {
            "instance": self.instance,
            "store": len(rows),
            "engine": len(engine),
            "service": sum(state is not None for state in states.values()),
            "unanswered": failed,
            "differences": differences(rows, engine, states, own=self.instance),
        }

    def _describe_instance(self, row: InstanceRow, rows: tuple[HostCallRow, ...]) -> dict[str, Any]:
        owned = sum(call.owner == row.instance for call in rows)
        members = asdict(row)
        members |= {
            "rows": owned,
            "is_alive": not self.watch.is_dead(row.instance),
            "silent_s": round(self.watch.still_s(row.instance), 1),
        }
        return {camel(name): value for name, value in members.items()}

    # The loops.

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            # Who stood still sees a store of the past, until the fence is open again.
            if self.fence.is_open:
                await self._look_around()

    async def _look_around(self) -> None:
        try:
            self.watch.observe(await self._keeping.store.instances(), self._clock_s())
            self._placement.update(self.watch.living)
            self._note_takers()
            readdressed = self.takeover.readdressed
            await self.takeover.look()
            await self.asking.serve()
            if self.takeover.readdressed != readdressed:
                await self._inbox.sweep()
        except StoreError as exc:
            log.debug("looking at the fleet: %s", exc)

    def _note_takers(self) -> None:
        """Notice that a host takes no calls any more: the service may tell it of them."""
        living = [row.instance for row in self.watch.living if not row.is_draining]
        is_fewer = not self._takers <= set(living)
        self._takers = frozenset(living)
        is_ours_to_tell = preferred("webhook", living) == self.instance
        if is_fewer and is_ours_to_tell and self.on_fewer is not None:
            self._spawn(self._tell_fewer(self.on_fewer), FEWER)

    async def _tell_fewer(self, on_fewer: Callable[[], Awaitable[None]]) -> None:
        await on_fewer()

    async def _settle(self) -> None:
        """Wait until the calls that come back have done so, as long as that is reasonable."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_S
        while waiting := [task for task in self._tasks if task.get_name().startswith(REJOIN)]:
            left_s = deadline_s - loop.time()
            if left_s <= 0.0:
                log.warning("%d calls are still on their way back", len(waiting))
                return
            await asyncio.wait(waiting, timeout=left_s)

    async def _bring_back(self, row: HostCallRow) -> None:
        try:
            await self.rejoin.go_on(row)
            await self._inbox.sweep()
        except StoreError as exc:
            log.warning("call %s: coming back: %s", row.call_id, exc)

    # What happens to us.

    def _start_rejoin(self, row: HostCallRow) -> None:
        # No start waits for word of a call without an id: that may take a minute.
        self._spawn(self._bring_back(row), (WORD if row.call_id is None else REJOIN) + row.lineage)

    def _holds(self, row: HostCallRow) -> bool:
        if row.lineage in self.rejoin.busy:
            return True
        call = None if row.call_id is None else self._calls.get(row.call_id)
        return call is not None and not call.is_over

    def _can_move(self, call: Movable) -> bool:
        keep = call.keep
        if keep is None or keep.is_lost or call.is_over or keep.row.call_id is None:
            return False
        if keep.row.state == CallState.INCOMING.value:
            return False
        return keep.row.media == "service" or self._calls.can_join_again(keep.row)

    def _found(self, row: HostCallRow, info: CallInfo) -> None:
        if self.rejoin.found(row, info) or row.lineage in self.rejoin.busy:
            return
        if row.owner is not None or not self._admission.draining:
            self._start_rejoin(row)

    async def _look_at_own(self) -> None:
        """Let go of the calls that are another's by now. Raises: StoreError."""
        ours = {row.lineage: row for row in await self._keeping.store.living(self.instance)}
        for call in tuple(self._calls):
            keep = call.keep
            if keep is None or keep.is_offered:
                continue
            row = ours.get(keep.lineage)
            if row is None or row.epoch != keep.epoch:
                there = await self._keeping.store.lineage(keep.lineage)
                if there is not None and not there.is_over:
                    keep.discard()
                    call.let_go(f"moved to {there.owner or 'another host'}")

    def _be_stolen(self, exc: StaleOwnerError) -> None:
        """Say nothing more: another process is this instance now, and has its calls."""
        log.error("%s: another process has this name: %s", self.instance, exc)
        self.fence.shut("another process has this host's name")
        for call in tuple(self._calls):
            if call.keep is not None:
                call.keep.discard()
                call.let_go(f"another process is {self.instance} now")
        self._fail(InstanceInUseError(f"another process is {self.instance} now: {exc}"))

    def _be_woken(self) -> None:
        self.asking.wake()
        self._wake.set()

    def _changed(self, admission: Admission) -> None:
        self.beating.hurry()
        is_moving = any(task.get_name() == DRAIN for task in self._tasks)
        if admission.draining and not is_moving:
            self._spawn(self.moving.run(), DRAIN)

    def _load(self) -> float:
        # Who is to be given nothing says that by its load: its own limits may be others.
        ratio = self._admission.load.ratio
        return max(ratio, 1.0) if self._admission.health is Health.OVERLOADED else min(ratio, 0.99)

    def _row(self) -> InstanceRow:
        return InstanceRow(
            instance=self.instance,
            incarnation=self.incarnation,
            url=self._url(),
            capacity=self._capacity_calls,
            load=round(self._load(), 4),
            calls=len(self._calls),
            is_draining=self._admission.draining,
            beat=0,
            app_id=self._keeping.app_id,
        )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("the fleet's %s failed", task.get_name(), exc_info=error)
        # A call that cannot come back is one call; a host that says nothing of itself is none.
        if task.get_name() in (FENCE, BEATS, WATCH):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
            # Seen also where nobody waits for it: it is logged.
            self._failed.exception()


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    ended = tuple(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)


def describe_row(row: HostCallRow) -> dict[str, Any]:
    """Return what is shown of a call's row; no secret is in it."""
    return {
        "lineage": row.lineage,
        "epoch": row.epoch,
        "owner": row.owner,
        "callId": row.call_id,
        "tenantId": row.tenant_id,
        "media": row.media,
        "state": row.state,
        "peer": row.peer,
        "reason": row.reason,
    }


def _engine_call(call: HostedCall) -> EngineCall:
    session = call.session
    if session is None:
        return EngineCall(call.id, "service", False)
    return EngineCall(call.id, "app", not session.audio.closed)
