"""The demo's report: one JSON document, and the short table that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from ..camel import camel_keys
from .echo import ECHO_GAIN, EchoReport

KINDS = ("voice", "silence", "concealed", "skipped", "late", "trimmed", "sourceLapped")
FLAT_GROWTH_SHARE = 0.05
FLAT_GROWTH_BYTES = 8 << 20
WARM_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one process: (seconds since the call began, bytes), once a second."""

    samples: tuple[tuple[float, int], ...]

    def growth_bytes(self) -> int | None:
        """Growth from the first minute's end to the end; None for a shorter run."""
        settled = [size for at_s, size in self.samples if at_s >= WARM_UP_S]
        if len(settled) < WARM_UP_S:
            return None
        tenth = max(1, len(settled) // 10)
        first, last = settled[:tenth], settled[-tenth:]
        return sum(last) // len(last) - sum(first) // len(first)

    def is_flat(self) -> bool:
        """Whether growth after the first minute stays within 8 MB or 5 %, whichever is more."""
        growth = self.growth_bytes()
        largest = max((size for _, size in self.samples), default=0)
        return growth is None or growth <= max(FLAT_GROWTH_BYTES, FLAT_GROWTH_SHARE * largest)


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All that one demo found out."""

    echo: EchoReport
    input_name: str
    input_s: float
    looped: bool
    duration_s: float
    call_id: str | None
    service: Mapping[str, Any]
    host: Mapping[str, Any]
    softphone: Mapping[str, Any]
    memory: Mapping[str, Memory]
    problems: tuple[str, ...] = field(default=())

    @property
    def failures(self) -> tuple[str, ...]:
        """Why this was not an echo; empty when it was."""
        grown = tuple(
            f"memory of the {name} grew by {memory.growth_bytes()} bytes"
            for name, memory in self.memory.items()
            if not memory.is_flat()
        )
        # Where there was no call to speak of, that is why; what is missing from it says no more.
        return (self.problems or self.echo.failures) + grown

    def hops(self) -> list[tuple[str, Mapping[str, int]]]:
        """Each leg's counters, in the order in which a frame of John's meets them."""
        found = []
        for hop, process, leg in (
            ("softphone plays", self.softphone, "application"),
            ("service hears John", self.service, "caller"),
            ("host hears the call", self.host, "link"),
            ("host hears the bot", self.host, "application"),
            ("service hears the bot", self.service, "bot"),
            ("softphone hears the call", self.softphone, "network"),
        ):
            counters = process.get("legs", {}).get(leg)
            if counters:
                found.append((hop, counters))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types, its keys in camelCase."""
        report = {
            "ok": not self.failures,
            "failures": list(self.failures),
            "missedGoals": list(self.echo.missed),
            "input": {"file": self.input_name, "seconds": self.input_s, "looped": self.looped},
            "durationSeconds": self.duration_s,
            "callId": self.call_id,
            "echo": {**asdict(self.echo), "expectedGain": ECHO_GAIN},
            "hops": [{"hop": hop, **counters} for hop, counters in self.hops()],
            "service": dict(self.service),
            "host": dict(self.host),
            "softphone": dict(self.softphone),
            "memory": {
                name: {"growthBytes": memory.growth_bytes(), "samples": memory.samples}
                for name, memory in self.memory.items()
            },
        }
        return {key: camel_keys(value) for key, value in report.items()}


def print_report(report: DemoReport, console: Console) -> None:
    """Print what happened and how fast, then the verdict."""
    sent = report.service.get("notifications", {}).get("sent", 0)
    received = report.host.get("notifications", {}).get("received", 0)
    console.print(
        f"call {report.call_id or 'none'}: {sent} notifications sent, {received} received"
    )
    tables = (states_table(report), hops_table(report.hops()), ticks_table(report))
    for table in tables:
        if table.row_count:
            console.print(table)
    echo = report.echo
    if echo.windows:
        console.print(
            f"echo: correlation {echo.median_correlation:.3f} (median of {len(echo.windows)} "
            f"active windows), gain {echo.gain:.3f}, longest hole {echo.longest_hole_ms:.0f} ms, "
            f"round trip {echo.round_trip_p50_ms:.0f} ms (max {echo.round_trip_max_ms:.0f} ms)"
        )
    if report.failures:
        for failure in report.failures:
            console.print(f"[red]no proof of an echo[/]: {failure}", highlight=False)
        return
    for goal in echo.missed:
        console.print(f"[yellow]goal missed[/] (is this machine busy?): {goal}")
    console.print("[green]John heard himself, turned over and at half the level.[/]")


def states_table(report: DemoReport) -> Table:
    """Call states with times, as the service had them and as the bot learnt of them."""
    table = Table(title="Call states", title_justify="left", header_style="bold")
    table.add_column("state")
    table.add_column("service, ms", justify="right")
    table.add_column("bot, ms", justify="right")
    at_bot = {entry["state"]: entry["atMs"] for entry in report.host.get("states", [])}
    for entry in report.service.get("states", []):
        known = at_bot.get(entry["state"])
        table.add_row(
            entry["state"], f"{entry['atMs']:.0f}", "" if known is None else f"{known:.0f}"
        )
    return table


def hops_table(hops: Sequence[tuple[str, Mapping[str, int]]]) -> Table:
    """Ticks and frames by kind at each hop."""
    table = Table(title="Frames by kind at each hop", title_justify="left", header_style="bold")
    table.add_column("hop")
    for name in ("ticks", *KINDS):
        table.add_column("lapped" if name == "sourceLapped" else name, justify="right")
    for hop, counters in hops:
        table.add_row(hop, *(f"{counters.get(name, 0):,}" for name in ("ticks", *KINDS)))
    return table


def ticks_table(report: DemoReport) -> Table:
    """How late the ticks of each process started."""
    table = Table(title="Tick lateness, us", title_justify="left", header_style="bold")
    for name in ("process", "scheduling", "p50", "p99", "p99.9", "max", "late", "skipped"):
        table.add_column(name, justify="left" if name in ("process", "scheduling") else "right")
    for process, stats in (
        ("service", report.service),
        ("host", report.host),
        ("softphone", report.softphone),
    ):
        engine = stats.get("engine")
        if not engine:
            continue
        lateness = (engine[f"lateness{q}Us"] for q in ("P50", "P99", "P999", "Max"))
        table.add_row(
            process,
            engine["scheduling"],
            *(f"{value:.0f}" for value in lateness),
            str(engine["lateTicks"]),
            str(engine["skippedTicks"]),
        )
    return table
