"""Which session descriptions are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from mixminus.media.transports.sdp import SdpError, check_sdp

GOOD = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=sendrecv
a=mid:0
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:0 PCMU/8000
a=candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host
a=candidate:2 1 udp 2130706431 fe80::1 50000 typ host
a=candidate:3 1 udp 2130706431 8d6f3c61-99aa-4d3c-8f0e-2f6a1f2d0c11.local 50000 typ host
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 DE:FA:AB:95
a=setup:actpass
"""


def test_a_browsers_offer_is_taken_without_its_mdns_names() -> None:
    clean = check_sdp(GOOD)
    assert "\r\n" in clean
    assert ".local" not in clean
    assert clean.count("a=candidate:") == 2
    assert check_sdp(clean) == clean


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("v=0", "x", "begins with v=0"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "profile UDP/TLS/RTP/SAVPF, got RTP/AVP"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "got RTP/SAVPF"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "m=audio", "profile"),
        ("m=audio", "m=video", "exactly one m-line, audio, got video"),
        ("m=audio", "m=", "exactly one m-line"),
        ("c=IN", "m=video 9 UDP/TLS/RTP/SAVPF 96\nc=IN", "got audio, video"),
        ("a=fingerprint:sha-256 DE:FA:AB:95\n", "", "fingerprint"),
        ("DE:FA:AB:95", "nonsense", "fingerprint"),
        ("sha-256", "sha-1", "sha-256 or stronger"),
        ("sha-256", "md5", "sha-256 or stronger"),
        ("a=setup:actpass\n", "", "a=setup"),
        ("a=ice-ufrag:abcd\n", "", "ice-ufrag"),
        ("a=ice-pwd:", "a=x:", "ice-pwd"),
        ("opus/48000/2\na=rtpmap:0 PCMU/8000", "L16/48000\na=rtpmap:0 GSM/8000", "opus/48000/2 or"),
        ("a=mid:0", "a=x\x0bm=audio 9 RTP/AVP 0", "CRLF alone"),
        ("a=mid:0", "a=x\rm=audio 9 RTP/AVP 0", "CRLF alone"),
        ("a=mid:0", "a=x\u2028m=audio 9 RTP/AVP 0", "CRLF alone"),
        ("a=mid:0", "a=x:y\n" * 600, "at most 512 lines"),
        ("a=mid:0", "a=x:" + "y" * 3000, "lines of at most"),
        ("a=mid:0", "a=candidate:1 1 udp 1 127.0.0.1 5 typ host\n" * 65, "at most 64 candidates"),
        ("a=mid:0", "a=x:y\n" * 12_000, "at most 65536 bytes"),
    ],
)
def test_other_descriptions_are_refused_without_being_quoted(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(SdpError) as caught:
        check_sdp(GOOD.replace(old, new))
    assert said in str(caught.value)
    assert "abcd" not in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_a_codec_of_ours_is_enough_but_where_opus_is_demanded() -> None:
    for codec in ("G722/8000", "PCMA/8000", "pcmu/8000"):
        assert check_sdp(GOOD.replace("opus/48000/2", codec))
    telephone = GOOD.replace("opus/48000/2", "G722/8000")
    with pytest.raises(SdpError, match="expected opus/48000/2 among"):
        check_sdp(telephone, opus_only=True)
    # A codec counts where the m-line has its payload type.
    with pytest.raises(SdpError, match="among the codecs"):
        check_sdp(GOOD.replace("SAVPF 111 0", "SAVPF 96"))
    # And static types need no rtpmap.
    bare = GOOD.replace("a=rtpmap:111 opus/48000/2\na=rtpmap:0 PCMU/8000\n", "")
    assert check_sdp(bare.replace("SAVPF 111 0", "SAVPF 8"))


@pytest.mark.parametrize("text", ["", "\n", "v=0", "v=0\nm=", "\ud800"])
def test_fragments_are_refused(text: str) -> None:
    with pytest.raises(SdpError):
        check_sdp(text)
