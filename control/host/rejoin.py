"""Going on with calls of another process, or of this one before it stopped: from row to call.

A row is claimed, so that one host alone goes on with it. Then the service is asked what became of
the call: one that is gone is closed; one whose media the service has goes on under its id; one
whose media were the old process's is joined again, where there is a meeting to join.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, Protocol

from ..client.calls import CallsClient
from ..client.errors import CLIENT_ERRORS
from ..client.models import CallInfo
from ..client.requests import GraphRequestError
from ..graph.enums import CallState
from ..histogram import TimeHistogram
from ..journal import Journal
from ..store.base import StoreError
from ..store.host_base import HostCallRow, HostStore, StaleOwnerError

log = logging.getLogger("mixminus.control.host")

AT_ONCE: Final = 20
"""How many calls come back at a time: each is a few requests, and media of its own."""
UNANSWERED_S: Final = 60.0
"""How long word may take of a call whose creation was never answered."""
FIRST_RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0
REFUSED_FOR_S: Final = 60.0
"""How long a refusal that may pass is asked about again; a service that is away: for ever."""
REJOIN_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
JOINING: Final = "joining again"
"""What stands as a row's reason while it is joined again: its old call may be gone by that."""
OVER: Final = frozenset({CallState.TERMINATED, CallState.TERMINATING})
PASSING_STATUS: Final = frozenset({401, 408, 409, 425, 429})
"""Refusals that may be others the next time; and all from 500 on. An epoch that is too low is one:
with each claim it grows."""


class Outcome(StrEnum):
    """What became of a call that was to come back."""

    RESUMED = "resumed"
    """It goes on under its id: the service has its media."""
    JOINED = "joined"
    """It was joined again, with new media."""
    RINGING = "ringing"
    """It came in and nobody had answered: the bot is asked once more."""
    CLOSED = "closed"
    """It was over, or cannot come back: its row says why."""
    TAKEN = "taken"
    """Another host was first."""


class BackCall(Protocol):
    """A call that stands again: ``HostedCall``."""

    id: str


class BackCalls(Protocol):
    """What makes calls of rows: ``HostCalls``."""

    def can_join_again(self, row: HostCallRow) -> bool:
        """Say whether the row has a meeting to join."""
        ...

    async def join_again(self, row: HostCallRow) -> BackCall:
        """Join it with new media."""
        ...

    async def resume(
        self, row: HostCallRow, info: CallInfo, participants: Sequence[Mapping[str, Any]] = ()
    ) -> Any:
        """Go on with it under its id."""
        ...

    def ring_again(self, row: HostCallRow, info: CallInfo) -> Any:
        """Show it to the bot as one that comes in."""
        ...


class Rejoin:
    """Brings calls back to one host.

    *client_of* gives the API with the tokens of a tenant, *store* the host's store; *instance* is
    the host's name in it. *on_back* is called after each call that stands here again.
    Thread: the loop's.
    """

    def __init__(
        self,
        calls: BackCalls,
        *,
        instance: str,
        store: Callable[[], HostStore],
        client_of: Callable[[str], CallsClient],
        journal: Journal,
        on_back: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._calls, self._instance = calls, instance
        self._store, self._client_of = store, client_of
        self._journal, self._on_back, self._sleep = journal, on_back, sleep
        self._room = asyncio.Semaphore(AT_ONCE)
        self._busy: set[str] = set()
        self._awaited: dict[str, asyncio.Future[CallInfo]] = {}
        self.outcomes: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
        self.times = TimeHistogram(REJOIN_BOUNDS_S)
        """From the claim until the call stands here again, in seconds."""

    @property
    def busy(self) -> frozenset[str]:
        """The lineages that are being brought back now."""
        return frozenset(self._busy)

    @property
    def awaited(self) -> frozenset[str]:
        """The lineages of which word is awaited: their creation was never answered."""
        return frozenset(self._awaited)

    def found(self, row: HostCallRow, info: CallInfo) -> bool:
        """Take word of a call whose creation was never answered; False when none is awaited."""
        waiter = self._awaited.get(row.lineage)
        if waiter is None or waiter.done():
            return False
        waiter.set_result(info)
        return True

    async def go_on(self, seen: HostCallRow) -> Outcome:
        """Claim the call of *seen* and bring it back; returns what became of it.

        A service or a store that does not answer is tried until it does. Raises: StoreError when
        the store does not even take the claim: then nothing has changed.
        """
        if seen.lineage in self._busy:
            return Outcome.TAKEN
        self._busy.add(seen.lineage)
        try:
            row = await self._claim(seen)
            outcome = Outcome.TAKEN if row is None else await self._bring_back(row)
        finally:
            self._busy.discard(seen.lineage)
        self.outcomes[outcome] += 1
        if outcome is not Outcome.TAKEN:
            self._journal.record(
                "state",
                seen.call_id,
                f"call of {seen.owner or 'nobody'} in epoch {seen.epoch}: {outcome.value}",
                {"lineage": seen.lineage, "owner": seen.owner, "outcome": outcome.value},
            )
            whose = "ours" if seen.owner == self._instance else f"{seen.owner or 'nobody'}'s"
            log.info("call %s, which was %s: %s", seen.call_id, whose, outcome.value)
        if outcome not in (Outcome.TAKEN, Outcome.CLOSED):
            self._on_back()
        return outcome

    async def _claim(self, row: HostCallRow) -> HostCallRow | None:
        return await self._store().claim(row.lineage, row.epoch, self._instance)

    async def _bring_back(self, row: HostCallRow) -> Outcome:
        loop = asyncio.get_running_loop()
        began_s, attempt = loop.time(), 0
        if row.call_id is None:
            # It takes up nobody's room: nothing is done for it but to wait.
            found = await self._await_word(row)
            if found is None:
                return await self._close(row, "its creation was never answered")
            row = replace(row, call_id=found.id)
        while True:
            try:
                async with self._room:
                    outcome = await self._try(row)
            except StaleOwnerError:
                return Outcome.TAKEN
            except (*CLIENT_ERRORS, StoreError) as exc:
                if is_final(exc, after_s=loop.time() - began_s):
                    return await self._give_up(row, str(exc))
                wait_s = min(FIRST_RETRY_S * 2.0**attempt, LONGEST_RETRY_S)
                log.warning("call %s: coming back: %s; again in %.1f s", row.call_id, exc, wait_s)
                # Spread, so that many do not come at once. No secret depends on it.
                await self._sleep(wait_s * random.uniform(0.75, 1.0))  # noqa: S311
                attempt += 1
                again = await self._claim_again(row)
                if again is None:
                    return Outcome.TAKEN
                row = replace(again, call_id=row.call_id)
                continue
            self.times.observe(loop.time() - began_s)
            return outcome

    async def _claim_again(self, row: HostCallRow) -> HostCallRow | None:
        """Claim *row* once more: what the service took of the last try has used its epoch up."""
        while True:
            try:
                return await self._claim(row)
            except StoreError as exc:
                log.warning("call %s: coming back: %s", row.call_id, exc)
                await self._sleep(LONGEST_RETRY_S)

    async def _await_word(self, row: HostCallRow) -> CallInfo | None:
        waiter: asyncio.Future[CallInfo] = asyncio.get_running_loop().create_future()
        self._awaited[row.lineage] = waiter
        try:
            async with asyncio.timeout(UNANSWERED_S):
                return await waiter
        except TimeoutError:
            return None
        finally:
            del self._awaited[row.lineage]

    async def _try(self, row: HostCallRow) -> Outcome:
        assert row.call_id is not None
        client = self._client_of(row.tenant_id)
        info = await client.get(row.call_id)
        if info is None or info.state in OVER:
            if row.reason == JOINING and self._calls.can_join_again(row):
                # Not ended by the others: by a call of ours whose answer we have not heard.
                return await self._join(client, row, is_there=False)
            return await self._close(row, "over at the service")
        if info.state == CallState.INCOMING:
            self._calls.ring_again(row, info)
            return Outcome.RINGING
        if row.media == "service":
            people: list[Mapping[str, Any]] = []
            if info.meeting is not None or info.chat is not None:
                people = [person.raw for person in await client.participants(row.call_id)]
            await self._calls.resume(row, info, people)
            return Outcome.RESUMED
        # The service knows a meeting that the bot was only invited to.
        row = replace(row, resource={**row.resource, **_kept(info.raw)})
        if self._calls.can_join_again(row):
            return await self._join(client, row, is_there=True)
        await client.delete(info.id)
        return await self._close(row, "a call of two cannot be given other media")

    async def _join(self, client: CallsClient, row: HostCallRow, *, is_there: bool) -> Outcome:
        old_id = row.call_id
        assert old_id is not None
        # First that it is tried, for whoever would have to go on after us in the middle of it.
        row = replace(row, reason=JOINING)
        await self._store().save_call(row)
        back = await self._calls.join_again(replace(row, reason=None))
        self._journal.record(
            "state",
            back.id,
            f"came back in epoch {row.epoch}: it was call {old_id} before",
            {"lineage": row.lineage, "before": old_id},
        )
        log.info("call %s: goes on as call %s, epoch %d", old_id, back.id, row.epoch)
        if is_there:
            try:
                await client.delete(old_id)
            except CLIENT_ERRORS as exc:
                # It has no media, and our service has ended it: it goes by itself.
                log.warning("call %s: its old leg %s: %s", row.lineage, old_id, exc)
        return Outcome.JOINED

    async def _give_up(self, row: HostCallRow, why: str) -> Outcome:
        """End at the service what cannot come back: a leg without media is a ghost."""
        assert row.call_id is not None
        try:
            await self._client_of(row.tenant_id).delete(row.call_id)
        except CLIENT_ERRORS as exc:
            log.warning("call %s: ending it: %s", row.call_id, exc)
        return await self._close(row, why)

    async def _close(self, row: HostCallRow, reason: str) -> Outcome:
        state = CallState.TERMINATED.value
        closed = replace(row, state=state, is_over=True, reason=reason)
        while True:
            try:
                await self._store().save_call(closed)
            except StaleOwnerError:
                return Outcome.TAKEN
            except StoreError as exc:
                log.warning("call %s: closing its row: %s", row.call_id, exc)
                await self._sleep(LONGEST_RETRY_S)
                continue
            self._journal.record("state", row.call_id, f"closed: {reason}")
            log.info("call %s: does not come back: %s", row.call_id, reason)
            return Outcome.CLOSED


def is_final(exc: Exception, *, after_s: float) -> bool:
    """Say whether the service has refused for good, rather than for now, *after_s* of asking."""
    if not isinstance(exc, GraphRequestError) or not 400 <= exc.status < 500:
        return False
    return exc.status not in PASSING_STATUS or after_s > REFUSED_FOR_S


def _kept(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in raw.items() if name != "mediaConfig" and value is not None
    }
