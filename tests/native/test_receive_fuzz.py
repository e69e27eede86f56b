"""The receiver and its stretching under ASan and UBSan: kept corpus, seeded mutations of it."""

from __future__ import annotations

import shutil

import pytest

from tests.native.clib import fuzz, replay
from tests.sim.receiver import HERE, SOURCES

pytestmark = pytest.mark.slow

TARGETS = {"receive": (*SOURCES, HERE / "toy_codec.c"), "stretch": ("stretch.c",)}


@pytest.mark.parametrize("name", list(TARGETS))
def test_corpus_and_mutations_of_it(name: str) -> None:
    replay(name, *TARGETS[name], runs=3000)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_libfuzzer_finds_nothing(name: str) -> None:
    if not shutil.which("clang"):
        pytest.skip("libFuzzer comes with clang")
    fuzz(name, *TARGETS[name], seconds=30)
