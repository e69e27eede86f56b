"""kill -9 of the call service: each call is ended, told, recorded; nobody waits for ever."""

from __future__ import annotations

import wave
from pathlib import Path

from tests.chaos.findings import percentile
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import PHONE, Stage, stage_of, wait_for
from tests.chaos.views import service_calls, told_states

CALLS = 20
TOLD_S = 60.0


async def play(run: Run) -> None:
    """Kill the service under its calls, start it again, and see what became of each."""
    outcome = run.outcome
    count = run.pick(CALLS, 4)
    phones = count // 4
    async with stage_of(run.directory, host={"CHAOS_RECORD": "1"}) as stage:
        made = await stage.join("a", await stage.meetings(count - phones))
        made += [await stage.created("a", {"phone": PHONE}) for _ in range(phones)]
        journal = stage.journals["a"]
        if await wait_for(lambda: _are_heard(stage, made), TOLD_S) is None:
            raise stage.complaint("the calls do not stand")
        killed_s = await stage.service.kill()
        await stage.service.start()
        started_s = await wait_for(stage.is_ready, TOLD_S)
        assert started_s is not None
        await wait_for(lambda: _ended(stage, killed_s).keys() >= set(made), TOLD_S)
        ended = _ended(stage, killed_s)
        outcome.expect_none("bots that still wait after 60 s", set(made) - ended.keys())
        waited_s = [at_s - killed_s for at_s in ended.values()]
        outcome.figure(
            "a bot waits for the end of its call, longest", max(waited_s, default=None), TOLD_S
        )
        calls = {call.call_id: call for call in service_calls(stage.service_view, living=False)}
        living = [call_id for call_id in made if not calls[call_id].is_over]
        outcome.expect_none("calls that the store has still alive", living)
        silent = [call_id for call_id in made if not calls[call_id].resource.get("resultInfo")]
        outcome.expect_none("calls that ended without a result code", silent)
        await wait_for(lambda: not _untold(stage, made), TOLD_S)
        outcome.expect_none("calls whose end was not notified", _untold(stage, made))
        await wait_for(lambda: not _unrecorded(stage, made), TOLD_S)
        outcome.expect_none("calls without a call record", _unrecorded(stage, made))
        recorded = {line["call"] for line in journal.since(0.0, "recording")}
        outcome.expect_none("calls whose audio was not recorded", set(made) - recorded)
        directory = stage.hosts["a"].state_dir / "recordings"
        await wait_for(lambda: not _broken_files(directory, len(recorded)), TOLD_S)
        outcome.expect_none(
            "recordings that are not closed", _broken_files(directory, len(recorded))
        )
        again = await stage.join("a", await stage.meetings(1))
        stands = await wait_for(lambda: _are_heard(stage, again), TOLD_S)
        outcome.expect(
            "a new call after the restart", "stands", stands is not None, is_met=stands is not None
        )
    outcome.series = {"a bot waits": waited_s}
    outcome.notes.append(
        f"{count} calls; the service served again {started_s - killed_s:.1f} s after the kill;"
        f" bots waited p95 {percentile(waited_s, 95):.1f} s"
    )


def _are_heard(stage: Stage, calls: list[str]) -> bool:
    heard = {line["call"] for line in stage.journals["a"].since(0.0, "heard")}
    return heard >= set(calls)


def _ended(stage: Stage, since_s: float) -> dict[str, float]:
    lines = stage.journals["a"].since(since_s, "ended")
    return {line["call"]: line["at"] for line in lines}


def _untold(stage: Stage, calls: list[str]) -> list[str]:
    states = told_states(stage.service_view)
    told = {call_id for call_id, all_of in states.items() if ("terminated", "sent") in all_of}
    return sorted(set(calls) - told)


def _unrecorded(stage: Stage, calls: list[str]) -> list[str]:
    """Name calls whose conversation has no record."""
    kept = {str(row[0]) for row in stage.service_view.ask("SELECT record_id FROM records")}
    chains = {
        call.call_id: str(call.resource.get("callChainId"))
        for call in service_calls(stage.service_view, living=False)
    }
    return [call_id for call_id in calls if chains[call_id] not in kept]


def _broken_files(directory: Path, count: int) -> list[str]:
    """Name recordings that cannot be read to their end; there must be *count* with sound."""
    broken, whole = [], set()
    for path in sorted(directory.rglob("*.wav")):
        try:
            with wave.open(str(path)) as file:
                frames = file.getnframes()
                is_whole = len(file.readframes(frames)) == frames * file.getsampwidth()
        except (wave.Error, EOFError) as error:
            broken.append(f"{path.name}: {error}")
            continue
        if not is_whole or frames == 0:
            broken.append(f"{path.parent.name}/{path.name}: {frames} frames")
        whole.add(path.parent)
    if len(whole) < count:
        broken.append(f"{len(whole)} of {count} recordings have a file")
    return broken


SCENARIO = Scenario("kill-service", "kill -9 of the call service", play, is_in_quick=True)
