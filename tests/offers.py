"""Offers of audio as far ends write them."""

from __future__ import annotations

_PRINT = (
    "6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:"
    "DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08"
)

CHROMIUM = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS 6c4d9b4e-1f3c-4a57-9f0a-9a1f3f6f2a10
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2302417396 1 udp 2113937151 8d6f3c61-99aa-4d3c-8f0e-2f6a1f2d0c11.local 50000 typ host
a=ice-ufrag:Zx3Q
a=ice-pwd:c0bLsO6b1PxSZ9oYj0cC3tqV
a=ice-options:trickle
a=fingerprint:sha-256 {_PRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:6c4d9b4e-1f3c-4a57-9f0a-9a1f3f6f2a10 f1e35b1f-8a43-4ec0-a3b8-6c5a2e6f1f55
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:1001041443 cname:8wZ1TzG0xTtN2lqP
a=ssrc:1001041443 msid:6c4d9b4e-1f3c-4a57-9f0a-9a1f3f6f2a10 f1e35b1f-8a43-4ec0-a3b8-6c5a2e6f1f55
"""
"""Chromium's, in its form, with names and numbers of nobody."""

FIREFOX = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5290345193451735129 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {_PRINT}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:1c0fe7bb4d8d9a5a4e2d8b9d4e6d7a31
a=ice-ufrag:5d1c8f5a
a=mid:0
a=msid:1e2f 3c4d
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:2655508255 cname:9d0c1f5e
"""
"""Firefox's: the fingerprint is the session's, and rtpmaps say one channel."""
