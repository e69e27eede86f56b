"""What reads packets, under ASan and UBSan: the kept corpora and seeded mutations of them."""

from __future__ import annotations

import shutil

import pytest

from tests.native.clib import FUZZ, fuzz, replay

pytestmark = pytest.mark.slow

TARGETS = {
    "rtp": ("rtp.c", "demux.c"),
    "rtcp": ("rtcp.c",),
    "reception": ("reception.c", "rtcp.c"),
    "telephone": ("telephone.c",),
    "packet_ring": ("packet_ring.c", "memory.c"),
    "port": ("port.c", "routes.c", "address.c", "demux.c", "packet_ring.c", "memory.c"),
    "srtp": ("srtp.c", "srtp_test.c", "shared_library.c", FUZZ / "toy_srtp.c"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_corpus_and_mutations_of_it(name: str) -> None:
    assert "20000 made ones" in replay(name, *TARGETS[name], runs=20_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_libfuzzer_finds_nothing(name: str) -> None:
    if not shutil.which("clang"):
        pytest.skip("libFuzzer comes with clang")
    fuzz(name, *TARGETS[name])
