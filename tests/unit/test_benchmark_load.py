"""The packets of the load generator, and the accounts that benchmarks keep."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from aioice import stun
from benchmarks import density, scale
from benchmarks.load.client import LEAST_DBOV, Window, listened
from benchmarks.load.datagrams import caller_host
from benchmarks.load.generator import MOMENTS, MOST, ROWS_A_MOMENT, row_of
from benchmarks.load.packets import encode_loop
from benchmarks.load.streams import Streams, is_rtcp, parse_rtp
from benchmarks.load.webrtc import Identity, WebRtcCaller, parse_answer
from benchmarks.peers.base import Setting
from benchmarks.processes import (
    BenchmarkError,
    Cores,
    CpuMeter,
    cpu_seconds,
    parse_cpu_ticks,
    plan_cores,
    thread_seconds,
)

STAT = "4711 (a (b) c) S 1 4711 4711 0 -1 4194304 100 0 0 0 {user} {system} 0 0 20 0 5 0 99 0 0"
ANSWER = """v=0\r
m=audio 40000 UDP/TLS/RTP/SAVPF 96\r
a=rtpmap:96 opus/48000/2\r
a=ice-ufrag:abcd\r
a=ice-pwd:0123456789012345678901\r
a=setup:passive\r
a=candidate:1 1 udp 2130706431 fe80::1 40000 typ host\r
a=candidate:2 1 udp 2130706430 127.0.0.1 40000 typ host\r
"""


# ---- packets -------------------------------------------------------------------------------------


def streams() -> Streams:
    made = Streams(4, {"bursts": encode_loop("bursts", 32_000)})
    made.begin(0, "bursts", at=44, ssrc=7, payload_type=96, level_id=1)
    made.begin(1, "bursts", at=0, ssrc=8, payload_type=96, level_id=1)
    return made


def packets_of(made: Streams, count: int) -> list[list[bytes]]:
    into = np.zeros((2, made.width), np.uint8)
    said: list[list[bytes]] = []
    for _ in range(count):
        sizes = made.write_next(slice(0, 2), into)
        said.append([bytes(row[:size]) for row, size in zip(into, sizes, strict=True)])
    return said


def test_streams_count_up_and_carry_their_level() -> None:
    loop, made = encode_loop("bursts", 32_000), streams()
    said = packets_of(made, 3)
    heads = [parse_rtp(packets[0]) for packets in said]
    assert {head.ssrc for head in heads} == {7}
    first = heads[0].sequence
    assert [head.sequence for head in heads] == [(first + n) & 0xFFFF for n in range(3)]
    for head, at in zip(heads, (44, 0, 1), strict=True):
        assert head.payload == bytes(loop.payloads[at, : loop.sizes[at]])
    times = [int.from_bytes(packets[0][4:8], "big") for packets in said]
    assert {(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(times)} == {960}
    # RFC 8285 one-byte extension with RFC 6464 inside: voice at -12 dBov, none in the quiet room.
    assert [packets[0][12:17].hex() for packets in said] == ["bede000110"] * 3
    assert [packets[0][17] for packets in said] == [loop.levels[44], 0x80 | 12, 0x80 | 12]


def test_an_onset_is_told_before_its_packet_is_written() -> None:
    made = streams()
    assert list(made.at_loop_begin(slice(0, 2))) == [1]
    packets_of(made, 1)
    assert list(made.at_loop_begin(slice(0, 2))) == [0]


def test_left_out_periods_are_time_and_no_packets() -> None:
    made = streams()
    before = packets_of(made, 1)[0][0]
    made.skip(5)
    after = packets_of(made, 1)[0][0]
    assert parse_rtp(after).sequence == (parse_rtp(before).sequence + 1) & 0xFFFF
    passed = int.from_bytes(after[4:8], "big") - int.from_bytes(before[4:8], "big")
    assert passed & 0xFFFFFFFF == 6 * 960


def test_rtp_is_read_with_csrcs_extension_and_padding() -> None:
    head = bytes([0xB1, 96]) + (5).to_bytes(2, "big") + bytes(4) + (9).to_bytes(4, "big")
    extended = bytes(4) + bytes([0xBE, 0xDE, 0, 1]) + bytes(4)
    read = parse_rtp(head + extended + b"payload" + bytes([0, 0, 3]))
    assert (read.sequence, read.ssrc, read.payload) == (5, 9, b"payload")


@pytest.mark.parametrize("junk", [b"", bytes(11), bytes(12), bytes([0xBF, 96]) + bytes(10)])
def test_what_is_no_rtp_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="expected an RTP packet"):
        parse_rtp(junk)


def test_rtcp_is_told_from_rtp() -> None:
    assert is_rtcp(bytes([0x80, 200]))
    assert not is_rtcp(bytes([0x80, 96]))
    assert not is_rtcp(bytes([0x80, 0x80 | 96]))


def test_callers_have_addresses_and_rows_of_their_own() -> None:
    assert caller_host(0) == "127.77.0.1"
    assert caller_host(255) == "127.77.1.0"
    with pytest.raises(ValueError, match="expected a caller from 0"):
        caller_host(-1)
    rows = [row_of(caller) for caller in range(MOST)]
    assert len(set(rows)) == MOST
    # Of one moment without a hole, in the order in which they came: one system call sends them.
    assert rows[3:60:MOMENTS] == list(range(3 * ROWS_A_MOMENT, 3 * ROWS_A_MOMENT + 6))


# ---- WebRTC callers ------------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    read = parse_answer(ANSWER)
    assert (read.ufrag, read.address, read.active) == ("abcd", ("127.0.0.1", 40000), False)
    assert read.payload_type == 96


@pytest.mark.parametrize("missing", ["ice-ufrag", "ice-pwd", "setup", "rtpmap", "127.0.0.1"])
def test_what_an_answer_lacks_is_named(missing: str) -> None:
    lines = [line for line in ANSWER.splitlines() if missing not in line]
    with pytest.raises(ValueError, match=r"expected .* in the answer"):
        parse_answer("\r\n".join(lines))


def connected(identity: Identity) -> tuple[WebRtcCaller, WebRtcCaller]:
    """Two callers that answer each other: no socket, no clock. Read: *one* is the DTLS client."""
    one = WebRtcCaller(identity, ("127.77.0.1", 1), 1)
    two = WebRtcCaller(identity, ("127.77.0.2", 2), 2)
    one.accept(two.offer().replace("actpass", "passive"))
    two.accept(one.offer().replace("actpass", "active"))
    for now_s in range(20):
        now_ns = now_s * 1_000_000_000
        waiting = [(one, two, data) for data in one.due(now_ns)]
        waiting += [(two, one, data) for data in two.due(now_ns)]
        for sender, receiver, data in waiting:  # grows while what was sent is answered
            waiting += [(receiver, sender, more) for more in receiver.take(data, sender.address)]
    return one, two


def test_two_callers_agree_on_keys() -> None:
    one, two = connected(Identity())
    assert one.keys is not None
    assert two.keys is not None
    packet = bytes([0x80, 96, 0, 1]) + bytes(8) + b"payload"
    for sender, receiver in ((one, two), (two, one)):
        assert sender.keys is not None
        assert receiver.keys is not None
        secret = sender.keys.send.protect(packet)
        assert b"payload" not in secret
        assert receiver.keys.receive.unprotect(secret) == packet


def test_a_check_is_answered_with_where_it_came_from() -> None:
    caller = WebRtcCaller(Identity(), ("127.77.0.1", 1), 1)
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    [answer] = caller.take(bytes(request), ("127.0.0.1", 4242))
    message = stun.parse_message(answer)
    assert message.message_class == stun.Class.RESPONSE
    assert message.attributes["XOR-MAPPED-ADDRESS"] == ("127.0.0.1", 4242)


# ---- accounts ------------------------------------------------------------------------------------


def test_cpu_ticks_are_user_and_system_behind_any_name() -> None:
    assert parse_cpu_ticks(STAT.format(user=12, system=30)) == 42


def test_a_process_that_ended_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(BenchmarkError, match="has ended"):
        cpu_seconds(process.pid)


def test_threads_add_up_to_their_process() -> None:
    sum(n * n for n in range(300_000))
    whole, parts = cpu_seconds(os.getpid()), sum(thread_seconds(os.getpid()).values())
    assert parts <= whole + 0.05
    assert CpuMeter([os.getpid()]).cores().keys() == {os.getpid()}


def test_what_is_measured_has_a_core_of_its_own() -> None:
    assert plan_cores([3, 1]) == Cores(measured=1, second=3, load=3)
    assert plan_cores([0, 1, 2]) == Cores(measured=0, second=1, load=2)
    with pytest.raises(BenchmarkError, match="expected two cores"):
        plan_cores([0])


def window(**changed: Any) -> Window:
    good: dict[str, Any] = {
        "seconds": 10.0,
        "cores": 0.5,
        "load_cores": 0.1,
        "least_share": 1.0,
        "level_dbov": -20.0,
        "late_share": 0.0,
        "sent_share": 1.0,
        "least_dbov": LEAST_DBOV,
        "threads": {},
    }
    return Window(**good | changed)


def test_a_good_window_has_no_problem() -> None:
    assert window().problem is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sent_share": 0.98}, "sent only 98.0%"),
        ({"least_share": 0.5}, "only 50%"),
        ({"level_dbov": -65.0}, "nobody"),
    ],
)
def test_a_window_that_says_nothing_says_why(changed: dict[str, Any], said: str) -> None:
    problem = window(**changed).problem
    assert problem is not None
    assert said in problem


def test_packets_that_come_late_say_nothing_of_delay_but_cost_the_same() -> None:
    late = window(late_share=0.2)
    assert late.problem is None
    assert "over 5 ms late for 20%" in str(late.problem_of_delay)
    assert "nobody" in str(window(level_dbov=-65.0).problem_of_delay)
    assert window().problem_of_delay is None


def test_those_listened_to_are_spread() -> None:
    assert listened([1, 2]) == [1, 2]
    assert listened(list(range(100))) == [0, 33, 66, 99]


def row(key: str, speak: str, legs: int, setting: str, cores: float) -> dict[str, Any]:
    return {
        "way": key,
        "key": key,
        "speak": speak,
        "legs": legs,
        "setting": setting,
        "cores": cores,
        "problem": None,
    }


def test_density_is_compared_at_one_setting() -> None:
    five, three = str(Setting(complexity=5)), str(Setting(complexity=3))
    rows = [
        row("aiortc", "all", 20, "48 kHz", 0.6),
        row("webrtc", "all", 20, five, 0.12),
        row("webrtc", "all", 20, three, 0.15),
        row("rtp", "3", 100, three, 0.11),
        row("janus", "3", 100, three, 0.50),
    ]
    found = {goal["what"]: (goal["measured"], goal["met"]) for goal in density.goals(rows)}
    assert [met for _, met in found.values()] == [True, False, False, None, None, None]
    assert [r for r, _ in found.values() if r is not None] == pytest.approx([0.2, 0.25, 0.22])
    rows[0]["problem"] = "the load was late"
    told = density.goals(rows)
    assert [goal["met"] for goal in told] == [None, None, False, None, None, None]
    assert told[0]["why"] == "aiortc, 20 legs: the load was late"
    assert told[4]["why"] == (
        f"no row of rtp, 100 legs, all speaking, {three}; "
        f"no row of janus, 100 legs, all speaking, {three}"
    )


def step(legs: int, p99_ms: float | None, problem: str | None = None) -> dict[str, Any]:
    return {"legs": legs, "tick p99 ms": p99_ms, "problem": problem}


def test_legs_that_fit_lie_between_two_steps() -> None:
    assert scale.legs_within([step(100, 8.0), step(140, 12.0)]) == pytest.approx(120.0)
    assert scale.legs_within([step(100, 8.0), step(120, 9.0)]) is None
    assert scale.legs_within([step(100, 8.0, "the generator was late"), step(140, 12.0)]) is None
    assert scale.legs_within([step(100, None), step(120, 9.0), step(140, 11.0)]) == 130.0


def test_two_cores_are_compared_with_one_where_both_say_something() -> None:
    one = [step(100, 8.0), step(140, 12.0)]
    two = [step(200, 9.0), step(240, 11.0)]
    (found,) = scale.goals({1: one, 2: two})
    assert (found["measured"], found["met"]) == (pytest.approx(220 / 120), True)
    assert "220 and 120" in found["what"]
    for ramps, why in (
        ({}, "1 core: not run; 2 cores: not run"),
        ({1: one}, "2 cores: not run"),
        ({1: one, 2: [step(200, 9.0)]}, "2 cores: no ticks took more than 10 ms"),
        ({1: [step(100, 11.0)], 2: two}, "1 core: the first ticks took more than 10 ms already"),
        ({1: one, 2: [step(200, None)]}, "2 cores: no ticks were looked at"),
        ({1: one, 2: [step(200, 9.0), step(240, 11.0, "late")]}, "2 cores: late"),
    ):
        (found,) = scale.goals(ramps)
        assert (found["measured"], found["met"], found["why"]) == (None, None, why)
    assert scale.ramp_notes({2: [step(200, 9.0)]}) == [
        "2 cores, tick p99 <= 10 ms: no figure (no ticks took more than 10 ms)"
    ]


def test_a_range_of_cores_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "available_cores", lambda: [0, 1, 2, 3])
    assert scale.core_range("1..3") == [1, 2, 3]
    assert scale.core_range("2") == [2]
    assert scale.core_range("0") == []
    for wrong in ("0..2", "1..9", "3..1", "all"):
        with pytest.raises(Exception, match=r"expected 1\.\.N"):
            scale.core_range(wrong)
