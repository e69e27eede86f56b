"""The receiver over the codecs themselves, against the same packets with ideal buffering."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.native import codecs as kit
from tests.sim.link import Carrier, Link
from tests.sim.receiver import (
    COMFORT,
    CONCEALED,
    FEC,
    FRAME,
    FRAME_NS,
    HERE,
    OPUS,
    PCMA,
    PCMU,
    SILENCE,
    SOURCES,
    Heard,
    Pcm,
    Receiver,
    declare,
    rtp,
)

KINDS = {kit.OPUS: OPUS, kit.PCMU: PCMU, kit.PCMA: PCMA, kit.G722: 9}
ONLY_RECEIVER = tuple(str(s) for s in SOURCES if s not in kit.CODEC_SOURCES)
QUIET_TICKS = 60
REDUNDANT = (32_000, 5, 1, 10, 0)


@cache
def codecs() -> kit.Codecs:
    found = kit.Codecs(*ONLY_RECEIVER, str(HERE / "drive.c"))
    declare(found.lib)
    return found


@cache
def spoken_packets(codec: int, setting: tuple[int, ...]) -> list[bytes]:
    pcm = np.tile(kit.speech(), 3)
    return codecs().encoder(codec, setting).frames(pcm)


def ideal(codec: int, packets: list[bytes], lost: set[int]) -> Pcm:
    """Decode all that came; read what did not from the packet after it, or make it up."""
    decoder = codecs().decoder(codec)
    out = []
    for n, packet in enumerate(packets):
        pcm: Pcm | None = None
        if n in lost:
            if n + 1 < len(packets) and n + 1 not in lost:
                pcm = decoder.decode_fec(packets[n + 1])
            pcm = decoder.conceal() if pcm is None else pcm
        else:
            pcm = decoder.decode(packet)
        assert pcm is not None
        out.append(pcm)
    return np.concatenate(out)


def carry(
    codec: int, packets: list[bytes], link: Link, seed: int
) -> tuple[Receiver, Heard, set[int]]:
    step = 960 if codec == kit.OPUS else 160
    sent = [n * FRAME_NS + 7_000_000 for n in range(len(packets))]
    arrived = Carrier(link, seed).carry(sent, [len(p) + 40 for p in packets])
    r = Receiver(codecs().lib)
    datagrams = [(at, rtp(packets[n], n, n * step, payload_type=KINDS[codec])) for at, n in arrived]
    heard = r.run(datagrams, len(packets) + QUIET_TICKS)
    return r, heard, set(range(len(packets))) - {n for _, n in arrived}


@pytest.mark.slow
@pytest.mark.parametrize("codec", list(KINDS))
def test_a_clean_call_is_the_decode_bit_for_bit(codec: int) -> None:
    packets = spoken_packets(codec, kit.PLAIN)
    r, heard, _ = carry(codec, packets, Link(20), 1)
    want = ideal(codec, packets, set())
    voice = heard.pcm[heard.flags == 0].reshape(-1)
    # 40 ms of the start's caution are given back within the first seconds; then all is as it was.
    settled = voice[5 * 16000 :]
    key = settled[:FRAME].tobytes()
    begin = next(at for at in range(4 * 16000, 6 * 16000) if want[at : at + FRAME].tobytes() == key)
    assert (settled == want[begin : begin + len(settled)]).all()
    assert len(want) - begin - len(settled) <= FRAME
    assert r.removed_samples <= 900
    assert r.late == r.overflow == r.undecodable == 0


@pytest.mark.parametrize("setting", [kit.PLAIN, REDUNDANT])
def test_loss_is_filled_as_with_ideal_buffering(setting: tuple[int, ...]) -> None:
    """Once it is known that packets get lost nothing but the delay differs: sample by sample."""
    packets = spoken_packets(kit.OPUS, setting)
    r, heard, lost = carry(kit.OPUS, packets, Link(20, loss=0.05), 3)
    want = ideal(kit.OPUS, packets, lost)
    sound = heard.pcm[(heard.flags & SILENCE) == 0].reshape(-1)[: -9 * FRAME].astype(float)
    end = want[-(len(want) // 2) :].astype(float)
    errors = [np.abs(sound[-len(end) - at : -at or None] - end).mean() for at in range(2 * FRAME)]
    assert min(errors) < 0.05 * np.abs(end).mean()
    if setting is REDUNDANT:
        assert r.fec >= 0.7 * len(lost)
    assert r.concealed + r.fec - 10 <= len(lost) + 3


@pytest.mark.parametrize("codec", list(KINDS))
def test_loss_and_jitter_leave_no_tick_empty(codec: int) -> None:
    packets = spoken_packets(codec, kit.PLAIN)
    r, heard, lost = carry(codec, packets, Link(30, 15, loss=0.05, burst=2, reorder=0.01), 2)
    assert r.concealed - 10 <= len(lost) + 0.005 * len(packets)
    assert ((heard.flags & (SILENCE | COMFORT)) != 0).sum() <= QUIET_TICKS
    assert (heard.flags & (FEC | CONCEALED)).any()


def test_a_pause_of_opus_is_comfort_and_not_loss() -> None:
    pcm = np.concatenate([kit.speech(), np.zeros(5 * 16000, np.int16), kit.speech()])
    encoder = codecs().encoder(kit.OPUS, (32_000, 5, 0, 0, 1))
    sent: list[tuple[int, bytes]] = []
    pausing = False
    for n, frame in enumerate(kit.frames(pcm)):
        packet = encoder.encode(frame)
        assert packet is not None
        # As libwebrtc does: the first packet of nothing goes out, those after it do not.
        if packet or not pausing:
            sent.append((n, packet or b"\x48"))
        pausing = not packet
    assert len(sent) < len(pcm) // FRAME - 100
    r = Receiver(codecs().lib)
    heard = r.run(
        [
            (n * FRAME_NS + 10**6, rtp(packet, k, n * 960, payload_type=OPUS))
            for k, (n, packet) in enumerate(sent)
        ],
        len(pcm) // FRAME + 5,
    )
    assert r.concealed <= 10
    assert r.late == r.overflow == 0
    assert (heard.flags & (COMFORT | SILENCE) != 0).sum() >= 200


@pytest.mark.parametrize(("loss", "burst", "seed"), [(0.2, 1, 1), (0.2, 1, 2), (0.1, 2, 2)])
def test_losses_in_a_row_are_filled_in_whole_packets(loss: float, burst: float, seed: int) -> None:
    """After stretching a tick no longer ends where a packet does; what is made up still must.

    libopus conceals 10 ms at least, whatever part of it is asked for: bit for bit, or out of phase.
    """
    packets = spoken_packets(kit.OPUS, REDUNDANT)
    link = Link(20, 3, loss=loss, burst=burst)
    r, heard, lost = carry(kit.OPUS, packets, link, seed)
    assert r.removed_samples % FRAME or r.inserted_samples % FRAME
    want, got = ideal(kit.OPUS, packets, lost), heard.pcm.reshape(-1)
    begin, length = len(want) // 2, 5 * 16000
    expected = want[begin : begin + length]
    delays = range(2 * FRAME, 5 * FRAME)
    assert any((got[begin + d : begin + d + length] == expected).all() for d in delays)
