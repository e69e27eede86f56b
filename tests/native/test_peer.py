"""The parts of a peer without a call around them, and the whole under threads and sanitizers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.native import codecs as kit
from tests.native import test_encode
from tests.native.clib import COMPILER, FUZZ, HERE, SANITIZE, fuzz, library, program, replay
from tests.native.test_encode import Group, Leg
from tests.sim.peers import PEER_SOURCES, codecs, counter_numbers
from tests.sim.receiver import FRAME, FRAME_NS, SKIPPED, SOURCES, Meta, Pcm

SECOND = 1_000_000_000
EVERY = tuple(dict.fromkeys((*kit.CODEC_SOURCES, *SOURCES, *PEER_SOURCES)))
TOY_SRTP = FUZZ / "toy_srtp.c"
TARGETS = {"peer": (*EVERY, TOY_SRTP)}
RT_GUARD = (
    "-O2", "-DMM_RT_CHECK", str(HERE / "rt_guard.c"),
    *(f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "free", "mmap", "pthread_mutex_lock")),
)  # fmt: skip
BUILDS = {
    "plain": ("-O2",),
    "rt": RT_GUARD,
    "asan": SANITIZE,
    "tsan": ("-O1", "-g", "-fsanitize=thread"),
}
TICKS = {"plain": 10_000, "rt": 5_000, "asan": 3_000, "tsan": 3_000}


# ---- frames of a link as payloads ----------------------------------------------------------------


def written(pcm: Pcm | None, flags: int, speakers: tuple[int, ...]) -> bytes:
    meta = Meta(0, flags, len(speakers), (ctypes.c_uint32 * 8)(*speakers[:8]))
    payload = np.zeros(676, np.uint8)
    write = codecs().lib.mm_pcm16k_write
    write.restype = ctypes.c_size_t
    samples = None if pcm is None else kit.pointer(pcm)
    size = write(kit.pointer(payload), ctypes.byref(meta), samples)
    return payload[:size].tobytes()


def test_a_frame_is_640_bytes_its_flags_and_its_speakers() -> None:
    pcm = np.arange(-160, 160, dtype=np.int16)
    payload = written(pcm, SKIPPED | 1, (7, 0xDEADBEEF))
    assert payload[:640] == pcm.astype("<i2").tobytes()
    assert payload[640:] == bytes([5, 0, 0, 0, 7, 0, 0, 0, 0xEF, 0xBE, 0xAD, 0xDE])
    assert len(written(pcm, 0, ())) == 644
    assert len(written(pcm, 0, tuple(range(8)))) == 676


def test_a_silent_frame_has_no_samples_and_says_so() -> None:
    payload = written(None, SKIPPED, (7,))
    assert payload == bytes([5, 0, 0, 0, 7, 0, 0, 0])
    decoder = codecs().decoder(kit.PCM16K)
    decoder.decode(written(np.full(FRAME, 900, np.int16), 0, ()))
    silence = decoder.decode(written(None, 0, ()))
    assert silence is not None
    assert len(silence) == FRAME
    assert not silence.any()


@given(st.integers(0, 700))
def test_only_such_a_payload_is_one(size: int) -> None:
    payload = bytes(size)
    silent = 4 <= size <= 36
    whole = (silent or 644 <= size <= 676) and size % 4 == 0
    assert codecs().packet_samples(kit.PCM16K, payload) == (FRAME if whole else -1)
    decoded = codecs().decoder(kit.PCM16K).decode(payload)
    assert (decoded is not None) == whole


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=8))
def test_what_is_written_is_read(flags: int, speakers: list[int]) -> None:
    payload = written(np.zeros(FRAME, np.int16), flags, tuple(speakers))
    meta = Meta(5, 1, 8, (ctypes.c_uint32 * 8)(*[9] * 8))
    codecs().lib.mm_pcm16k_meta(ctypes.byref(meta), payload, ctypes.c_size_t(len(payload)))
    assert meta.timestamp == 5
    assert meta.flags == flags
    assert list(meta.speakers) == [*speakers, *[0] * (8 - len(speakers))]
    assert meta.speaker_count == len(speakers)


def test_frames_of_a_link_are_decoded_bit_for_bit_and_concealed_like_g711() -> None:
    decoder, like = codecs().decoder(kit.PCM16K), codecs().decoder(kit.PCM16K)
    said = kit.frames(kit.speech())[40:60]
    for pcm in said:
        for one in (decoder, like):
            decoded = one.decode(written(pcm, 0, ()))
            assert decoded is not None
            assert (decoded == pcm).all()
    # A tick that was left out sounds as a lost frame does.
    lost = decoder.conceal()
    left_out = like.decode(written(np.zeros(FRAME, np.int16), SKIPPED, ()))
    assert lost is not None
    assert left_out is not None
    assert (lost == left_out).all()
    assert np.abs(lost).max() > 500
    for _ in range(3):
        lost = decoder.conceal()
    assert lost is not None
    assert not lost.any()


def test_frames_of_a_link_have_no_encoder() -> None:
    lib = codecs().lib
    assert lib.mm_encoder_bytes(kit.PCM16K) == 0
    assert lib.mm_encode_room(kit.PCM16K) == 0
    chosen = kit.Settings(*kit.PLAIN)
    memory = kit.memory(64)
    assert lib.mm_encoder_init(kit.pointer(memory), kit.PCM16K, ctypes.byref(chosen)) == -1
    assert not memory.any()


# ---- leaving a group -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [kit.OPUS, kit.PCMU, kit.PCMA, kit.G722])
def test_who_parts_goes_on_where_the_group_was(codec: int) -> None:
    """Its packets are those that it would have got, and those who stay notice nothing."""
    said = kit.frames(kit.speech())
    group, undisturbed, elsewhere = (Group(codec) for _ in range(3))
    legs, others = [Leg(codec) for _ in range(3)], [Leg(codec) for _ in range(3)]
    for pcm in said[:60]:
        group.tick(pcm, legs)
        undisturbed.tick(pcm, others)
    leaves, *stay = legs
    lib = test_encode.codecs().lib
    lib.mm_encode_leg_part(ctypes.byref(group.state), ctypes.byref(leaves.state))
    assert leaves.state.size == -1
    assert leaves.state.payload is None
    for pcm in said[60:120]:
        expected = undisturbed.tick(pcm, others)
        assert group.tick(pcm, stay) == expected[1:]
        assert elsewhere.tick(pcm, [leaves]) == expected[:1]
    assert group.counters()["leaves"] == 1


def test_who_was_nowhere_yet_may_part_too() -> None:
    group, leg = Group(kit.PCMU), Leg(kit.PCMU)
    lib = test_encode.codecs().lib
    lib.mm_encode_leg_part(ctypes.byref(group.state), ctypes.byref(leg.state))
    assert group.counters()["leaves"] == 0
    [packet] = group.tick(kit.speech()[:FRAME], [leg])
    assert len(packet) == 160


# ---- when reports are due ------------------------------------------------------------------------


class Schedule(ctypes.Structure):
    _fields_ = (
        ("running", ctypes.c_int), ("due_ns", ctypes.c_int64), ("chance", ctypes.c_uint32),
    )  # fmt: skip


def due_times(seed: int, seconds: int, step_ns: int = FRAME_NS, begin_ns: int = 0) -> list[int]:
    lib = library("rtcp_schedule.c")
    lib.mm_rtcp_schedule_due.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    schedule = Schedule()
    lib.mm_rtcp_schedule_init(ctypes.byref(schedule), ctypes.c_uint32(seed))
    return [
        now
        for now in range(begin_ns, begin_ns + seconds * SECOND, step_ns)
        if lib.mm_rtcp_schedule_due(ctypes.byref(schedule), now)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 0xFFFFFFFF, 0x80000000])
def test_reports_are_due_once_a_second_on_the_average(seed: int) -> None:
    times = due_times(seed, 300, begin_ns=77 * SECOND)
    gaps = np.diff(times) / SECOND
    assert 77.25 <= times[0] / SECOND <= 77.77
    assert 0.5 <= gaps.min() < 0.6
    assert 1.4 < gaps.max() <= 1.52
    assert 0.95 < gaps.mean() < 1.07


def test_legs_made_one_after_the_other_do_not_report_in_one_tick() -> None:
    firsts = [due_times(seed, 1)[0] // FRAME_NS for seed in range(100)]
    assert max(firsts.count(tick) for tick in firsts) <= 16
    assert len(set(firsts)) >= 20


def test_after_a_long_absence_one_report_is_due_and_not_all_that_were_missed() -> None:
    lib = library("rtcp_schedule.c")
    schedule = Schedule()
    lib.mm_rtcp_schedule_init(ctypes.byref(schedule), ctypes.c_uint32(5))
    calls = [0, 100 * SECOND, 100 * SECOND + FRAME_NS, 100 * SECOND + 2 * FRAME_NS]
    due = [lib.mm_rtcp_schedule_due(ctypes.byref(schedule), ctypes.c_int64(now)) for now in calls]
    assert due == [0, 1, 0, 0]


# ---- counters ------------------------------------------------------------------------------------


def test_every_counter_has_a_name_of_its_own() -> None:
    names = counter_numbers()
    assert len(names) == 31
    assert {"received", "lost", "round_trip_us", "srtp_forged", "sent_octets"} <= set(names)
    assert codecs().lib.mm_peer_counter_name(len(names)) is None


# ---- all of it, under load -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    ["plain", "rt", "tsan", pytest.param("asan", marks=pytest.mark.slow)],
)
def test_threads_share_peers_without_a_race_an_allocation_or_a_leak(build: str) -> None:
    """A packet thread, two tick threads that hand the peers to each other, a control side."""
    target = program(*EVERY, TOY_SRTP, HERE / "peer_stress.c", flags=BUILDS[build])
    command = [str(target), str(TICKS[build])]
    if build == "tsan" and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not start here: unexpected memory mapping")
    assert done.returncode == 0, done.stderr
    assert "nothing left behind" in done.stdout


def test_an_allocation_in_a_tick_would_be_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The guard that the build above trusts in, against a tick that breaks the rule."""
    folder = tmp_path_factory.mktemp("guard")
    source = folder / "allocates.c"
    source.write_text(
        '#include <stdlib.h>\n#include "rt_check.h"\n'
        "int main(void) { MM_RT_ENTER(); free(malloc(9)); MM_RT_LEAVE(); return 0; }\n"
    )
    command = [
        COMPILER, "-std=c11", f"-I{HERE.parent.parent / 'native'}", str(source), "-o",
        str(folder / "allocates"), *RT_GUARD, "-fno-builtin",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    done = subprocess.run([folder / "allocates"], capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert "malloc in a tick" in done.stderr


@pytest.mark.slow
def test_clang_has_no_more_to_say_than_gcc() -> None:
    if not shutil.which("clang"):
        pytest.skip("no clang")
    program(*EVERY, TOY_SRTP, HERE / "peer_stress.c", flags=("-O2",), compiler="clang")


@pytest.mark.slow
def test_a_whole_life_of_anything() -> None:
    assert "1000 made ones" in replay("peer", *EVERY, TOY_SRTP, runs=1000)


@pytest.mark.slow
def test_libfuzzer_finds_nothing() -> None:
    if not shutil.which("clang"):
        pytest.skip("libFuzzer comes with clang")
    fuzz("peer", *EVERY, TOY_SRTP, seconds=30)
