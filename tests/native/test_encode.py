"""Shared encoding: who hears the same mix gets the same packet, and nobody hears a switch."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import pytest

from tests.native.codecs import (
    FRAME,
    G722,
    OPUS,
    PCMA,
    PCMU,
    Codecs,
    Decoder,
    Pcm,
    Settings,
    frames,
    memory,
    pointer,
    speech,
)

EVERY = (OPUS, PCMU, PCMA, G722)
NOWHERE, SHARED, SHARED_FEC, PRIVATE = range(4)
FEC_ALLOWED = (32_000, 5, 1, 5, 0)
PAYLOAD = ctypes.c_uint8 * 640


class LegState(ctypes.Structure):
    _fields_ = [
        ("own_mix", ctypes.c_void_p),
        ("payload", ctypes.c_void_p),
        ("size", ctypes.c_int),
        ("place", ctypes.c_int),
        ("fec", ctypes.c_uint8),
        ("loss_percent", ctypes.c_uint8),
        ("waiting_ticks", ctypes.c_uint8),
        ("settling_ticks", ctypes.c_uint8),
        ("encoder", ctypes.c_void_p),
        ("own_payload", PAYLOAD),
    ]


class SharedState(ctypes.Structure):
    _fields_ = [
        ("encoder", ctypes.c_void_p),
        ("payload", PAYLOAD),
        ("size", ctypes.c_int),
        ("listeners", ctypes.c_size_t),
        ("loss_percent", ctypes.c_uint8),
    ]


COUNTERS = ("shared_frames", "private_frames", "leaves", "detached", "adopted", "settled")


class GroupState(ctypes.Structure):
    _fields_ = [
        ("codec", ctypes.c_int),
        ("settings", Settings),
        ("encoder_bytes", ctypes.c_size_t),
        ("shared", SharedState * 2),
        *((name, ctypes.c_uint64) for name in COUNTERS),
    ]


@cache
def codecs() -> Codecs:
    ours = Codecs("encode.c", "gate.c")
    ours.lib.mm_encode_room.restype = ctypes.c_size_t
    return ours


class Leg:
    def __init__(self, codec: int) -> None:
        self.state = LegState()
        self.memory = memory(codecs().lib.mm_encode_room(codec))
        codecs().lib.mm_encode_leg_init(ctypes.byref(self.state), pointer(self.memory))
        self.mix: Pcm | None = None

    def report_loss(self, percent: float) -> None:
        codecs().lib.mm_encode_leg_report_loss(ctypes.byref(self.state), ctypes.c_double(percent))

    @property
    def packet(self) -> bytes:
        assert self.state.size >= 0
        return ctypes.string_at(self.state.payload, self.state.size)


class Group:
    def __init__(self, codec: int, settings: tuple[int, ...] = FEC_ALLOWED) -> None:
        self.codec, self.state = codec, GroupState()
        self.memory = memory(2 * codecs().lib.mm_encode_room(codec))
        chosen, room = Settings(*settings), pointer(self.memory)
        assert not codecs().lib.mm_encode_group_init(
            ctypes.byref(self.state), codec, ctypes.byref(chosen), room
        )

    def tick(self, shared_mix: Pcm, legs: list[Leg]) -> list[bytes]:
        pointers = (ctypes.POINTER(LegState) * len(legs))()
        kept = [np.ascontiguousarray(shared_mix)]
        for n, leg in enumerate(legs):
            pointers[n] = ctypes.pointer(leg.state)
            leg.state.own_mix = None
            if leg.mix is not None:
                kept.append(np.ascontiguousarray(leg.mix))
                leg.state.own_mix = kept[-1].ctypes.data
        count = ctypes.c_size_t(len(legs))
        state = ctypes.byref(self.state)
        codecs().lib.mm_encode_tick(state, pointers, count, pointer(kept[0]), FRAME)
        return [leg.packet for leg in legs]

    def counters(self) -> dict[str, int]:
        return {name: getattr(self.state, name) for name in COUNTERS}


def decoded(decoder: Decoder, packet: bytes) -> Pcm:
    pcm = decoder.decode(packet)
    assert pcm is not None
    return pcm


def voices() -> tuple[list[Pcm], list[Pcm]]:
    """What one says, and what another says over it."""
    one = speech()
    other = np.roll(one, 31_000)[::1]
    return frames((one // 2).astype(np.int16)), frames((other // 2).astype(np.int16))


def level_db(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(float) ** 2) + 1e-9))


@pytest.mark.parametrize("codec", EVERY)
def test_all_who_hear_the_same_get_the_same_packet_encoded_once(codec: int) -> None:
    group, legs = Group(codec), [Leg(codec) for _ in range(5)]
    alone = codecs().encoder(codec)
    for n, frame in enumerate(frames(speech())[:60]):
        packets = group.tick(frame, legs)
        want = alone.encode(frame)
        # The legs joined at the first frame, which leans on nothing before it anyway.
        assert set(packets) == {packets[0]}
        if n == 0 and codec != OPUS:
            assert packets[0] == want
    assert group.counters()["shared_frames"] == 60
    assert group.counters()["private_frames"] == 0


@pytest.mark.parametrize("codec", EVERY)
def test_a_leg_that_leaves_hears_what_it_would_have_of_one_encoder(codec: int) -> None:
    mix, own = voices()
    group, stays, leaves = Group(codec), Leg(codec), Leg(codec)
    one = Group(codec)
    alone = Leg(codec)
    second = Leg(codec)
    for n in range(100):
        leaves.mix = own[n] if n >= 50 else None
        packet = group.tick(mix[n], [stays, leaves])[1]
        assert packet == one.tick(own[n] if n >= 50 else mix[n], [alone, second])[0]
    assert group.counters()["leaves"] == 1


def test_a_leg_that_returns_to_an_encoder_nobody_hears_takes_its_own_along() -> None:
    mix, own = voices()
    group, leg = Group(OPUS), Leg(OPUS)
    reference, follower = Group(OPUS), Leg(OPUS)
    for n in range(150):
        leg.mix = own[n] if 50 <= n < 100 else None
        packet = group.tick(mix[n], [leg])[0]
        assert packet == reference.tick(own[n] if 50 <= n < 100 else mix[n], [follower])[0]
    counters = group.counters()
    assert (counters["adopted"], counters["detached"]) == (1, 0)
    assert counters["shared_frames"] == 100


def snr_db(heard: Pcm, want: Pcm) -> float:
    noise = np.mean((heard.astype(float) - want) ** 2) + 1e-9
    return float(10 * np.log10((np.mean(want.astype(float) ** 2) + 1e-9) / noise))


class Room:
    """Somebody talks, and a leg now and then: its gate decides whether it hears a mix of its own.

    What the leg hears is decoded beside what one hears that only listens, all along, of the
    shared mix: after a return the two differ by nothing but the past of the leg's decoder.
    """

    def __init__(self, codec: int, seed: int) -> None:
        self.rng, self.speech = np.random.default_rng(seed), speech().astype(np.int64)
        self.group, self.listens, self.talks = Group(codec), Leg(codec), Leg(codec)
        self.of_listener, self.of_talker = codecs().decoder(codec), codecs().decoder(codec)
        self.gate = ctypes.c_uint32(0)
        self.ticks, self.at, self.own = 0, 0, [np.zeros(FRAME, np.int16)]

    def burst(self) -> list[Pcm]:
        """A few words, then a room's noise."""
        size = int(self.rng.integers(10, 40)) * FRAME
        start = int(self.rng.integers(0, len(self.speech) - size))
        words = self.speech[start : start + size] * self.rng.uniform(0.3, 1)
        noise = self.rng.normal(0, 18, int(self.rng.integers(25, 60)) * FRAME)
        return frames(np.round(np.concatenate([words, noise])).astype(np.int16))

    def others(self) -> Pcm:
        if self.ticks % 300 == 0:
            self.at = int(self.rng.integers(0, len(self.speech) - 300 * FRAME))
        self.at += FRAME
        return (self.speech[self.at - FRAME : self.at] // 2).astype(np.int16)

    def tick(self) -> tuple[bool, Pcm, Pcm]:
        """Whether the leg has just come back, what it hears and what the listener hears."""
        others = self.others()
        self.own = self.own or self.burst()
        own = self.own.pop(0).copy()
        gate, frame = ctypes.byref(self.gate), pointer(own)
        self.talks.mix = others if codecs().lib.mm_gate_frame(gate, frame) else None
        total = np.clip(others.astype(int) + own, -32768, 32767).astype(np.int16)
        place = self.talks.state.place
        shared, packet = self.group.tick(total, [self.listens, self.talks])
        back = place == PRIVATE and self.talks.state.place != PRIVATE
        self.ticks += 1
        return back, decoded(self.of_talker, packet), decoded(self.of_listener, shared)


def returns(codec: int, count: int, seed: int) -> tuple[list[float], list[float]]:
    """SNR of the 100 ms after each return, and how far off the level of its first 20 ms is."""
    room = Room(codec, seed)
    snrs: list[float] = []
    onsets: list[float] = []
    heard: list[Pcm] | None = None
    wanted: list[Pcm] = []
    while len(snrs) < count and room.ticks < 200 * count:
        back, ours, want = room.tick()
        if back:
            heard, wanted = [], []
        if room.talks.state.place == PRIVATE:
            heard = None
        if heard is None:
            continue
        heard.append(ours)
        wanted.append(want)
        if len(heard) < 5:
            continue
        if level_db(np.concatenate(wanted)) > 40:  # -50 dBov: there is something to hear
            snrs.append(snr_db(np.concatenate(heard), np.concatenate(wanted)))
        if level_db(wanted[0]) > 40:
            onsets.append(abs(level_db(heard[0]) - level_db(wanted[0])))
        heard = None
    return snrs, onsets


def nobody_hears(codec: int, count: int) -> None:
    snrs, onsets = returns(codec, count, seed=4)
    assert len(snrs) > count / 10
    assert np.percentile(snrs, 5) >= 20, np.percentile(snrs, [0, 5, 50])
    assert np.median(snrs) >= 35, np.percentile(snrs, [0, 5, 50])
    assert np.percentile([0.0, *onsets], 99) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("codec", EVERY)
def test_a_return_is_not_heard(codec: int) -> None:
    nobody_hears(codec, 60)


@pytest.mark.soak
def test_a_thousand_returns_are_not_heard() -> None:
    nobody_hears(OPUS, 1000)


def test_g722_comes_back_in_a_pause_and_costs_nothing_from_then_on() -> None:
    room = Room(G722, 9)
    for _ in range(3000):
        room.tick()
    counters = room.group.counters()
    assert counters["settled"] >= 3
    assert counters["detached"] <= 2  # the two legs' first frames
    silence = np.zeros(FRAME, np.int16)
    group, stays, goes = Group(G722), Leg(G722), Leg(G722)
    for frame in frames(speech())[:50]:
        goes.mix = frame // 3
        group.tick(frame, [stays, goes])
    goes.mix = None
    for _ in range(20):
        group.tick(silence, [stays, goes])
    assert goes.state.place == SHARED


def test_a_return_waits_half_a_second_for_a_quiet_frame_and_no_longer() -> None:
    loudest = max(frames(speech()), key=level_db)
    loud = [np.roll(loudest, 17 * n) for n in range(80)]
    assert np.abs(loudest).max() > 1000
    for quiet_at in (None, 50):
        group, stays, goes = Group(OPUS), Leg(OPUS), Leg(OPUS)
        back = None
        for n in range(80):
            goes.mix = loud[n] // 2 if 10 <= n < 40 else None
            group.tick(loud[n] if n != quiet_at else loud[n] // 64, [stays, goes])
            if n >= 40 and back is None and goes.state.place == SHARED:
                back = n
        assert back == (quiet_at or 65)  # and not at 40, when it first could


def test_loss_reports_turn_fec_on_at_3_percent_and_off_below_1() -> None:
    silence = np.zeros(FRAME, np.int16)
    group, clean, lossy = Group(OPUS), Leg(OPUS), Leg(OPUS)
    places = []
    for percent in [0, 1, 2.9, 3, 2, 1, 0.9, 0, 50, 150, float("nan"), -1, 0]:
        lossy.report_loss(percent)
        group.tick(silence, [clean, lossy])
        places.append(lossy.state.place)
    on, off = SHARED_FEC, SHARED
    assert places == [off, off, off, on, on, on, off, off, on, on, on, on, off]
    assert clean.state.place == SHARED
    assert group.counters()["private_frames"] == 0


def test_legs_with_loss_get_redundancy_and_the_others_do_not() -> None:
    group, clean, lossy = Group(OPUS), Leg(OPUS), Leg(OPUS)
    decoder, found = codecs().decoder(OPUS), [0, 0]
    lossy.report_loss(15)
    for frame in frames(speech())[:200]:
        for n, packet in enumerate(group.tick(frame, [clean, lossy])):
            found[n] += decoder.decode_fec(packet) is not None
    assert found[0] == 0
    assert found[1] > 80


def test_fec_that_is_not_allowed_stays_off() -> None:
    group, leg = Group(OPUS, (32_000, 5, 0, 0, 0)), Leg(OPUS)
    leg.report_loss(20)
    group.tick(speech()[:FRAME], [leg])
    assert leg.state.place == SHARED


def test_a_leg_that_comes_late_decodes_from_its_first_packet() -> None:
    mix = frames(speech())
    group, first, late = Group(OPUS), Leg(OPUS), Leg(OPUS)
    old, new = codecs().decoder(OPUS), codecs().decoder(OPUS)
    heard, want = [], []
    for n in range(120):
        legs = [first] if n < 70 else [first, late]
        packets = group.tick(mix[n], legs)
        of_old = decoded(old, packets[0])
        if n >= 70:
            heard.append(decoded(new, packets[1]))
            want.append(of_old)
    # A fresh decoder's filters start empty: the first 5 ms fade in.
    assert snr_db(np.concatenate(heard[1:]), np.concatenate(want[1:])) > 20
    assert group.counters()["detached"] == 1


def test_cost_grows_with_speakers_and_not_with_listeners() -> None:
    group, legs = Group(OPUS), [Leg(OPUS) for _ in range(50)]
    mix, own = voices()
    for n in range(40):
        for k, leg in enumerate(legs):
            leg.mix = own[n] if k < 3 else None
        group.tick(mix[n], legs)
    counters = group.counters()
    assert counters["shared_frames"] == 40
    assert counters["private_frames"] == 3 * 40


def test_whatever_legs_do_each_gets_a_packet_that_its_decoder_takes() -> None:
    rng = np.random.default_rng(11)
    mix, own = voices()
    for codec in EVERY:
        group, here = Group(codec), {}
        for n in range(300):
            if rng.random() < 0.1:
                here[n] = (Leg(codec), codecs().decoder(codec))
            if here and rng.random() < 0.05:
                here.pop(int(rng.choice(list(here))))
            for leg, _ in here.values():
                if rng.random() < 0.1:
                    leg.mix = None if leg.mix is not None else own[n]
                elif leg.mix is not None:
                    leg.mix = own[n]
                if rng.random() < 0.05:
                    leg.report_loss(float(rng.integers(0, 20)))
            legs = [leg for leg, _ in here.values()]
            packets = group.tick(mix[n], legs)
            for packet, (_, decoder) in zip(packets, here.values(), strict=True):
                assert len(decoded(decoder, packet)) == FRAME
            assert all(leg.state.place != NOWHERE for leg in legs)


def test_dtx_has_nothing_to_send_and_a_return_waits_for_a_packet_that_goes_out() -> None:
    group, stays, goes = Group(OPUS, (32_000, 5, 0, 0, 1)), Leg(OPUS), Leg(OPUS)
    silence = np.zeros(FRAME, np.int16)
    sizes = []
    for n in range(300):
        goes.mix = silence if n % 50 == 20 else None
        sizes.append(len(group.tick(silence, [stays, goes])[0]))
    assert sizes.count(0) > 150


def test_settings_that_opus_refuses_make_no_group() -> None:
    chosen, room = Settings(1, 5, 0, 0, 0), memory(2 * codecs().lib.mm_encode_room(OPUS))
    state = ctypes.byref(GroupState())
    said = codecs().lib.mm_encode_group_init(state, OPUS, ctypes.byref(chosen), pointer(room))
    assert said == -1
