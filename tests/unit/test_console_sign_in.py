"""Who may use the console: names and origins, tokens and tries, sessions, tickets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mixminus.control.console.origins import Origins
from mixminus.control.console.settings import ConsoleSettings
from mixminus.control.console.sign_in import (
    TICKET_S,
    TICKET_STEP_S,
    TRIES,
    NotSignedInError,
    SignIns,
    TooManyTriesError,
)

PLAIN = Origins("http", frozenset({"localhost", "127.0.0.1", "::1"}), port=7700)
PROXIED = Origins("https", frozenset({"localhost"}), public_origin="https://calls.example.org")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("origins", "host", "is_known"),
    [
        (PLAIN, "localhost:7700", True),
        (PLAIN, "LOCALHOST:7700", True),
        (PLAIN, "127.0.0.1:7700", True),
        (PLAIN, "[::1]:7700", True),
        (PLAIN, "localhost", False),
        (PLAIN, "localhost:7701", False),
        (PLAIN, "evil.example:7700", False),
        (PLAIN, "localhost.evil.example:7700", False),
        (PLAIN, "127.0.0.1.evil.example:7700", False),
        (PLAIN, "user@localhost:7700", False),
        (PLAIN, "localhost:7700/x", False),
        (PLAIN, "localhost:port", False),
        (PLAIN, "", False),
        (PLAIN, None, False),
        (PROXIED, "localhost:8443", True),
        (PROXIED, "calls.example.org", True),
        (PROXIED, "calls.example.com", False),
    ],
)
def test_a_listener_knows_its_own_names(origins: Origins, host: str | None, is_known: bool) -> None:
    assert origins.knows_host(host) is is_known


@pytest.mark.parametrize(
    ("origins", "origin", "host", "is_own"),
    [
        (PLAIN, "http://localhost:7700", "localhost:7700", True),
        (PLAIN, "http://localhost:7700", "127.0.0.1:7700", False),
        (PLAIN, "https://localhost:7700", "localhost:7700", False),
        (PLAIN, "http://localhost:3000", "localhost:7700", False),
        (PLAIN, "null", "localhost:7700", False),
        (PLAIN, "https://evil.example", "localhost:7700", False),
        (PROXIED, "https://calls.example.org", "localhost:8443", True),
        (PROXIED, "https://calls.example.org", "calls.example.org", True),
        (PROXIED, "https://localhost:8443", "localhost:8443", True),
        (PROXIED, "http://calls.example.org", "calls.example.org", False),
    ],
)
def test_only_pages_of_the_same_origin_are_its_own(
    origins: Origins, origin: str, host: str, is_own: bool
) -> None:
    assert origins.is_own(origin, host) is is_own


def test_the_token_signs_in_and_no_other_does() -> None:
    signs = SignIns("the right token", 3600)
    assert signs.by_token("the right token", "127.0.0.1").method == "token"
    for wrong in ("", "the right", "the right token ", "\u00e9"):
        with pytest.raises(NotSignedInError) as refused:
            signs.by_token(wrong, "127.0.0.1")
        assert "the right" not in refused.value.message


def test_guessing_is_stopped_for_the_guesser_alone_and_for_a_minute() -> None:
    clock = Clock()
    signs = SignIns("right", 3600, clock)
    for guess in range(TRIES):
        with pytest.raises(NotSignedInError):
            signs.by_token(f"guess {guess}", "192.0.2.1")

    # Even the right one then: else it could still be found by guessing on.
    with pytest.raises(TooManyTriesError) as refused:
        signs.by_token("right", "192.0.2.1")
    assert 0 < refused.value.retry_after_s <= 60
    assert signs.by_token("right", "192.0.2.2").method == "token"

    clock.now_s += 60
    assert signs.by_token("right", "192.0.2.1").method == "token"


def test_a_page_that_shows_one_old_token_again_and_again_is_no_guesser() -> None:
    signs = SignIns("right", 3600)
    for _ in range(3 * TRIES):
        with pytest.raises(NotSignedInError):
            signs.by_token("that of yesterday", "127.0.0.1")
    assert signs.by_token("right", "127.0.0.1").method == "token"


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    signs = SignIns("right", 3600)
    for guess in range(TRIES):
        with pytest.raises(NotSignedInError):
            signs.by_token(f"guess {guess}", f"2001:db8:0:1::{guess + 1:x}")
    with pytest.raises(TooManyTriesError):
        signs.by_token("right", "2001:db8:0:1::ffff")
    assert signs.by_token("right", "2001:db8:0:2::1").method == "token"


def test_a_session_expires_and_can_be_closed() -> None:
    clock = Clock()
    signs = SignIns("right", 3600, clock)
    opened = signs.open_session("Adele Vance")
    assert opened.session_id is not None
    assert opened.session_id not in repr(opened)
    assert signs.by_session(opened.session_id) == opened

    clock.now_s += 3600
    for _ in range(2):
        with pytest.raises(NotSignedInError):
            signs.by_session(opened.session_id)

    other = signs.open_session("Adele Vance")
    assert other.session_id is not None
    signs.close_session(other.session_id)
    with pytest.raises(NotSignedInError, match="over"):
        signs.expect_valid(other)


def test_a_ticket_is_good_for_its_path_and_time_alone() -> None:
    clock = Clock()
    signs = SignIns("right", 3600, clock)
    ticket = signs.ticket("/a/audio")
    signs.expect_ticket("/a/audio", ticket)
    assert SignIns("right", 3600, clock).ticket("/a/audio") != ticket
    until = ticket.partition(".")[0]
    for path, wrong in [
        ("/b/audio", ticket),
        ("/a/audio", "9" + ticket),
        ("/a/audio", f"{int(until) + 1}.{ticket.partition('.')[2]}"),
        ("/a/audio", until + "."),
        ("/a/audio", "."),
        ("/a/audio", ""),
        ("/a/audio", "\u0664\u0662.00"),
    ]:
        with pytest.raises(NotSignedInError):
            signs.expect_ticket(path, wrong)
    clock.now_s += TICKET_S + TICKET_STEP_S
    with pytest.raises(NotSignedInError, match="expired"):
        signs.expect_ticket("/a/audio", ticket)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"token": "short"}, "token"),
        ({"http_port": 70_000}, "http_port"),
        ({"public_url": "http://calls.example.org"}, "public_url"),
        ({"public_url": "https://calls.example.org/console"}, "public_url"),
        ({"oidc_authority": "http://login.example.org/tenant"}, "oidc_authority"),
        ({"oidc_authority": "https://login.example.org"}, "oidc_authority"),
        ({"oidc_authority": "https://login.example.org/t"}, "oidc_client_id"),
        ({"oidc_authority": "https://l.example/t", "oidc_client_id": "c"}, "oidc_allowed"),
        ({"oidc_client_secret": "s"}, "oidc_authority"),
        ({"tokens": "x" * 20}, "tokens"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ConsoleSettings(**values)  # type: ignore[arg-type]
