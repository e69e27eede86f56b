"""The codec table: Opus, G.711 and G.722 as 16 kHz mono, whole and with packets missing."""

from __future__ import annotations

import ctypes
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.native.codecs import (
    FRAME,
    G722,
    OPUS,
    PCMA,
    PCMU,
    PLAIN,
    Codecs,
    Decoder,
    Pcm,
    Settings,
    frames,
    libopus_path,
    memory,
    pointer,
    speech,
)

EVERY = (OPUS, PCMU, PCMA, G722)
NARROW = (PCMU, PCMA, G722)
# Samples: libopus looks ahead and aligns its two layers; two half-band filters; two QMFs.
DELAY = {OPUS: 104, PCMU: 45, PCMA: 45, G722: 22}


@cache
def codecs() -> Codecs:
    return Codecs()


def tone(hz: float, samples: int, amplitude: float = 8000) -> Pcm:
    return np.round(amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / 16_000)).astype(
        np.int16
    )


def snr_db(heard: Pcm, sent: Pcm) -> float:
    noise = np.mean((heard.astype(float) - sent) ** 2)
    return float(10 * np.log10(np.mean(sent.astype(float) ** 2) / noise)) if noise else 200.0


def decode_all(decoder: Decoder, packets: list[bytes]) -> Pcm:
    out = [decoder.decode(packet) for packet in packets]
    return np.concatenate([pcm for pcm in out if pcm is not None])


# ---- binding libopus


def test_pyavs_libopus_passes_the_self_test_and_says_what_it_is() -> None:
    ours = codecs()
    assert ours.lib.mm_opus_path().decode() == libopus_path()
    assert ours.lib.mm_opus_version().startswith(b"libopus 1.")


def test_binding_again_is_no_harm_and_another_library_is_refused() -> None:
    assert codecs().bind(libopus_path())[0] == 0
    result, said = codecs().bind("/nowhere/libopus.so.0")
    assert result == -4
    assert libopus_path() in said


def test_no_library_no_opus_and_one_line_why() -> None:
    bare = Codecs(flags=("-O2", "-DANOTHER"), opus=False)
    assert bare.lib.mm_opus_version() is None
    assert bare.lib.mm_decoder_bytes(OPUS) == 0
    assert bare.lib.mm_encoder_bytes(OPUS) == 0
    assert bare.lib.mm_decoder_init(pointer(memory(64)), OPUS) == -1
    for path in ("/nowhere/libopus.so.0", "libm.so.6", "x" * 5000):
        result, said = bare.bind(path)
        assert result == -1
        assert said
        assert bare.lib.mm_opus_path() is None
    assert bare.packet_samples(OPUS, b"\x48\x00") == FRAME  # told by the packet alone
    assert bare.bind(libopus_path())[0] == 0


# ---- every codec


@pytest.mark.parametrize("codec", EVERY)
@pytest.mark.parametrize("samples", [160, 320, 640, 960])
def test_packets_of_10_to_60_ms_come_back_as_what_was_sent(codec: int, samples: int) -> None:
    sent = tone(440, 9600)
    packets = codecs().encoder(codec).frames(sent, samples)
    assert all(codecs().packet_samples(codec, packet) == samples for packet in packets)
    heard = decode_all(codecs().decoder(codec), packets)
    late = DELAY[codec]
    assert snr_db(heard[3200:], sent[3200 - late : len(heard) - late]) > 20


@pytest.mark.parametrize("codec", EVERY)
def test_speech_survives(codec: int) -> None:
    sent = speech()[: 16_000 * 5]
    heard = decode_all(codecs().decoder(codec), codecs().encoder(codec).frames(sent))
    loudness = [np.mean(pcm.astype(float) ** 2) for pcm in (heard, sent)]
    assert abs(10 * np.log10(loudness[0] / loudness[1])) < 0.5


@pytest.mark.parametrize("codec", EVERY)
def test_a_copied_encoder_and_a_copied_decoder_go_on_as_the_first(codec: int) -> None:
    first, second = codecs().encoder(codec), codecs().encoder(codec)
    hearing, also = codecs().decoder(codec), codecs().decoder(codec)
    sent = frames(speech())
    for frame in sent[:50]:
        packet = first.encode(frame)
        assert packet is not None
        hearing.decode(packet)
    second.state[:] = first.state
    also.state[:] = hearing.state
    for frame in sent[50:100]:
        packet = first.encode(frame)
        assert packet == second.encode(frame)
        assert packet is not None
        ours, theirs = hearing.decode(packet), also.decode(packet)
        assert ours is not None
        assert theirs is not None
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("codec", EVERY)
def test_what_does_not_fit_is_refused_whole(codec: int) -> None:
    decoder = codecs().decoder(codec)
    packet = codecs().encoder(codec).frames(tone(440, 960))[2]
    assert decoder.decode(packet, room=FRAME - 1) is None
    assert decoder.decode(b"") is None
    heard = decoder.decode(packet, room=FRAME)
    assert heard is not None
    assert len(heard) == FRAME
    assert [decoder.conceal(n) for n in (0, -40, 39, 1960)] == [None] * 4
    encoder = codecs().encoder(codec)
    assert encoder.encode(tone(440, FRAME), room=1) is None or codec == OPUS
    assert encoder.encode(tone(440, 321)) is None


@pytest.mark.parametrize("codec", NARROW)
def test_packets_beyond_120_ms_are_none(codec: int) -> None:
    assert codecs().packet_samples(codec, bytes(960)) == 1920
    assert codecs().packet_samples(codec, bytes(961)) == -1
    assert codecs().decoder(codec).decode(bytes(961), room=4000) is None
    assert codecs().decoder(codec).decode_fec(bytes(160)) is None


@pytest.mark.parametrize("codec", NARROW)
@pytest.mark.parametrize("hz", [100, 200, 300, 440])
def test_a_lost_frame_of_a_tone_is_hardly_heard(codec: int, hz: float) -> None:
    packets = codecs().encoder(codec).frames(tone(hz, 32_000))
    whole = decode_all(codecs().decoder(codec), packets)
    made = with_losses(codecs().decoder(codec), packets, 20)
    lost = np.repeat(np.arange(len(packets)) % 20 == 10, FRAME)
    assert snr_db(made[lost], whole[lost]) > 18
    # No click where it starts and ends: nothing moves faster than the tone itself does.
    fastest = np.abs(np.diff(whole.astype(int))).max()
    assert np.abs(np.diff(made.astype(int))).max() <= 1.2 * fastest


def with_losses(decoder: Decoder, packets: list[bytes], every: int) -> Pcm:
    lost = [n % every == every // 2 for n in range(len(packets))]
    out = [decoder.conceal() if lost[n] else decoder.decode(p) for n, p in enumerate(packets)]
    return np.concatenate([pcm for pcm in out if pcm is not None])


@pytest.mark.parametrize("codec", EVERY)
def test_a_lost_frame_of_speech_is_as_loud_as_it_was_and_starts_as_it_would_have(
    codec: int,
) -> None:
    packets = codecs().encoder(codec).frames(speech())
    whole = decode_all(codecs().decoder(codec), packets).astype(float)
    levels, starts = [], []
    for first in range(10):
        made = with_losses(codecs().decoder(codec), packets[first:], 10).astype(float)
        for at in range(5 * FRAME, len(made) - FRAME, 10 * FRAME):
            ours = made[at : at + FRAME]
            want = whole[first * FRAME + at : first * FRAME + at + FRAME]
            if np.sqrt(np.mean(want**2)) < 500:
                continue
            levels.append(10 * np.log10(np.mean(ours**2) / np.mean(want**2)))
            head = slice(0, 40)  # 2.5 ms
            starts.append(np.mean((ours[head] - want[head]) ** 2) / np.mean(want**2))
    assert len(levels) > 100
    assert abs(np.median(levels)) < 3
    assert np.median(starts) < 0.4  # silence: 1


@pytest.mark.parametrize("codec", EVERY)
def test_after_a_long_loss_what_follows_is_heard(codec: int) -> None:
    packets = codecs().encoder(codec).frames(tone(300, 64_000))
    decoder = codecs().decoder(codec)
    decode_all(decoder, packets[:100])
    made = [decoder.conceal() for _ in range(40)]
    if codec in NARROW:  # libopus goes on with noise, which is what DTX wants of it
        assert not any(np.asarray(pcm).any() for pcm in made[3:])
    heard = decode_all(decoder, packets[140:])
    assert np.sqrt(np.mean(heard[3 * FRAME :].astype(float) ** 2)) > 5000


# ---- Opus


@given(payload=st.binary(max_size=300))
def test_length_of_a_packet_is_what_libopus_says(payload: bytes) -> None:
    raw = ctypes.CDLL(libopus_path())
    size = ctypes.c_int32(len(payload))
    says = raw.opus_packet_get_nb_samples(payload, size, 16_000) if payload else -1
    assert codecs().packet_samples(OPUS, payload) == (says if says > 0 else -1)


@given(payload=st.binary(min_size=1, max_size=200))
def test_redundancy_is_found_where_libopus_finds_it(payload: bytes) -> None:
    raw = ctypes.CDLL(libopus_path())
    if not hasattr(raw, "opus_packet_has_lbrr"):  # from 1.4 on
        return
    has = raw.opus_packet_has_lbrr(payload, ctypes.c_int32(len(payload))) > 0
    found = codecs().decoder(OPUS).decode_fec(payload, 960) is not None
    assert not found or has  # a broken packet with the bit set need not decode


def encode_with_fec(pcm: Pcm, rate: int = 32_000) -> list[bytes]:
    return codecs().encoder(OPUS, (rate, 5, 1, 20, 0)).frames(pcm)


def test_a_lost_frame_comes_back_from_the_next_packet() -> None:
    sent = speech()[: 16_000 * 6]
    packets = encode_with_fec(sent)
    whole = decode_all(codecs().decoder(OPUS), packets)
    rescued, better = 0, 0
    fec, plc = codecs().decoder(OPUS), codecs().decoder(OPUS)
    for n in range(len(packets) - 1):
        if n % 7 != 3:
            fec.decode(packets[n])
            plc.decode(packets[n])
            continue
        again = fec.decode_fec(packets[n + 1])
        made = plc.conceal()
        assert made is not None
        want = whole[n * FRAME : (n + 1) * FRAME]
        if again is None:
            fec.conceal()
        elif np.sqrt(np.mean(want.astype(float) ** 2)) > 300:
            rescued += 1
            better += snr_db(again, want) > snr_db(made, want)
    assert rescued > 20
    assert better > 0.8 * rescued


def test_two_lost_frames_are_one_made_up_and_one_from_the_next_packet() -> None:
    packets = encode_with_fec(speech())
    decoder = codecs().decoder(OPUS)
    decode_all(decoder, packets[:60])
    pcm = decoder.decode_fec(packets[62], 2 * FRAME)
    assert pcm is not None
    assert len(pcm) == 2 * FRAME


def test_a_packet_without_redundancy_says_so() -> None:
    plain = codecs().encoder(OPUS).frames(speech()[:32_000])
    decoder = codecs().decoder(OPUS)
    assert all(decoder.decode_fec(packet) is None for packet in plain)
    rich = encode_with_fec(speech()[:32_000])
    assert decoder.decode_fec(rich[60], 160) is None  # shorter than its frame
    assert decoder.decode_fec(rich[60], 321) is None
    assert decoder.decode_fec(b"") is None


def test_fec_can_be_switched_in_mid_stream() -> None:
    encoder, decoder = codecs().encoder(OPUS), codecs().decoder(OPUS)
    found = []
    for n, frame in enumerate(frames(speech()[:48_000])):
        encoder.lib.mm_encoder_set_fec(pointer(encoder.state), int(n >= 75), 10 * int(n >= 75))
        packet = encoder.encode(frame)
        assert packet is not None
        found.append(decoder.decode_fec(packet) is not None)
    assert not any(found[:75])
    assert sum(found[76:]) > 30


def test_stereo_and_fullband_come_out_as_16_khz_mono() -> None:
    raw = ctypes.CDLL(libopus_path())
    state = memory(raw.opus_encoder_get_size(2))
    assert raw.opus_encoder_init(pointer(state), 48_000, 2, 2049) == 0
    raw.opus_encoder_ctl(pointer(state), 4002, ctypes.c_int(96_000))
    time = np.arange(48_000) / 48_000
    left, right = 9000 * np.sin(2 * np.pi * 400 * time), 3000 * np.sin(2 * np.pi * 400 * time)
    both = np.stack([left, right], axis=1).astype(np.int16)
    decoder, heard = codecs().decoder(OPUS), []
    for frame in both.reshape(-1, 960, 2):
        out, pcm = np.zeros(1500, np.uint8), np.ascontiguousarray(frame)
        size = raw.opus_encode(pointer(state), pointer(pcm), 960, pointer(out), 1500)
        got = decoder.decode(out[:size].tobytes())
        assert got is not None
        assert len(got) == FRAME
        heard.append(got)
    level = np.sqrt(2 * np.mean(np.concatenate(heard)[3200:].astype(float) ** 2))
    assert abs(level - 6000) < 300


def test_several_frames_in_one_packet_are_one_packet() -> None:
    # Code 1 of RFC 6716: two frames of one size under one table-of-contents byte, here of CBR.
    encoder = codecs().encoder(OPUS, (16_000, 5, 0, 0, 0))
    short = encoder.frames(tone(440, 3200), 320)
    pair = next((a, b) for a, b in pairwise(short[4:]) if len(a) and len(b))
    code_2 = bytes([pair[0][0] | 2, len(pair[0]) - 1]) + pair[0][1:] + pair[1][1:]
    assert codecs().packet_samples(OPUS, code_2) == 640
    one, two = codecs().decoder(OPUS), codecs().decoder(OPUS)
    whole = one.decode(code_2)
    parts = decode_all(two, list(pair))
    assert whole is not None
    assert np.array_equal(whole, parts)


def test_dtx_sends_next_to_nothing_in_silence() -> None:
    encoder = codecs().encoder(OPUS, (32_000, 5, 0, 0, 1))
    sizes = [len(encoder.encode(np.zeros(FRAME, np.int16)) or b"") for _ in range(200)]
    assert sizes[:5] != [0] * 5
    assert sizes[50:].count(0) > 120
    assert any(sizes[50:])  # now and then the noise is described


@pytest.mark.parametrize(
    "bad",
    [(5999, 5, 0, 0, 0), (600_000, 5, 0, 0, 0), (32_000, 11, 0, 0, 0), (32_000, 5, 1, 101, 0)],
)
def test_settings_out_of_range_are_refused(bad: tuple[int, ...]) -> None:
    state = memory(codecs().lib.mm_encoder_bytes(OPUS))
    assert codecs().lib.mm_encoder_init(pointer(state), OPUS, ctypes.byref(Settings(*bad))) == -1


def test_after_three_packets_of_rubbish_a_decoder_is_as_new() -> None:
    packets = codecs().encoder(OPUS).frames(speech()[:32_000])
    worn, fresh = codecs().decoder(OPUS), codecs().decoder(OPUS)
    decode_all(worn, packets[:50])
    rubbish = bytes([0xFF, 0xFF, 0xFF])
    assert [worn.decode(rubbish) for _ in range(3)] == [None] * 3
    assert np.array_equal(decode_all(worn, packets[50:]), decode_all(fresh, packets[50:]))


def test_two_packets_of_rubbish_change_nothing() -> None:
    packets = codecs().encoder(OPUS).frames(speech()[:32_000])
    worn, other = codecs().decoder(OPUS), codecs().decoder(OPUS)
    decode_all(worn, packets[:50])
    decode_all(other, packets[:50])
    assert [worn.decode(b"\xff\xff\xff") for _ in range(2)] == [None] * 2
    assert np.array_equal(decode_all(worn, packets[50:]), decode_all(other, packets[50:]))


@pytest.mark.parametrize("codec", EVERY)
@pytest.mark.parametrize("seed", range(5))
def test_rubbish_ends_with_a_good_talkspurt_as_good_as_ever(codec: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    decoder = codecs().decoder(codec)
    for _ in range(500):
        payload = rng.integers(0, 256, rng.integers(0, 200), dtype=np.uint8).tobytes()
        if rng.integers(4) == 0:
            decoder.decode_fec(payload, int(rng.integers(1, 48)) * 40)
        if rng.integers(4) == 0:
            decoder.conceal(int(rng.integers(1, 24)) * 40)
        decoder.decode(payload)
    sent = tone(440, 32_000)
    heard = decode_all(decoder, codecs().encoder(codec).frames(sent))
    late = DELAY[codec]
    assert snr_db(heard[16_000:], sent[16_000 - late : len(heard) - late]) > 20


def test_settings_have_the_layout_that_is_used_here() -> None:
    assert ctypes.sizeof(Settings) == 8
    assert PLAIN[0] == Settings(*PLAIN).bit_rate
