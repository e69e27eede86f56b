"""The comparisons of the fault runs find what they are to find: each has a case that must fail."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.__main__ import main
from tests.chaos.clocks import WallClock
from tests.chaos.findings import Outcome, percentile
from tests.chaos.journal import Journal, doubled_handlers, forgotten_state
from tests.chaos.lateness import Lateness
from tests.chaos.processes import clean_environment
from tests.chaos.receiver import Came, disordered
from tests.chaos.report import write_report
from tests.chaos.views import FileView, ServiceCall, doubled_legs, keep_sent, sent


def came(*messages: str, status: int = 202) -> list[Came]:
    return [Came(float(at), "call", one, None, status) for at, one in enumerate(messages)]


def line(event: str, at_s: float = 0.0, **more: object) -> dict[str, object]:
    return {"at": at_s, "pid": 1, "event": event, "call": "c", "thread": "t", **more}


def standing(call_id: str, thread: str | None, state: str = "established") -> ServiceCall:
    chat = {} if thread is None else {"chatInfo": {"threadId": thread}}
    return ServiceCall(call_id, state, False, "https://localhost/", chat)


@pytest.mark.parametrize(
    ("taken", "is_right"),
    [
        (came("1", "2", "3"), True),
        (came("1", "1", "2", "1", "3"), True),  # At least once: a repetition is none of its order.
        (came("1", "3", "2"), False),
        (came("1", "2"), False),
        (came("1", "2", "3", "4"), False),
        ([*came("1", status=500), *came("2", "3")], False),
    ],
)
def test_what_came_is_compared_with_what_was_sent(taken: list[Came], is_right: bool) -> None:
    assert (disordered(taken, ["1", "2", "3"]) == []) is is_right


def test_a_call_that_a_bot_was_given_twice_is_found() -> None:
    once = [line("called"), line("rejoined", call="d")]
    assert doubled_handlers(once) == []
    assert doubled_handlers([*once, line("rejoined")]) == ["call c: 2 times"]


@pytest.mark.parametrize(("saved", "is_forgotten"), [(2, False), (1, True), (None, True)])
def test_saved_state_that_was_acknowledged_must_come_back(
    saved: int | None, is_forgotten: bool
) -> None:
    had = None if saved is None else {"turns": saved}
    lines = [
        line("saved", 1.0, turns=1),
        line("saved", 2.0, turns=2),
        line("rejoined", 3.0, saved=had),
    ]
    assert bool(forgotten_state(lines)) is is_forgotten


def test_two_legs_of_one_conversation_are_found() -> None:
    calls = [standing("1", "t"), standing("2", "t", "terminating"), standing("3", None)]
    assert doubled_legs([*calls, standing("4", None)]) == []
    assert doubled_legs([*calls, standing("5", "t")]) == ["t: 1, 5"]


def test_the_journal_is_read_as_it_grows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "bot.jsonl")
    assert journal.read() == []
    first, second = (json.dumps(line("heard", at_s)) for at_s in (1.0, 2.0))
    journal.path.write_text(first + "\n" + second[:9])
    assert len(journal.read()) == 1
    journal.path.write_text(first + "\n" + second + "\n")
    assert [one["at"] for one in journal.since(1.0, "heard")] == [2.0]


def test_the_sender_keeps_what_its_outbox_forgets(tmp_path: Path) -> None:
    view = FileView(tmp_path / "service.db")
    view.run("CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, call_id TEXT, message_id TEXT)")
    keep_sent(view)
    for message in ("1", "2"):
        view.run("INSERT INTO outbox (call_id, message_id) VALUES ('c', ?)", [message])
    view.run("DELETE FROM outbox")
    assert sent(view) == {"c": ["1", "2"]}


@pytest.mark.parametrize(
    ("find", "verdict"),
    [
        (lambda outcome: outcome.expect_none("calls lost", []), "passed"),
        (lambda outcome: outcome.expect_none("calls lost", ["one"]), "failed"),
        (lambda outcome: outcome.expect("ready", "yes", "no", is_met=False), "failed"),
        (lambda outcome: outcome.figure("back", 5.1, 5.0), "missed"),
        (lambda outcome: outcome.figure("back", math.nan, 5.0), "not run"),
        (lambda outcome: outcome.skip("PostgreSQL", "it is not here"), "not run"),
        (lambda outcome: setattr(outcome, "error", "the stage fell"), "failed"),
    ],
)
def test_only_a_missed_invariant_fails(find: Callable[[Outcome], None], verdict: str) -> None:
    outcome = Outcome("fault", seed=1)
    find(outcome)
    assert outcome.verdict == verdict


def test_lateness_is_compared_with_the_calm_half_of_the_same_run() -> None:
    calm = [100.0] * 1000
    for fault, is_met in (([140.0] * 1000, True), ([200.0] * 1000, False)):
        outcome = Outcome("fault", seed=1)
        compared = Lateness("host")
        compared.add([], calm, calm + fault)
        compared.add(calm + fault, calm + fault + calm, calm + fault + calm + fault)
        assert (compared.calm_us, compared.fault_us) == (calm + calm, fault + fault)
        compared.judge(outcome)
        assert outcome.findings[0].is_met is is_met
        assert outcome.verdict == ("passed" if is_met else "missed")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([1.0, 2.0], 99.9) == 2.0
    assert math.isnan(percentile([], 50))


def test_the_report_tells_of_each_scenario(tmp_path: Path) -> None:
    good, bad = Outcome("good", seed=7), Outcome("bad", seed=7, error="no stage")
    good.figure("back after the kill, p95", 1.25, 5.0)
    good.series = {"calls back": [1.0, 1.25]}
    write_report(tmp_path, [good, bad], {"cores": 2})
    found = json.loads((tmp_path / "report.json").read_text())
    assert [one["verdict"] for one in found["scenarios"]] == ["passed", "failed"]
    text = (tmp_path / "report.md").read_text()
    assert "| bad | failed | 7 |" in text
    assert "| back after the kill, p95 (figure) | <= 5 s | 1.25 | met |" in text
    assert (tmp_path / "good.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_scenario_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--scenario", "nothing"])
    assert caught.value.code == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err


def test_processes_have_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMINUS_PORT", "1")
    assert "MIXMINUS_PORT" not in clean_environment({})
    assert clean_environment({"MIXMINUS_PORT": "2"})["MIXMINUS_PORT"] == "2"


def test_only_the_wall_clock_of_a_process_is_moved(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    clock.move_to(-3600)
    program = "import time; print(time.time(), time.monotonic())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(clock.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    wall_s, monotonic_s = (float(one) for one in done.stdout.split())
    assert time.time() - wall_s == pytest.approx(3600, abs=60)
    assert monotonic_s == pytest.approx(time.monotonic(), abs=60)
