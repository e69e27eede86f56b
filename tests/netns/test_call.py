"""A call between two engines in two network namespaces, over a link that loses and delays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import netns, tun
from benchmarks.speech import voices

CALL_S = 6.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(tun.refusal() is not None, reason=str(tun.refusal())),
]


@pytest.mark.parametrize("name", ["N1", "N4"])
def test_both_hear_each_other_and_what_is_lost_is_filled(tmp_path: Path, name: str) -> None:
    speech = tmp_path / "speech.npy"
    np.save(speech, voices(synthesise=True)[0][0].pcm)
    heard, net = netns.talk(name, speech, CALL_S, 1)
    dropped = sum(net.report["lost"])
    lost = sum(end["lost_packets"] for end in heard)
    assert len(heard) == 2
    # Reports are lost too, and the last packets' loss is not seen.
    assert lost <= dropped
    assert dropped - lost <= 0.35 * dropped + 10
    for end in heard:
        due = end["voice_ticks"] + end["fec_ticks"] + end["concealed_ticks"]
        assert end["received_packets"] >= 0.7 * CALL_S * 50
        filled = end["fec_ticks"] + end["concealed_ticks"]
        # Beyond the lost: what a busy machine delays, and the call's beginning.
        assert filled <= end["lost_packets"] + 0.03 * due + 10
        assert end["round_trip_ms"] is not None
        # There and back by the link's delay, a tick of each end, and what a busy machine adds.
        assert 20 <= end["round_trip_ms"] <= 400
