"""Two hosts that claim, offer, freeze, die and write: one owner, each notification applied once."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mixminus.control.store.host_base import (
    HostCallRow,
    HostStore,
    Inbound,
    InboxRow,
    StaleOwnerError,
)
from tests.postgres_kit import PostgresServer
from tests.store_kit import Place, PostgresPlace, SqlitePlace

T = TypeVar("T")

NAMES = ("a", "b")
LINES = ("line-0", "line-1", "line-2")
hosts = st.sampled_from(NAMES)
lines = st.sampled_from(LINES)


@dataclass
class Host:
    """What a process has in its memory: it may be old by long."""

    store: HostStore
    rows: dict[str, HostCallRow] = field(default_factory=dict)
    taken: dict[str, list[InboxRow]] = field(default_factory=dict)


@dataclass
class Truth:
    """A call as it must be in the store."""

    owner: str | None
    epoch: int
    saved: int | None = None


class HostOwnership(RuleBasedStateMachine):
    """Plays two hosts against what must be true."""

    def __init__(self, new_place: Callable[[], Place]) -> None:
        super().__init__()
        self.place = new_place()
        self.runner = asyncio.Runner()
        self.hosts = {name: Host(self.run(self.place.open_host(name))) for name in NAMES}
        self.truth: dict[str, Truth] = {}
        self.told: dict[str, str] = {}
        self.applied: Counter[str] = Counter()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    @rule(name=hosts, line=lines)
    def add(self, name: str, line: str) -> None:
        host = self.hosts[name]
        row = HostCallRow(line, 1, name, "app", "t", f"{line}/1", "app", "x", False, {}, {}, {})
        truth = self.truth.setdefault(line, Truth(name, 1))
        fits = (truth.owner, truth.epoch) == (name, 1)
        try:
            self.run(host.store.add_call(row))
        except StaleOwnerError:
            assert not fits
        else:
            assert fits
            truth.saved = None
            host.rows[line] = row

    @rule(name=hosts, line=lines)
    def look(self, name: str, line: str) -> None:
        """See what is there: what it claims afterwards is as old as this."""
        row = self.run(self.hosts[name].store.lineage(line))
        truth = self.truth.get(line)
        assert (row is None) == (truth is None)
        if row is not None and truth is not None:
            assert (row.owner, row.epoch, row.saved_state) == (
                truth.owner,
                truth.epoch,
                truth.saved,
            )
            self.hosts[name].rows[line] = row

    @rule(name=hosts, line=lines)
    def claim(self, name: str, line: str) -> None:
        host, truth = self.hosts[name], self.truth.get(line)
        seen = host.rows.get(line)
        if seen is None:
            return
        row = self.run(host.store.claim(line, seen.epoch, name))
        assert truth is not None
        assert (row is not None) == (seen.epoch == truth.epoch)
        if row is not None:
            truth.owner, truth.epoch = name, truth.epoch + 1
            assert (row.owner, row.epoch) == (name, truth.epoch)
            host.rows[line] = row
            host.taken[line] = []

    @rule(name=hosts, line=lines)
    def offer(self, name: str, line: str) -> None:
        host, truth = self.hosts[name], self.truth.get(line)
        seen = host.rows.get(line)
        if seen is None or truth is None:
            return
        fits = (truth.owner, truth.epoch) == (name, seen.epoch)
        assert self.run(host.store.offer(line, name, seen.epoch)) == fits
        if fits:
            truth.owner = None

    @rule(name=hosts, line=lines)
    def tell(self, name: str, line: str) -> None:
        """A post comes to either host."""
        message_id = f"m-{len(self.told)}"
        self.told[message_id] = line
        receipt = self.run(self.hosts[name].store.receive([self.message(message_id)], name))
        assert len(receipt.local) + receipt.handed_on == 1
        truth = self.truth.get(line)
        assert bool(receipt.local) == (truth is None or truth.owner == name)

    @precondition(lambda self: self.told)
    @rule(name=hosts, data=st.data())
    def tell_again(self, name: str, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.told)))
        receipt = self.run(self.hosts[name].store.receive([self.message(message_id)], name))
        assert receipt.duplicates == 1

    def message(self, message_id: str) -> Inbound:
        line = self.told[message_id]
        return Inbound(message_id, f"{line}/1", "t", {}, lineage=line)

    @rule(name=hosts)
    def read_inbox(self, name: str) -> None:
        """Take what waits for our calls; it is applied later, perhaps much too late."""
        host = self.hosts[name]
        for row in self.run(host.store.waiting(name)):
            if row.lineage in host.rows:
                queue = host.taken.setdefault(row.lineage, [])
                if row.sequence not in {one.sequence for one in queue}:
                    queue.append(row)

    @rule(name=hosts, line=lines, value=st.integers(0, 9))
    def save(self, name: str, line: str, value: int) -> None:
        """Write what this process believes, which is refused if it is not so any more."""
        host, truth = self.hosts[name], self.truth.get(line)
        seen = host.rows.get(line)
        if seen is None or truth is None:
            return
        row, taken = replace(seen, owner=name, saved_state=value), host.taken.pop(line, [])
        fits = (truth.owner, truth.epoch) == (name, seen.epoch)
        try:
            self.run(host.store.save_call(row, [one.sequence for one in taken]))
        except StaleOwnerError:
            assert not fits
            del host.rows[line]
        else:
            assert fits
            host.rows[line], truth.saved = row, value
            self.applied.update(one.message_id for one in taken)

    @rule(name=hosts)
    def die(self, name: str) -> None:
        """Start again with nothing in memory."""
        self.run(self.hosts[name].store.close())
        self.hosts[name] = Host(self.run(self.place.open_host(name)))

    @invariant()
    def nothing_is_applied_twice(self) -> None:
        assert not [one for one, times in self.applied.items() if times > 1]

    def teardown(self) -> None:
        try:
            self.nothing_is_lost()
        finally:
            for host in self.hosts.values():
                self.run(host.store.close())
            self.runner.close()

    def nothing_is_lost(self) -> None:
        """One host goes on with all: what was told of these calls is applied, once."""
        for line in LINES:
            self.look("a", line)
            self.claim("a", line)
        self.read_inbox("a")
        for line in self.truth:
            self.save("a", line, 1)
        wanted = {one for one, line in self.told.items() if line in self.truth}
        assert self.applied == Counter(wanted)


def play(new_place: Callable[[], Place], examples: int) -> None:
    run_state_machine_as_test(
        lambda: HostOwnership(new_place),  # type: ignore[arg-type] # Any callable will do.
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.mark.parametrize("examples", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_two_hosts_on_sqlite(examples: int, tmp_path: Path) -> None:
    play(lambda: SqlitePlace(Path(tempfile.mkdtemp(dir=tmp_path))), examples)


@pytest.mark.slow
def test_two_hosts_on_postgresql(postgres: PostgresServer) -> None:
    place = PostgresPlace(postgres)
    asyncio.run(make_tables(place))

    def emptied() -> Place:
        place.run("TRUNCATE host_calls, host_inbox")
        return place

    play(emptied, 20)


async def make_tables(place: Place) -> None:
    await (await place.open_host("a")).close()
