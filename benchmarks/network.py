"""What bad networks cost: delay, concealment and PESQ-WB over N0 to N9, losses, steps and drift."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tests.sim.link import PROFILES, Link

from benchmarks import netns, network_plot
from benchmarks.arguments import number, whole
from benchmarks.call import Call, Drift, Pcm, call, codecs, drift, ideal
from benchmarks.speech import Voice, voices
from mixminus.media.pcm import FRAME_SAMPLES

NAME = "network"
COLUMNS = [
    "run", "lost %", "concealed %", "fec %", "p50 ms", "p95 ms", "added p95", "neither", "PESQ",
    "ideal", "ratio",
]  # fmt: skip
LOSSES = (0, 1, 5, 10, 20)
SEEDS, QUICK_SEEDS, PROFILE_SEEDS = 12, 2, 3
PPM = (-200, -50, 50, 200)
DRIFT_HOURS, QUICK_DRIFT_HOURS = 24.0, 0.25
LEAST_DRIFT_HOURS, MOST_DRIFT_HOURS = 0.05, 8760.0  # its first minute is left out
QUICK_PROFILES = ("N0", "N2", "N3", "N6")
LINK_MS, LINK_JITTER_MS = 20, 3  # of the loss table: what loses packets is not quite still either
LATE_SAMPLES = 3200  # PESQ finds the delay by itself, up to this
PESQ_GOALS = {0: 4.0, 1: 3.5, 5: 3.0, 10: 2.6, 20: 1.9}
# Reliability notes, section 4.2: concealed %, added delay p95 in ms, PESQ-WB.
PROFILE_GOALS: dict[str, tuple[float | None, float | None, float | None]] = {
    "N0": (0.0, 60, 4.0), "N1": (0.6, 80, 3.9), "N2": (1.5, 120, 3.5), "N3": (5.5, 180, 2.7),
    "N4": (None, None, 2.6), "N5": (None, None, 1.9), "N8": (None, 400, None),
}  # fmt: skip
TICKS_A_SECOND = 50
STEP_S = (20, 40)  # of N6
OUTAGE_END_S = 25  # of N7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="two seeds, four profiles, a short drift"
    )
    parser.add_argument(
        "--seeds", type=whole(1), default=SEEDS, metavar="N", help="of the loss table (12)"
    )
    parser.add_argument(
        "--hours",
        type=number(LEAST_DRIFT_HOURS, MOST_DRIFT_HOURS),
        default=DRIFT_HOURS,
        help="of drift, virtual (24)",
    )
    parser.add_argument("--synthesise", action="store_true", help="own voices, not espeak-ng's")
    parser.add_argument(
        "--namespaces", action="store_true", help="N1 to N5 in real time over two namespaces (root)"
    )


# ---- one run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One call over one link, and what of it is judged: (begin, end) in samples, each a voice."""

    name: str
    pcm: Pcm
    parts: tuple[tuple[int, int], ...]
    link: Link
    seed: int


@dataclass(frozen=True)
class Found:
    run: Run
    call: Call
    scores: tuple[tuple[float, float], ...]  # PESQ-WB of ours and of ideal buffering, a part each


def has_pesq() -> bool:
    return importlib.util.find_spec("pesq") is not None


def pesq(clean: Pcm, heard: Pcm) -> float:
    # ITU-T P.862.2; optional, and without types.
    return float(importlib.import_module("pesq").pesq(16000, clean, heard, "wb"))


def carry_out(run: Run) -> Found:
    """In a process of its own: the native parts and libopus are bound in each."""
    made = call(run.pcm, run.link, run.seed)
    scores = []
    if has_pesq():
        ours, best = made.heard.pcm.reshape(-1), ideal(made.said)
        late = int(np.nanmedian(made.delay_ms) * 16)
        for begin, end in run.parts:
            clean = run.pcm[begin:end]
            scores.append(
                (
                    pesq(clean, ours[begin : end + late + FRAME_SAMPLES]),
                    pesq(clean, best[begin : end + FRAME_SAMPLES]),
                )
            )
    return Found(run, made, tuple(scores))


def carry_out_drift(task: tuple[Pcm, float, float]) -> Drift:
    return drift(*task)


# ---- what is run ---------------------------------------------------------------------------------


def loss_runs(spoken: list[Voice], seeds: int) -> Iterator[Run]:
    """Each voice twice over: by the second time the call has found its delay and its redundancy."""
    for percent in LOSSES:
        link = Link(LINK_MS, LINK_JITTER_MS, loss=percent / 100)
        for voice in spoken:
            once = len(voice.pcm)
            for seed in range(1, seeds + 1):
                yield Run(
                    f"{percent} % loss", np.tile(voice.pcm, 2), ((once, 2 * once),), link, seed
                )


def profile_runs(spoken: list[Voice], names: list[str], seeds: int) -> Iterator[Run]:
    """A good minute: all four voices, twice; the first part is the call's beginning."""
    rows = [voice.pcm for voice in spoken] * 2
    begin = np.cumsum([0, *(len(row) for row in rows)])
    while begin[-1] < 62 * 16000:  # an outage's aftermath is to be seen, whatever the voices
        rows.append(rows[len(rows) % len(spoken)])
        begin = np.cumsum([0, *(len(row) for row in rows)])
    parts = tuple((int(a), int(b)) for a, b in pairwise(begin))
    whole = np.concatenate(rows)
    for name in names:
        for seed in range(1, seeds + 1):
            yield Run(name, whole, parts, PROFILES[name], seed)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.namespaces:
        return netns.measure(args)
    began = time.monotonic()
    spoken, how = voices(synthesise=args.synthesise)
    names = list(QUICK_PROFILES if args.quick else PROFILES)
    runs = [
        *profile_runs(spoken, names, 1 if args.quick else PROFILE_SEEDS),
        *loss_runs(spoken, min(QUICK_SEEDS, args.seeds) if args.quick else args.seeds),
    ]
    hours = min(args.hours, QUICK_DRIFT_HOURS) if args.quick else args.hours
    ppm = (PPM[0], PPM[-1]) if args.quick else PPM
    every = np.concatenate([voice.pcm for voice in spoken])
    codecs()  # built once, before the processes that need it
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drifts = pool.map(carry_out_drift, [(every, n, hours) for n in ppm])
        found = list(pool.map(carry_out, runs))
        drifted = dict(zip(ppm, drifts, strict=True))
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(one.run.name, []).append(one)
    rows = [row(name, group) for name, group in groups.items()]
    rows += [drift_row(n, hours, one) for n, one in drifted.items()]
    taken_s = round(time.monotonic() - began)
    return {
        "benchmark": NAME,
        "title": "Opus 32 kb/s: our encoder, a link in virtual time, our receiver, reports back",
        "speech": how,
        "seconds": taken_s,
        "absent": [] if has_pesq() else ["PESQ: pip install pesq"],
        "notes": [
            f"Speech by {how}; {len(runs)} calls, {len(ppm)} drifts: {taken_s} s of wall time."
        ],
        "columns": COLUMNS,
        "rows": rows,
        "goals": [
            *profile_goals(groups),
            *loss_goals(groups),
            *drift_goals(drifted, hours),
            ledger_goal(found),
        ],
        "step": step_series(groups["N6"][0].call),
    }


# ---- rows ----------------------------------------------------------------------------------------


def row(name: str, group: list[Found]) -> dict[str, Any]:
    def mean(of: Callable[[Call], float]) -> float:
        return float(np.mean([of(one.call) for one in group]))

    ours, best = scores(group)
    return {
        "run": name,
        "calls": len(group),
        "lost %": 100 * mean(lambda c: c.lost_ratio),
        "concealed %": 100 * mean(lambda c: c.concealed_ratio),
        "fec %": 100 * mean(lambda c: c.fec_ratio),
        "p50 ms": mean(lambda c: c.percentile_ms(50)),
        "p95 ms": mean(lambda c: c.percentile_ms(95)),
        "added p95": mean(lambda c: c.added_ms(95)),
        "neither": sum(one.call.neither for one in group),
        "PESQ": ours,
        "ideal": best,
        "ratio": ours / best if ours is not None and best is not None else None,
    }


def drift_row(ppm: float, hours: float, one: Drift) -> dict[str, Any]:
    return {
        "run": f"N9 {ppm:+g} ppm, {hours:g} h",
        "concealed %": 100 * one.concealed / (hours * 3600 * TICKS_A_SECOND),
        "neither": one.neither,
        "underruns": one.underruns,
        "overruns": one.overruns,
        "delay range ms": one.delay_range_ms,
        "estimated ppm": one.drift_ppm,
    }


def scores(group: list[Found]) -> tuple[float | None, float | None]:
    pairs = [pair for one in group for pair in one.scores]
    if not pairs:
        return None, None
    ours, best = np.mean(pairs, axis=0)
    return float(ours), float(best)


# ---- goals ---------------------------------------------------------------------------------------


def goal(what: str, measured: float, met: bool) -> dict[str, Any]:
    return {"what": what, "measured": float(measured), "met": bool(met)}


def at_most(what: str, measured: float, limit: float) -> dict[str, Any]:
    return goal(f"{what} <= {limit:g}", measured, measured <= limit)


def at_least(what: str, measured: float, limit: float) -> dict[str, Any]:
    return goal(f"{what} >= {limit:g}", measured, measured >= limit)


def profile_goals(groups: dict[str, list[Found]]) -> Iterator[dict[str, Any]]:
    for name, (concealed, added, score) in PROFILE_GOALS.items():
        if not (group := groups.get(name)):
            continue
        found = row(name, group)
        if concealed is not None:
            yield at_most(f"{name}: concealed %", found["concealed %"], concealed)
        if added is not None:
            yield at_most(f"{name}: added delay p95, ms", found["added p95"], added)
        if score is not None and found["PESQ"] is not None:
            yield at_least(f"{name}: PESQ-WB", found["PESQ"], score)
    if group := groups.get("N6"):
        yield from step_goals([one.call for one in group])
    if group := groups.get("N7"):
        yield from outage_goals([one.call for one in group])


def between(delay: Any, begin: float, end: float) -> Any:
    return delay[round(begin * TICKS_A_SECOND) : round(end * TICKS_A_SECOND)]


def step_goals(calls: list[Call]) -> Iterator[dict[str, Any]]:
    """100 ms more from second 20 on, and gone again at second 40."""
    begin, end = STEP_S
    settled, backs = [], []
    for one in calls:
        later = between(one.delay_ms, begin, end)
        aim = np.nanmedian(later[len(later) // 2 :])
        unsettled = np.flatnonzero(~(np.abs(later - aim) <= 20))  # NaN where nothing was played
        settled.append((unsettled[-1] + 1) / TICKS_A_SECOND if len(unsettled) else 0.0)
        before = np.nanmedian(between(one.delay_ms, begin - 5, begin))
        backs.append(np.nanmax(between(one.delay_ms, end + 10, end + 20)) - before)
    yield at_most("N6: +100 ms settles, s", max(settled), 2)
    yield at_most("N6: over the old delay 10 s after it ended, ms", max(backs), 20)


def outage_goals(calls: list[Call]) -> Iterator[dict[str, Any]]:
    audible, backs = [], []
    for one in calls:
        after = one.delay_ms[OUTAGE_END_S * TICKS_A_SECOND :]
        audible.append(np.flatnonzero(np.isfinite(after))[0] / TICKS_A_SECOND)
        before = np.nanmedian(between(one.delay_ms, 15, 20))
        backs.append(np.nanmax(after[5 * TICKS_A_SECOND :]) - before)
    yield at_most("N7: audio is back, s after 5 s of nothing", max(audible), 1)
    yield at_most("N7: over the old delay 5 s later, ms", max(backs), 20)


def loss_goals(groups: dict[str, list[Found]]) -> Iterator[dict[str, Any]]:
    for percent, least in PESQ_GOALS.items():
        group = groups[f"{percent} % loss"]
        made = [one.call for one in group]
        neither = sum(one.neither for one in made)
        yield at_most(f"{percent} % loss: frames neither played nor concealed", neither, 0)
        over = max(one.concealed_ratio + one.fec_ratio - one.lost_ratio for one in made)
        what = f"{percent} % loss: concealed + fec, points over what was lost (worst call)"
        yield at_most(what, 100 * over, 0.5)
        ours, best = scores(group)
        if ours is not None and best is not None:
            yield at_least(f"{percent} % loss: PESQ-WB", ours, least)
            yield at_least(
                f"{percent} % loss: PESQ-WB of libopus with ideal buffering, share",
                ours / best,
                0.95,
            )


def drift_goals(drifted: dict[int, Drift], hours: float) -> Iterator[dict[str, Any]]:
    for ppm, one in drifted.items():
        what = f"N9 {ppm:+d} ppm, {hours:g} h: under- and overruns after the first minute"
        yield at_most(what, one.underruns + one.overruns, 0)
        yield at_most(f"N9 {ppm:+d} ppm: delay goes up and down by, ms", one.delay_range_ms, 40)


def ledger_goal(found: list[Found]) -> dict[str, Any]:
    """A ledger that does not hold ends the run in the tick it is seen."""
    ticks = sum(len(one.call.heard.flags) for one in found)
    return goal("ledger exact in every tick; ticks looked at", ticks, ticks > 0)


def step_series(made: Call) -> dict[str, list[float | None]]:
    delay = made.delay_ms[::5]
    return {
        "second": [round(n * 5 / TICKS_A_SECOND, 2) for n in range(len(delay))],
        "delay ms": [None if np.isnan(ms) else round(float(ms), 1) for ms in delay],
    }


def plot(result: dict[str, Any], path: Path) -> None:
    network_plot.draw(result, path)
