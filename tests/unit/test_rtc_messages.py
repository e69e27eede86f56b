"""What devices may say: every message of docs/rtc-signalling.md, and what is none."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.service import rtc_messages as rtc
from mixminus.control.service.rtc_messages import ProtocolError, RtcError
from tests.support import ROOT

NO_MEETING = {"join_meeting_id": None, "passcode": None, "thread_id": None, "join_url": None}


def joining(**where: str) -> rtc.JoinMeeting:
    return rtc.JoinMeeting(**(NO_MEETING | where), sdp="s")


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        ({"type": "answer", "callId": "c", "sdp": "s"}, rtc.Answer("c", "s")),
        ({"type": "decline", "callId": "c", "more": 1}, rtc.Decline("c")),
        ({"type": "hangup", "callId": "c"}, rtc.HangUp("c")),
        ({"type": "reoffer", "callId": "c", "sdp": "s"}, rtc.Reoffer("c", "s")),
        ({"type": "call", "appId": "a", "sdp": "s"}, rtc.CallApp("a", "s", False)),
        (
            {"type": "call", "appId": "a", "sdp": "s", "policyRecording": True},
            rtc.CallApp("a", "s", True),
        ),
        (
            {"type": "join", "joinMeetingId": "1 2", "passcode": "p", "sdp": "s"},
            joining(join_meeting_id="1 2", passcode="p"),
        ),
        ({"type": "join", "threadId": "t", "sdp": "s"}, joining(thread_id="t")),
        ({"type": "join", "joinUrl": "u", "passcode": None, "sdp": "s"}, joining(join_url="u")),
        ({"type": "tone", "callId": "c", "tone": "#"}, rtc.Tone("c", "#")),
        ({"type": "tone", "callId": "c", "tone": "a"}, rtc.Tone("c", "A")),
        ({"type": "mute", "callId": "c"}, rtc.Mute("c", True)),
        ({"type": "unmute", "callId": "c"}, rtc.Mute("c", False)),
        ({"type": "hold", "callId": "c"}, rtc.Hold("c", True)),
        ({"type": "resume", "callId": "c"}, rtc.Hold("c", False)),
        ({"type": "share", "callId": "c", "action": "update"}, rtc.Share("c", "update")),
    ],
)
def test_every_message_is_known(message: dict[str, Any], request_: rtc.Request) -> None:
    assert rtc.parse_request(rtc.read_message(json.dumps(message))) == request_


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"type": "sing"}, "expected one of call, join, answer"),
        ({"type": "answer", "callId": "c"}, "sdp: expected a text"),
        ({"type": "answer", "callId": "", "sdp": "s"}, "callId: expected a text"),
        ({"type": "mute", "callId": "c" * 513}, "callId: expected at most 512 characters"),
        ({"type": "call", "appId": 7, "sdp": "s"}, "appId: expected a text"),
        (
            {"type": "call", "appId": "a", "sdp": "s", "policyRecording": "yes"},
            "policyRecording: expected true or false",
        ),
        ({"type": "join", "sdp": "s"}, "exactly one of joinMeetingId, threadId, joinUrl"),
        ({"type": "join", "threadId": "t", "joinUrl": "u", "sdp": "s"}, "exactly one of"),
        ({"type": "join", "joinUrl": "u" * 4097, "sdp": "s"}, "at most 4096 characters"),
        ({"type": "join", "threadId": "t", "passcode": 1, "sdp": "s"}, "passcode: expected"),
        ({"type": "share", "callId": "c", "action": "dance"}, "one of start, update, stop"),
        ({"type": 5}, "type: expected a text"),
        ([], "expected a JSON object"),
        (None, "expected a JSON object"),
    ],
)
def test_message_of_another_protocol_says_what_was_expected(message: Any, says: str) -> None:
    with pytest.raises(ProtocolError, match=says) as caught:
        rtc.parse_request(rtc.read_message(json.dumps(message)))
    assert (caught.value.close_code, caught.value.code) == (4400, "badMessage")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "reoffer", "callId": "c", "sdp": "s" * 65_537}, "badSdp"),
        ({"type": "tone", "callId": "c", "tone": "x"}, "badTone"),
        ({"type": "tone", "callId": "c", "tone": "12"}, "badTone"),
        ({"type": "tone", "callId": "c", "tone": "\u0661"}, "badTone"),
    ],
)
def test_value_that_will_not_do_leaves_the_socket_open(message: Any, code: str) -> None:
    with pytest.raises(RtcError) as caught:
        rtc.parse_request(message)
    assert caught.value.code == code


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "callId", "sdp", "tone", "appId", "joinUrl", "action"])
                | st.text(max_size=3),
                inner | st.sampled_from(["answer", "join", "call", "tone", "share", "start"]),
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
def test_anything_is_a_request_or_one_of_two_errors(message: Any) -> None:
    with contextlib.suppress(ProtocolError, RtcError):
        rtc.parse_request(rtc.read_message(json.dumps(message)))


def test_rate_allows_a_burst_and_then_so_many_a_second() -> None:
    limit = rtc.RateLimit(3, 2.0)
    assert [limit.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not limit.take(10.4)
    assert limit.take(10.6)
    assert not limit.take(10.6)
    assert [limit.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_document_names_every_message_and_limit() -> None:
    document = (ROOT / "docs/rtc-signalling.md").read_text()
    kinds = "answer decline hangup reoffer call join tone mute unmute hold resume share"
    for kind in kinds.split():
        assert f'"{kind}"' in document or f"`{kind}`" in document, kind
    for number in (rtc.BURST_MESSAGES, int(rtc.MESSAGES_PER_S), rtc.ID_CHARS, rtc.JOIN_URL_CHARS):
        assert str(number) in document
