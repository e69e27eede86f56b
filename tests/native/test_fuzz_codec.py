"""Codecs, shared encoding and levels under ASan and UBSan: kept corpora and seeded mutations."""

from __future__ import annotations

import shutil

import pytest

from tests.native.clib import fuzz, replay
from tests.native.codecs import CODEC_SOURCES, libopus_path

pytestmark = pytest.mark.slow

TARGETS = {
    "codec": CODEC_SOURCES,
    "encode": ("encode.c", *CODEC_SOURCES),
    "level": ("limiter.c", "gate.c"),
}
RUNS = {"codec": 3000, "encode": 150, "level": 20_000}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_does_harm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_LIBOPUS", libopus_path())
    replay(name, *TARGETS[name], runs=RUNS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_libfuzzer_finds_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("clang"):
        pytest.skip("libFuzzer comes with clang")
    monkeypatch.setenv("MM_LIBOPUS", libopus_path())
    fuzz(name, *TARGETS[name])


def test_without_libopus_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MM_LIBOPUS", raising=False)
    replay("codec", *TARGETS["codec"], runs=500)
    replay("encode", *TARGETS["encode"], runs=50)
