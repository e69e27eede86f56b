"""Offers and answers of plain RTP: what a gateway writes, what we answer, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.media.transports.rtp_parameters import RTP_CODECS, RtpParameters
from mixminus.media.transports.rtp_sdp import (
    DIRECTIONS,
    Direction,
    answer_offer,
    parse_answer,
    write_offer,
)
from mixminus.media.transports.sdp import SdpError, check_sdp

HERE = ("127.0.0.1", 40_000)
THERE = ("192.0.2.7", 12_000)

# The shape of Asterisk's and FreeSWITCH's offers, with a video line that nobody wants.
GATEWAY = """v=0
o=- 1714 3 IN IP4 192.0.2.7
s=call
c=IN IP4 192.0.2.7
t=0 0
m=audio 12000 RTP/AVP 0 8 9 107 101 102 13
a=rtpmap:0 PCMU/8000/1
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=rtpmap:107 opus/48000/2
a=fmtp:107 maxaveragebitrate=24000; useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=rtpmap:102 telephone-event/48000
a=ptime:30
a=maxptime:150
m=video 12002 RTP/AVP 96
a=rtpmap:96 H264/90000
"""


def changed(old: str, new: str) -> str:
    assert old in GATEWAY
    return GATEWAY.replace(old, new)


def test_the_first_codec_of_the_offer_that_is_wanted_is_taken() -> None:
    answer, negotiated = answer_offer(GATEWAY, HERE)
    assert negotiated.parameters == RtpParameters(
        codec="pcmu",
        payload_type=0,
        remote=THERE,
        event_type=101,
        fec=False,
        received_types={
            0: "pcmu",
            101: "telephone-event",
            102: "telephone-event",
            13: "comfort-noise",
        },
    )
    assert (negotiated.sends, negotiated.receives) == (True, True)
    assert (negotiated.ptime_ms, negotiated.rtcp_mux) == (30, False)
    lines = answer.split("\r\n")
    assert "m=audio 40000 RTP/AVP 0 101 102 13" in lines
    assert "c=IN IP4 127.0.0.1" in lines
    # A line of the answer for each of the offer's, what is not taken with port 0 (RFC 3264).
    assert lines.index("m=video 0 RTP/AVP 96") > lines.index("a=sendrecv")
    assert "a=rtcp-mux" not in lines
    assert "a=rtcp:40000" in lines


def test_opus_is_sent_as_the_far_end_can_use_it() -> None:
    _, negotiated = answer_offer(GATEWAY, HERE, ("opus",))
    parameters = negotiated.parameters
    assert (parameters.codec, parameters.payload_type) == ("opus", 107)
    assert (parameters.fec, parameters.bit_rate) == (True, 24_000)
    # Tones go on the audio's clock, and comfort noise of 8 kHz codecs is no part of Opus.
    assert parameters.event_type == 102
    assert 13 not in parameters.received_types
    _, plain = answer_offer(changed("; useinbandfec=1", ""), HERE, ("opus",))
    assert not plain.parameters.fec
    _, slow = answer_offer(changed("=24000", "=99"), HERE, ("opus",))
    assert slow.parameters.bit_rate == 6000
    # A bridge has room for so many settings, not for one of each far end.
    _, odd = answer_offer(changed("=24000", "=23999"), HERE, ("opus",))
    assert odd.parameters.bit_rate == 16_000
    _, absurd = answer_offer(changed("=24000", "=" + "9" * 400), HERE, ("opus",))
    assert absurd.parameters.bit_rate == 32_000


def test_tones_whose_clock_is_not_the_audios_are_heard_and_not_sent() -> None:
    offer = changed("a=rtpmap:102 telephone-event/48000\n", "")
    _, negotiated = answer_offer(offer, HERE, ("opus",))
    assert negotiated.parameters.event_type is None
    assert negotiated.parameters.received_types[101] == "telephone-event"


# As `ffmpeg -sdp_file` writes them for its Opus and its G.722.
FFMPEG = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=No Name
c=IN IP4 127.0.0.1
t=0 0
a=tool:libavformat LIBAVFORMAT_VERSION
m=audio 15004 RTP/AVP 97
b=AS:64
a=rtpmap:97 opus/48000/2
"""


def test_what_ffmpeg_writes_is_understood() -> None:
    opus = answer_offer(FFMPEG, HERE)[1].parameters
    assert (opus.codec, opus.payload_type, opus.fec) == ("opus", 97, False)
    assert opus.remote == ("127.0.0.1", 15_004)
    g722 = FFMPEG.replace("AVP 97", "AVP 9").replace("a=rtpmap:97 opus/48000/2\n", "")
    assert answer_offer(g722, HERE)[1].parameters.codec == "g722"


def test_comfort_noise_is_offered_by_its_number_alone() -> None:
    # FFmpeg takes any rtpmap of a static payload type for the codec of the whole stream.
    assert "m=audio 12000 RTP/AVP 0 101 13\r\n" in write_offer(THERE, ("pcmu",))
    assert "CN" not in write_offer(THERE, ("pcmu",))
    answer, there = answer_offer(write_offer(THERE, ("pcmu",)), HERE)
    here = parse_answer(answer, offer=write_offer(THERE, ("pcmu",)))
    for negotiated in (here, there):
        assert negotiated.parameters.received_types[13] == "comfort-noise"


def test_static_payload_types_need_no_rtpmap_and_g722_may_call_its_clock_16000() -> None:
    bare = "v=0\nc=IN IP4 192.0.2.7\nm=audio 12000 RTP/AVP 18 9 8 0\n"
    assert answer_offer(bare, HERE)[1].parameters.codec == "g722"
    assert answer_offer(bare, HERE, ("pcmu", "pcma"))[1].parameters.codec == "pcma"
    named = bare + "a=rtpmap:9 G722/16000\n"
    assert answer_offer(named, HERE)[1].parameters.codec == "g722"


@pytest.mark.parametrize("codecs", [*((codec,) for codec in RTP_CODECS), RTP_CODECS])
@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_our_offer_and_our_answer_agree(codecs: tuple[str, ...], host: str) -> None:
    offer = write_offer((host, 12_000), codecs)
    answer, there = answer_offer(offer, ("::1", 40_000))
    here = parse_answer(answer, offer=offer)
    assert here.parameters.codec == there.parameters.codec == codecs[0]
    assert here.parameters.payload_type == there.parameters.payload_type
    assert here.parameters.event_type == there.parameters.event_type is not None
    assert here.parameters.level_extension_id == there.parameters.level_extension_id == 1
    assert here.parameters.remote == ("::1", 40_000)
    assert there.parameters.remote == (host, 12_000)
    assert here.rtcp_mux
    assert there.rtcp_mux
    assert here.parameters.fec == there.parameters.fec == (codecs[0] == "opus")
    # Whatever the far end may send is taken: all of the offer here, the chosen codec there.
    assert set(codecs) <= set(here.parameters.received_types.values())
    assert codecs[0] in there.parameters.received_types.values()


@pytest.mark.parametrize("offered", DIRECTIONS)
@pytest.mark.parametrize("wanted", DIRECTIONS)
def test_each_end_sends_what_the_other_receives(offered: Direction, wanted: Direction) -> None:
    offer = write_offer(THERE, direction=offered)
    answer, here = answer_offer(offer, HERE, direction=wanted)
    there = parse_answer(answer, offer=offer)
    assert (here.sends, here.receives) == (there.receives, there.sends)
    assert here.sends == (
        offered in ("sendrecv", "recvonly") and wanted in ("sendrecv", "sendonly")
    )
    assert there.sends == (
        offered in ("sendrecv", "sendonly") and wanted in ("sendrecv", "recvonly")
    )


def test_an_address_of_zeros_is_the_old_way_to_hold() -> None:
    _, negotiated = answer_offer(changed("c=IN IP4 192.0.2.7", "c=IN IP4 0.0.0.0"), HERE)
    assert negotiated.parameters.remote is None
    assert (negotiated.sends, negotiated.receives) == (False, True)


def test_the_directions_and_addresses_of_the_audio_come_before_the_sessions() -> None:
    offer = changed("t=0 0", "t=0 0\na=recvonly")
    assert answer_offer(offer, HERE)[1].receives is False
    offer = offer.replace("a=ptime:30", "a=sendonly\na=ptime:30")
    assert (answer_offer(offer, HERE)[1].sends, answer_offer(offer, HERE)[1].receives) == (
        False,
        True,
    )
    moved = changed("a=rtpmap:0 ", "c=IN IP4 192.0.2.99\na=rtpmap:0 ")
    assert answer_offer(moved, HERE)[1].parameters.remote == ("192.0.2.99", 12_000)


def test_the_far_ends_number_is_sent_and_ours_is_taken() -> None:
    offer = write_offer(THERE, ("opus",))
    answer, _ = answer_offer(offer, HERE)
    other = answer.replace("AVP 111 ", "AVP 110 ").replace(":111 opus", ":110 opus")
    other = other.replace(" 110 110", " 110 112").replace(":110 telephone", ":112 telephone")
    parameters = parse_answer(other, offer=offer).parameters
    assert (parameters.payload_type, parameters.event_type) == (110, 112)
    assert parameters.received_types == {111: "opus", 110: "telephone-event"}


def test_a_webrtc_offer_is_refused_here_and_a_plain_one_there() -> None:
    webrtc = changed("RTP/AVP 0", "UDP/TLS/RTP/SAVPF 0")
    fingerprint = changed("t=0 0", "t=0 0\na=fingerprint:sha-256 DE:FA:AB:95")
    for offer in (webrtc, fingerprint, webrtc.replace("m=video", "m=audio")):
        with pytest.raises(SdpError, match="expected plain RTP, got a description of WebRTC"):
            answer_offer(offer, HERE)
    plain = write_offer(HERE)
    with pytest.raises(SdpError, match="expected the profile UDP/TLS/RTP/SAVPF, got RTP/AVP"):
        check_sdp(plain)
    # Nor does one become the other by an answer.
    with pytest.raises(SdpError, match="WebRTC"):
        parse_answer(webrtc, offer=plain)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("v=0", "x", "begins with v=0"),
        ("m=audio", "m=text", "expected audio of RTP/AVP with a port, got text"),
        ("12000 RTP/AVP", "0 RTP/AVP", "got audio RTP/AVP to port 0"),
        ("12000 RTP/AVP", "12000 RTP/SAVP", "got audio RTP/SAVP to port 12000"),
        ("12000 RTP/AVP", "1e4 RTP/AVP", "a port number"),
        ("12000 RTP/AVP", "70000 RTP/AVP", "numeric address of one host, and a port"),
        (
            "m=audio 12000 RTP/AVP 0 8 9 107 101 102 13",
            "m=audio 12000",
            "m-lines of media, port, profile and formats",
        ),
        ("c=IN IP4 192.0.2.7\n", "", "expected c="),
        ("c=IN IP4 192.0.2.7", "c=IN IP4 pbx.example.com", "numeric address of one host"),
        ("c=IN IP4 192.0.2.7", "c=IN IP4 224.0.0.1", "numeric address of one host"),
        ("c=IN IP4 192.0.2.7", "c=IN IP4 ::1", "address of IP4"),
        ("c=IN IP4 192.0.2.7", "c=IN IP6 127.0.0.1", "address of IP6"),
        ("c=IN IP4 192.0.2.7", "c=IN IP4 224.2.1.1/127 3", "IN IP4 or IP6 and an address"),
        ("RTP/AVP 0 8 9 107 101 102 13", "RTP/AVP 18 101", "PCMU/8000 or PCMA/8000 among"),
        ("a=maxptime:150", "a=maxptime:10", "packets of 20 ms to be allowed"),
        ("s=call", "s=ca\rll", "without control characters"),
        ("s=call", "s=ca\0ll", "without control characters"),
        ("s=call", "s=" + "x" * 3000, "lines of at most 2048"),
        ("s=call", "a=x:y\n" * 12_000, "at most 65536 bytes"),
        (
            "m=video 12002 RTP/AVP 96\n",
            "m=video 12002 RTP/AVP 96\n" * 16,
            "1 to 16 m-lines, got 17",
        ),
    ],
)
def test_other_descriptions_are_refused_with_what_was_expected(
    old: str, new: str, said: str
) -> None:
    with pytest.raises(SdpError) as caught:
        answer_offer(changed(old, new), HERE, ("pcmu", "pcma"))
    assert said.lower() in str(caught.value).lower()


def test_an_answer_must_answer_the_offer() -> None:
    offer = write_offer(THERE, ("g722", "pcmu"))
    answer, _ = answer_offer(offer, HERE)
    with pytest.raises(SdpError, match="answer to 1 m-lines"):
        parse_answer(answer + "m=video 0 RTP/AVP 96\r\n", offer=offer)
    with pytest.raises(SdpError, match="audio of RTP/AVP with a port"):
        parse_answer(answer.replace("m=audio 40000", "m=audio 0"), offer=offer)
    only_pcma = answer.replace("AVP 9 ", "AVP 8 ")
    with pytest.raises(SdpError, match="among the codecs"):
        parse_answer(only_pcma, offer=offer)


def test_payload_types_that_look_like_rtcp_are_never_agreed_upon() -> None:
    bare = "v=0\nc=IN IP4 192.0.2.7\nm=audio 12000 RTP/AVP 72 0\na=rtpmap:72 opus/48000/2\n"
    assert answer_offer(bare, HERE)[1].parameters.codec == "pcmu"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"codec": "speex"}, "expected one of opus, g722, pcmu, pcma, got 'speex'"),
        ({"payload_type": 128}, "0 to 63 and 96 to 127, got 128"),
        ({"payload_type": 72}, "0 to 63 and 96 to 127, got 72"),
        ({"event_type": 0}, "another payload type for tones than 0"),
        ({"remote": ("localhost", 5)}, "a numeric IP address, got 'localhost'"),
        ({"remote": ("127.0.0.1", 0)}, "a port of 1 to 65535, got 0"),
        ({"remote": ("239.0.0.1", 5)}, "the address of one host"),
    ],
)
def test_parameters_that_no_leg_can_have_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        RtpParameters(**{"codec": "pcmu", "payload_type": 0, **fields})  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_an_offer_of_codecs_that_we_do_not_have_is_our_own_mistake() -> None:
    for codecs in ((), ("opus", "speex"), ("opus", "opus")):
        with pytest.raises(ValueError, match="expected some of opus, g722, pcmu, pcma"):
            write_offer(HERE, codecs)


LINES = st.sampled_from(
    [*GATEWAY.splitlines(), "m=audio 1 RTP/AVP 0", "c=IN IP6 ::1", "a=inactive", "a=rtcp-mux",
     "a=extmap:3 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "a=fmtp:0 ;;=;", "a=rtpmap:9 x"]
)  # fmt: skip


def _check_any(text: str) -> None:
    try:
        answer, negotiated = answer_offer(text, HERE)
    except SdpError:
        return
    lines = answer.split("\r\n")
    assert lines[0] == "v=0"
    assert all(line.isprintable() for line in lines)
    assert negotiated.parameters.codec in RTP_CODECS
    assert sum(line.startswith("m=audio 40000 ") for line in lines) == 1


@given(st.lists(st.one_of(LINES, st.text(max_size=40)), max_size=40))
def test_any_lines_are_answered_or_refused(lines: list[str]) -> None:
    _check_any("\n".join(["v=0", *lines]))


@given(st.data())
def test_a_gateways_offer_with_pieces_changed_is_answered_or_refused(data: st.DataObject) -> None:
    text = GATEWAY
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 8))
        text = text[:at] + data.draw(st.text(max_size=8)) + text[at + length :]
    _check_any(text)


@given(
    st.permutations(RTP_CODECS),
    st.integers(1, len(RTP_CODECS)),
    st.sets(st.sampled_from(RTP_CODECS), min_size=1),
)
def test_two_ends_agree_whenever_they_have_a_codec_in_common(
    order: list[str], count: int, wanted: set[str]
) -> None:
    codecs = order[:count]
    offer = write_offer(THERE, codecs)
    common = [codec for codec in codecs if codec in wanted]
    if not common:
        with pytest.raises(SdpError):
            answer_offer(offer, HERE, wanted)
        return
    answer, here = answer_offer(offer, HERE, wanted)
    there = parse_answer(answer, offer=offer)
    assert here.parameters.codec == there.parameters.codec == common[0]
    # What each sends the other takes, tones too.
    for a, b in ((here, there), (there, here)):
        taken = b.parameters.taken_types()
        assert taken[a.parameters.payload_type] == common[0]
        assert a.parameters.event_type is not None
        assert taken[a.parameters.event_type] == "telephone-event"
