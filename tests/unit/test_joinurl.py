"""Join URLs as people paste them: long, short, wrapped, encoded again; and what is none."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixminus.control.graph.joinurl import (
    JoinInfo,
    JoinUrlError,
    parse_join_meeting_id,
    parse_join_url,
)

TENANT = "aa67bd4c-8475-432d-bd41-39f255720e0a"
ORGANIZER = "112f7296-5fa4-42ca-bae8-6a692b15d4b8"
THREAD = "19:meeting_Win6Ydo4wsMijFjZS00ZGVjLTk5MGUtOTRjNWY2NmNkYTFm@thread.v2"
CHANNEL = "19:cbee7c1c860e465f8258e3cebf7bee0d@thread.skype"
CONTEXT = f'{{"Tid":"{TENANT}","Oid":"{ORGANIZER}"}}'

SCHEDULED = JoinInfo(TENANT, THREAD, "0", None, ORGANIZER)
PLAIN = f"https://teams.microsoft.com/l/meetup-join/{THREAD}/0?context={CONTEXT}"
ENCODED = (
    f"https://teams.microsoft.com/l/meetup-join/{quote(THREAD, safe='')}/0"
    f"?context={quote(CONTEXT, safe='')}"
)
PATH = ENCODED.removeprefix("https://teams.microsoft.com")
LAUNCHER = (
    "https://teams.microsoft.com/dl/launcher/launcher.html?url="
    f"{quote('/_#' + PATH + '&anon=true', safe='')}&type=meetup-join&deeplinkId=1&directDl=true"
)
SAFE_LINK = (
    "https://eur01.safelinks.protection.outlook.com/ap/t-59584e83/?url="
    f"{quote(ENCODED, safe='')}&data=05%7C01%7C&reserved=0"
)


@pytest.mark.parametrize(
    "url",
    [
        PLAIN,
        ENCODED,
        ENCODED.replace("%", "%25"),
        ENCODED.replace("%", "%25").replace("%", "%25"),
        quote(ENCODED, safe=""),
        ENCODED.replace("%3A", "%3a").replace("%7B", "%7b"),
        quote(quote(ENCODED, safe=""), safe=""),
        ENCODED.replace("teams.microsoft.com", "Teams.Microsoft.com"),
        ENCODED.replace("teams.microsoft.com", "teams.microsoft.us"),
        ENCODED + "&anon=true",
        ENCODED + "#section",
        ENCODED.replace("?context", "?anon=true&context"),
        f" <{ENCODED[:80]}\r\n {ENCODED[80:]}> ",
        LAUNCHER,
        SAFE_LINK,
        ENCODED.replace("Tid", "tid").replace("Oid", "oid"),
    ],
)
def test_long_links_name_thread_tenant_and_organizer(url: str) -> None:
    assert parse_join_url(url) == SCHEDULED


def test_channel_links_name_the_message() -> None:
    context = f'{{"Tid":"{TENANT}","Oid":"{ORGANIZER}","MessageId":"1536978844957"}}'
    url = f"https://teams.microsoft.com/l/meetup-join/{quote(CHANNEL)}/1533758867081?context="
    expected = JoinInfo(TENANT, CHANNEL, "1533758867081", "1536978844957", ORGANIZER)
    assert parse_join_url(url + quote(context)) == expected
    assert parse_join_url(url + quote(context).replace("%22", "%2522")) == expected


@pytest.mark.parametrize(
    ("url", "meeting_id", "passcode"),
    [
        ("https://teams.microsoft.com/meet/1234567?p=psw123", "1234567", "psw123"),
        ("https://teams.microsoft.com/meet/27812345678901", "27812345678901", None),
        ("https://teams.microsoft.com/meet/27812345678901/?p=", "27812345678901", None),
        ("https://teams.microsoft.com/meet/278 123 456 789 01?p=a%20b", "27812345678901", "a b"),
        ("https://teams.microsoft.com/meet/1234567?p=x&anon=true#frag", "1234567", "x"),
    ],
)
def test_short_links_name_the_join_id(url: str, meeting_id: str, passcode: str | None) -> None:
    assert parse_join_url(url) == JoinInfo(join_meeting_id=meeting_id, passcode=passcode)


def test_a_wrapped_short_link_is_unwrapped() -> None:
    inner = quote("/_#/meet/1234567?p=psw123", safe="")
    url = f"https://teams.microsoft.com/dl/launcher/launcher.html?url={inner}&type=meet"
    assert parse_join_url(url) == JoinInfo(join_meeting_id="1234567", passcode="psw123")


def test_join_ids_lose_their_spaces() -> None:
    assert parse_join_meeting_id("278 123 456 789 01") == "27812345678901"
    assert parse_join_meeting_id("123-456-789") == "123456789"
    for text in ("", "12345", "abc", "1234567a", "\uff11\uff12\uff13\uff14\uff15\uff16"):
        with pytest.raises(JoinUrlError, match="join meeting id of 6 to 15 digits"):
            parse_join_meeting_id(text)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "begins with https"),
        ("278 123 456 789", "begins with https"),
        ("javascript:alert(1)", "begins with https"),
        ("https://[", "a join URL"),
        ("https://teams.microsoft.com/", "meetup-join"),
        ("https://teams.live.com/meet/9312345678901?p=x", "Teams for home use"),
        ("https://teams.microsoft.com/meet/123", "6 to 15 digits"),
        (ENCODED.split("?")[0], "meetup-join"),
        (PLAIN.replace(CONTEXT, "{}"), "expected Tid"),
        (PLAIN.replace(CONTEXT, "{x}"), "expected a JSON object"),
        (PLAIN.replace(ORGANIZER, ""), "expected Oid"),
        (PLAIN.replace(f'"{TENANT}"', "7"), "expected Tid"),
        (PLAIN.replace(THREAD, "nothread"), "meetup-join"),
        ("https://teams.microsoft.com/dl/launcher/launcher.html?type=x", "with a url in it"),
        (PLAIN + "x" * 9000, "at most 8192"),
    ],
)
def test_what_is_no_join_url_is_refused_with_what_was_expected(url: str, message: str) -> None:
    with pytest.raises(JoinUrlError, match=message):
        parse_join_url(url)


@given(st.text(max_size=200) | st.builds(lambda t: PLAIN.replace(CONTEXT, t), st.text(max_size=80)))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        info = parse_join_url(text)
    except JoinUrlError:
        return
    assert info.thread_id or info.join_meeting_id
