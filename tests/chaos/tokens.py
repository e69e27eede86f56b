"""The token authority is away for ten minutes of the wall clock; then all keys are others."""

from __future__ import annotations

from tests.chaos.authority import AuthorityDoor
from tests.chaos.clocks import NoShiftedClockError, WallClock
from tests.chaos.processes import StageError
from tests.chaos.scenario import Run, Scenario
from tests.chaos.stage import Meeting, Stage, stage_of, wait_for

TOKEN_S = 3599
"""How long a token of the service's holds, as Entra's."""
FROM_S = 3000
"""How old the host's token is when the authority goes away, in seconds of the wall clock."""
MINUTES = 10
STANDS_S = 60.0
"""Keys are fetched because of an unknown one once in 30 s: what comes before that is sent again."""
BACK_S = 5.0


async def play(run: Run) -> None:
    """Make a call each minute of the wall clock, with the one token that there is."""
    outcome = run.outcome
    try:
        clock = WallClock(run.directory)
    except NoShiftedClockError as error:
        outcome.skip("a token that grows old", str(error))
        return
    moved = {**clock.environment, "MIXMINUS_OPERATION_DRAIN_S": "0"}
    async with stage_of(run.directory, hosts=(), service=moved) as stage:
        own = run.directory / "door"
        async with AuthorityDoor(stage.dev, stage.service.state_dir, own) as door:
            host = stage.add_host("a", moved)
            host.dev_file = door.dev_file()
            await host.start()
            meetings = iter(await stage.meetings(MINUTES + 5))
            made = await stage.join("a", [next(meetings)])
            clock.move_to(FROM_S)
            await door.go_away()
            failed: list[str] = []
            for minute in range(1, MINUTES):
                clock.move_to(FROM_S + 60 * minute)
                try:
                    made += await stage.join("a", [next(meetings)])
                except StageError as error:
                    failed.append(f"{TOKEN_S - FROM_S - 60 * minute} s before its end: {error}")
            outcome.expect_none("calls refused that a valid token could serve", failed)
            clock.move_to(TOKEN_S + 60)
            try:
                made += await stage.join("a", [next(meetings)])
                outcome.expect("a call without any token", "refused", "made", is_met=False)
            except StageError as error:
                is_clear = "token" in str(error)
                outcome.expect(
                    "a call without any token",
                    "refused, naming the token",
                    str(error)[:160],
                    is_met=is_clear,
                )
            back_s = await door.come_back()
            outcome.figure(
                "a call is made after the authority's return",
                await _made_again(stage, next(meetings), back_s),
                BACK_S,
            )
            gone = set(made) - await stage.engine_calls("a")
            outcome.expect_none("calls that ended meanwhile", gone)
            await _rotate(stage)
            made = await stage.join("a", [next(meetings)])
            stands = await _stands(stage, made[0])
            outcome.expect("a call after all keys are others", "stands", stands, is_met=stands)
            refused = host.logged("a notification was refused")
            outcome.expect_none("notifications that the host refused", refused)
            outcome.notes.append(f"the authority was asked {len(door.asked)} times")


async def _made_again(stage: Stage, meeting: Meeting, back_s: float) -> float | None:
    """Return how long after *back_s* a call could be made."""

    async def is_made() -> bool:
        try:
            await stage.join("a", [meeting])
        except StageError:
            return False
        return True

    at_s = await wait_for(is_made, STANDS_S, 0.2)
    return None if at_s is None else at_s - back_s


async def _rotate(stage: Stage) -> None:
    """Give the service other keys: for tokens, and for notifications."""
    await stage.service.stop()
    stage.service_file.run("DELETE FROM secrets WHERE name IN ('token key', 'notification key')")
    await stage.service.start()


async def _stands(stage: Stage, call_id: str) -> bool:
    def is_told() -> bool:
        lines = stage.journals["a"].since(0.0, "audio")
        return any(line["call"] == call_id for line in lines)

    return await wait_for(is_told, STANDS_S) is not None


SCENARIO = Scenario("tokens", "the token authority away 10 min; keys rotated", play)
