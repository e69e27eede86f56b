"""Thousands of calls under notifications that are lost, late, doubled and out of order: none lost,
none applied twice.

    python -m tests.sim.notifications --calls 10000 --seed 1

A service's store, state machine and notifier on one side, a whole bot host on the other, between
them a bad way (``tests.sim.mail``), all in virtual time; both stores are SQLite files. Afterwards
the journals are compared: what was written to be told, what each store holds, what the bot heard.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arguments import number, whole

from mixminus.control.graph.notifications import normal_id
from mixminus.control.host.keeping import HOST_STORE_NAME
from mixminus.control.service.keys import SigningKey, new_key_pem
from mixminus.control.service.notifier import Notifier
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.service.tokens import NotificationTokens
from mixminus.control.service.urls import ServiceUrls
from mixminus.control.store.host_base import HostCallRow
from mixminus.control.store.opening import open_store
from tests.sim.bot_side import GRAPH, BotJournal, running_host
from tests.sim.mail import Mail, Weather
from tests.sim.still_loop import run_still, threads_work
from tests.sim.telephony import TENANT, Telephony

CALLS_A_SECOND = 40.0
ENDED_AS_TOLD = "ended by the service"
RECONCILED_S = 90.0
"""Each call is asked after once a minute, with jitter; then a call that is gone has 5 s more."""
CALLBACK = "https://host-{number}.example/api/calls"


@dataclass
class Outcome:
    """What a run came to: ``wrong`` is empty when nothing was lost, doubled or left."""

    calls: int
    seed: int
    counts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    real_s: float = 0.0
    virtual_s: float = 0.0

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: expected {wanted!r}, got {found!r}"[:500])


class Ledger:
    """Writes down what a host's store took for applied, in the order in which it did."""

    def __init__(self, store: Any) -> None:
        self.applied: list[int] = []
        self._save, self._mark = store.save_call, store.applied
        store.save_call, store.applied = self._save_call, self._mark_applied

    async def _save_call(self, row: HostCallRow, applied: Sequence[int] = ()) -> None:
        await self._save(row, applied)
        self.applied += applied

    async def _mark_applied(self, sequence: int) -> None:
        await self._mark(sequence)
        self.applied.append(sequence)


async def simulate(calls: int, seed: int, folder: Path, weather: Weather) -> Outcome:
    """Run *calls* calls and compare all journals. Run it by ``run_still``."""
    began_s, loop = time.monotonic(), asyncio.get_running_loop()
    outcome, chance = Outcome(calls, seed), random.Random(seed)
    key = SigningKey(new_key_pem())
    with threads_work():
        store = await open_store(None, folder / "service.db")
    urls = ServiceUrls(GRAPH, TENANT)
    settings = ServiceSettings(state_dir=folder, notify_give_up_s=86_400.0)
    journal = BotJournal(random.Random(seed + 1))
    began_at_s = loop.time()
    telephony = Telephony(store, lambda call_id: notifier.wake(call_id), CALLBACK, chance)
    async with running_host(folder / "host", journal.bot(), key, telephony.answer_request) as host:
        ledger = Ledger(host.keeping.store)
        mail = Mail(web_app(host), "/api/calls", random.Random(seed + 2), weather)
        notifier = Notifier(store, NotificationTokens(key, urls), mail, settings)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as tasks:
            for number in range(calls):
                await asyncio.sleep(chance.expovariate(CALLS_A_SECOND))
                if number % 2:
                    tasks.create_task(telephony.ring())
                else:
                    tasks.create_task(host.calls.create(user="John", media="service"))
        await telephony.settle()
        await notifier.drain(86_400.0)
        await mail.settle()
        await asyncio.gather(*(call.wait_closed() for call in host.calls))
        outcome.counts = {
            **mail.happened,
            "answers": dict(mail.statuses),
            "graph requests": dict(telephony.asked),
        }
        if weather.swallowed:
            check_ends(outcome, telephony, journal)
        else:
            check_bot(outcome, telephony, journal)
        await notifier.close()
    with threads_work():
        await store.close()
    sent = check_service(outcome, telephony, folder / "service.db")
    is_all = not weather.swallowed
    check_host(outcome, sent, ledger, folder / "host" / HOST_STORE_NAME, is_all=is_all)
    outcome.real_s = time.monotonic() - began_s
    outcome.virtual_s = loop.time() - began_at_s
    return outcome


def web_app(host: Any) -> Any:
    """Return the application of *host*: what its server serves."""
    from mixminus.control.host.web import create_app

    return create_app(host)


def check_bot(outcome: Outcome, telephony: Telephony, journal: BotJournal) -> None:
    """Compare what was said to the bot with what it heard."""
    rings = {
        key for key, life in telephony.lives.items() if life.row.resource["direction"] == "incoming"
    }
    outcome.expect("calls that rang, and how often", journal.rung, Counter(dict.fromkeys(rings, 1)))
    stood = {
        key for key, life in telephony.lives.items() if any('"established"' in b for b in life.told)
    }
    outcome.expect("calls that the bot ran in", set(journal.run) <= stood, True)
    outcome.expect(
        "calls that the bot ran in twice", [k for k, n in journal.run.items() if n > 1], []
    )
    outcome.counts["bots run"] = sum(journal.run.values())
    outcome.counts["ends"] = dict(Counter(journal.ends.values()))
    for key, life in telephony.lives.items():
        said, heard = list(range(1, life.said_tones + 1)), journal.tones.get(key, [])
        if journal.ends.get(key) != ENDED_AS_TOLD:
            # The bot left first, or a GET found the call gone: what was on its way came after that.
            said = said[: len(heard)]
        elif life.people > 1:
            outcome.expect(f"people of {key}", journal.people.get(key), life.people)
        outcome.expect(f"tones of {key}", heard, said)


def check_ends(outcome: Outcome, telephony: Telephony, journal: BotJournal) -> None:
    """See that the bot knew of the end of each call, though nobody may have told it."""
    overdue = {
        key: journal.ended_at_s[key] - life.ended_at_s
        for key, life in telephony.lives.items()
        if key in journal.ended_at_s and life.ended_at_s is not None
    }
    outcome.expect("bots that still run", set(journal.run) - set(journal.ended_at_s), set())
    outcome.counts["end known after s at most"] = round(max(overdue.values(), default=0.0), 1)
    late = {key: age_s for key, age_s in overdue.items() if age_s > RECONCILED_S}
    outcome.expect(f"ends not known after {RECONCILED_S:g} s", late, {})


def check_service(outcome: Outcome, telephony: Telephony, path: Path) -> dict[str, list[str]]:
    """Compare what was written to be told with what the service's store says became of it.

    Returns the ids of the messages by call, in the order in which they were written.
    """
    rows = read(path, "SELECT call_id, message_id, status, body FROM outbox ORDER BY sequence")
    (over,) = read(path, "SELECT count(*) FROM calls WHERE is_over = 1")[0]
    stored: dict[str, list[str]] = {}
    sent: dict[str, list[str]] = {}
    for call_id, message_id, _, body in rows:
        stored.setdefault(normal_id(call_id), []).append(body)
        sent.setdefault(normal_id(call_id), []).append(message_id)
    written = {key: life.told for key, life in telephony.lives.items()}
    outcome.expect("the outbox and the sender's journal are equal", stored == written, True)
    outcome.expect("how notifications ended", {row[2] for row in rows}, {"sent"})
    outcome.expect("calls that are over at the service", over, outcome.calls)
    outcome.counts["notifications"] = len(rows)
    return sent


def check_host(
    outcome: Outcome, sent: dict[str, list[str]], ledger: Ledger, path: Path, *, is_all: bool
) -> None:
    """Compare what was sent with the inbox, and the inbox with what was applied.

    *is_all*: nothing was swallowed on the way, so all must be there.
    """
    rows = read(path, "SELECT sequence, call_id, message_id, is_applied FROM host_inbox")
    came: dict[str, list[str]] = {}
    for _, call_id, message_id, _ in sorted(rows):
        came.setdefault(normal_id(call_id), []).append(message_id.partition("/")[0])
    if is_all:
        outcome.expect("the inbox has what the outbox had, in its order", came == sent, True)
    else:
        # What was swallowed may have a copy that comes late: after what was sent later.
        strange = {key for key, ids in came.items() if not set(ids) <= set(sent[key])}
        outcome.expect("calls whose inbox has what was never sent", strange, set())
    times = Counter(ledger.applied)
    outcome.expect("applied more than once", [n for n, count in times.items() if count > 1], [])
    outcome.expect("applied, and in the inbox", set(times), {row[0] for row in rows})
    outcome.expect("not marked as applied", [row[0] for row in rows if not row[3]], [])
    order: dict[str, list[int]] = {}
    call_of = {row[0]: row[1] for row in rows}
    for sequence in ledger.applied:
        order.setdefault(call_of[sequence], []).append(sequence)
    swapped = [call_id for call_id, taken in order.items() if taken != sorted(taken)]
    outcome.expect("calls whose notifications were applied out of order", swapped, [])
    known = read(path, "SELECT call_id, is_over, state FROM host_calls")
    outcome.expect("rows of calls at the host", len(known), len({row[0] for row in known}))
    outcome.expect("calls that are not over at the host", [k for k in known if not k[1]], [])
    if is_all:
        outcome.expect("calls at the host", {normal_id(k[0]) for k in known}, set(sent))
    outcome.counts["applied"] = len(ledger.applied)


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return what a database that nobody has open says."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def in_memory() -> str | None:
    """Return where files take no disk: nothing here is about power that fails."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run(calls: int, seed: int, weather: Weather | None = None) -> Outcome:
    """Simulate in a directory of its own, in virtual time."""
    thresholds = gc.get_threshold()
    # The journals only grow: to look through them again and again would be a fifth of the run.
    gc.set_threshold(100_000, 50, 1000)
    try:
        with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
            return run_still(simulate(calls, seed, Path(folder), weather or Weather()), seed)
    finally:
        gc.set_threshold(*thresholds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.notifications", description=__doc__)
    parser.add_argument("--calls", type=whole(1), default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--swallowed", type=number(0, 0.5), default=0.0, help="share that never comes"
    )
    parser.add_argument("--out", type=Path, help="write the outcome there, as JSON")
    args = parser.parse_args()
    outcome = run(args.calls, args.seed, Weather(swallowed=args.swallowed))
    if args.out is not None:
        args.out.write_text(json.dumps(asdict(outcome)))
    for what, count in outcome.counts.items():
        print(f"{what}: {count}")
    print(
        f"{outcome.calls} calls, seed {outcome.seed}: {outcome.virtual_s:,.0f} s of virtual time in"
        f" {outcome.real_s:.1f} s"
    )
    for wrong in outcome.wrong[:20]:
        print(f"WRONG {wrong}")
    print(
        "nothing lost, nothing applied twice"
        if not outcome.wrong
        else f"{len(outcome.wrong)} wrong"
    )
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
