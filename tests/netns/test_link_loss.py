"""The media link over a network that loses: TCP brings all of it, later."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import link_loss, tun

SECONDS = 4.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(tun.refusal() is not None, reason=str(tun.refusal())),
]


def test_what_is_lost_is_sent_again_and_told(tmp_path: Path) -> None:
    row = link_loss.talk(5.0, 40.0, SECONDS)
    assert sum(row["link"]["lost"]) > 0
    due = 50 * SECONDS
    # None is lost on the way; the sender may leave out what TCP held up for too long.
    assert row["frames"] >= 0.8 * (1 - row["dropped %"] / 100) * due
    assert row["longest gap ms"] >= 40  # A round trip at least, until the far end has it again.
    picture = tmp_path / "link.png"
    link_loss.plot({"title": "link", "rows": [row]}, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
