"""A press that is heard over several paths counts once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.presses import MAX_PRESSES, Presses


def test_the_same_key_over_another_path_is_the_same_press() -> None:
    presses = Presses()
    assert presses.take("signalled", "5", 10.0)
    assert not presses.take("packets", "5", 10.1)
    assert not presses.take("audio", "5", 10.2)
    # Over a path that told of it already it is the next press.
    assert presses.take("packets", "5", 10.4)
    assert not presses.take("signalled", "5", 10.5)


def test_another_key_or_a_later_one_is_another_press() -> None:
    presses = Presses(2.0)
    assert presses.take("signalled", "5", 0.0)
    assert presses.take("packets", "6", 0.1)
    assert presses.take("packets", "5", 2.1)


def test_a_narrower_window_holds_for_one_press() -> None:
    presses = Presses(2.0)
    assert presses.take("audio", "1", 0.0)
    assert presses.take("signalled", "1", 0.6, 0.5)
    assert presses.take("audio", "2", 5.0)
    assert not presses.take("signalled", "2", 5.4, 0.5)


@given(st.lists(st.sampled_from("0123456789*#ABCD"), max_size=MAX_PRESSES))
def test_two_whole_paths_count_as_one_whatever_is_pressed(keys: list[str]) -> None:
    presses = Presses()
    counted = 0
    for index, key in enumerate(keys):
        counted += presses.take("packets", key, index * 0.05)
    for index, key in enumerate(keys):
        counted += presses.take("signalled", key, index * 0.05 + 0.01)
    assert counted == len(keys)
