"""Which of a far end's addresses is used, and how long it counts; whether it is still there."""

from __future__ import annotations

from mixminus.media.transports.media_watch import MediaWatch, Sign
from mixminus.media.transports.webrtc_paths import MAX_PATHS, ValidatedPaths

S = 1_000_000_000


def heard(
    paths: ValidatedPaths[str],
    path: str,
    at_s: float,
    *,
    nominates: bool = False,
    priority: int = 10,
    generation: int = 0,
) -> str | None:
    return paths.heard(
        path,
        generation=generation,
        priority=priority,
        nominates=nominates,
        now_ns=int(at_s * S),
    )


def test_the_first_is_used_until_one_is_nominated() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    assert paths.generation == -1
    heard(paths, "a", 0)
    heard(paths, "b", 0.1)
    assert paths.selected == "a"
    assert [paths.is_nominated] == [False]
    heard(paths, "b", 0.2, nominates=True)
    assert paths.selected == "b"
    assert [paths.is_nominated] == [True]
    assert "a" in paths
    assert len(paths) == 2


def test_who_nominates_everything_does_not_move_the_media_with_every_check() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    used = []
    for turn in range(20):
        heard(paths, "low", turn * 0.5, nominates=True, priority=5)
        heard(paths, "high", turn * 0.5 + 0.1, nominates=True, priority=9)
        used.append(paths.selected)
    assert set(used) == {"high"}


def test_a_browser_that_changes_its_network_is_followed() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    heard(paths, "wifi", 0, nominates=True, priority=9)
    heard(paths, "mobile", 1, nominates=True, priority=5)
    assert paths.selected == "wifi"
    heard(paths, "mobile", 3.5, nominates=True, priority=5)
    assert paths.selected == "mobile"


def test_a_restart_takes_over_with_its_first_check_and_never_goes_back() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    heard(paths, "old", 0, nominates=True, priority=99)
    heard(paths, "new", 1, generation=1, priority=1)
    assert paths.selected == "new"
    assert paths.generation == 1
    heard(paths, "old", 1.1, nominates=True, priority=99)
    assert paths.selected == "new"
    assert paths.expire(2 * S) == []
    assert paths.expire(5 * S) == ["old"]
    # The same address may go on in the next generation.
    heard(paths, "new", 6, generation=2)
    heard(paths, "new", 6.1, generation=1)
    assert paths.generation == 2


def test_the_stalest_goes_when_there_are_too_many() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    for number in range(MAX_PATHS):
        assert heard(paths, f"p{number}", number) is None
    heard(paths, "p1", 9)
    assert heard(paths, "more", 10) == "p2"
    assert set(paths.all) == {"p0", "p1", "p3", "more"}
    assert paths.selected == "p0"


def test_consent_runs_out() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    heard(paths, "used", 0)
    heard(paths, "other", 0)
    assert paths.is_fresh("other", 29 * S)
    assert not paths.is_fresh("other", 30 * S)
    assert not paths.is_fresh("unknown", 0)
    assert paths.expire(31 * S) == ["other"]
    paths.drop("used")
    assert paths.selected is None
    paths.drop("used")


def test_a_used_path_that_proves_nothing_any_more_gives_way_to_one_that_does() -> None:
    paths: ValidatedPaths[str] = ValidatedPaths()
    heard(paths, "gone", 0, nominates=True)
    for at_s in range(5, 30, 5):
        heard(paths, "fresh", at_s)
        heard(paths, "older", at_s - 1)
    assert paths.expire(29 * S) == []
    assert paths.selected == "gone"
    assert paths.expire(31 * S) == ["gone"]
    assert paths.selected == "fresh"


def is_lost(watch: MediaWatch) -> bool:
    return watch.is_lost


def look(watch: MediaWatch, now_s: float, heard_s: float, **how: int) -> Sign:
    return watch.look(
        int(now_s * S),
        heard_ns=int(heard_s * S),
        is_expected=bool(how.get("expected", 1)),
        sends=bool(how.get("sends", 1)),
        counts=lambda: (how.get("received", 0), how.get("byes", 0)),
    )


def test_a_loss_is_not_over_before_something_is_heard() -> None:
    watch = MediaWatch(0)
    assert look(watch, 2.1, 0) is Sign.LOST
    assert is_lost(watch)
    # Hold comes and goes: no news of the loss.
    assert look(watch, 2.2, 0, expected=0) is Sign.NOTHING_NEW
    watch.excuse(5 * S)
    assert look(watch, 5.1, 0) is Sign.NOTHING_NEW
    assert look(watch, 6.0, 5.9) is Sign.BACK
    assert not is_lost(watch)
    assert look(watch, 6.1, 6.0) is Sign.NOTHING_NEW


def test_who_was_let_be_silent_has_time_to_speak_again() -> None:
    watch = MediaWatch(0)
    assert look(watch, 1, 0.9, expected=0) is Sign.NOTHING_NEW
    assert look(watch, 20, 1, expected=0) is Sign.NOTHING_NEW
    assert look(watch, 20.2, 1) is Sign.NOTHING_NEW
    assert look(watch, 22, 1) is Sign.NOTHING_NEW
    assert look(watch, 22.3, 1) is Sign.LOST


def test_silence_counts_on_hold_as_well() -> None:
    watch = MediaWatch(10 * S)
    assert look(watch, 39, 0, expected=0) is Sign.NOTHING_NEW
    assert look(watch, 40.1, 0, expected=0) is Sign.SILENT


def test_a_bye_counts_once_and_not_while_the_far_end_holds() -> None:
    watch = MediaWatch(0)
    assert look(watch, 1.2, 1, byes=1, received=50) is Sign.NOTHING_NEW
    assert look(watch, 1.6, 1, byes=1, received=52) is Sign.NOTHING_NEW
    assert look(watch, 1.8, 1.75, byes=1, received=52) is Sign.BYE
    watch = MediaWatch(0)
    assert look(watch, 1.2, 1, byes=1, sends=0) is Sign.NOTHING_NEW
    assert look(watch, 9, 8.5, byes=1) is Sign.NOTHING_NEW
    watch = MediaWatch(0)
    assert look(watch, 1.2, 1, byes=1, received=50) is Sign.NOTHING_NEW
    assert look(watch, 1.8, 1.8, byes=1, received=70) is Sign.NOTHING_NEW
    assert look(watch, 9, 8.5, byes=1, received=99) is Sign.NOTHING_NEW


def test_counts_are_asked_for_in_pauses_alone() -> None:
    def counts() -> tuple[int, int]:
        raise AssertionError("costs more than all the rest")

    watch = MediaWatch(0)
    assert (
        watch.look(S, heard_ns=S - 40_000_000, is_expected=True, sends=True, counts=counts)
        is Sign.NOTHING_NEW
    )
