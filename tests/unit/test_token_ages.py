"""How long tokens are used: to their end while no other is to be had, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import msal
import pytest
import requests
from msal.exceptions import MsalServiceError

from mixminus.control.client import tokens as client_tokens
from mixminus.control.client.tokens import RENEW_S as TOKEN_RENEW_S
from mixminus.control.client.tokens import ClientCredentials, TokenError
from mixminus.control.service.keys import SigningKey, new_key_pem
from mixminus.control.service.tokens import NOTIFICATION_TOKEN_S, RENEW_S, NotificationTokens
from mixminus.control.service.urls import ServiceUrls

AUTHORITY = "https://login.test/tenant"
TOKEN_S = 3599


class Authority:
    """Stands for msal: gives tokens, numbered, while it is there; it keeps none."""

    def __init__(self) -> None:
        self.is_there = True
        self.problem: Exception = requests.ConnectionError("nobody listens")
        self.given = self.asked = 0
        self.refresh_in_s: int | None = None

    def __call__(self, *args: object, **options: object) -> Authority:
        return self

    def remove_tokens_for_client(self) -> None:
        return

    def acquire_token_for_client(self, scopes: list[str]) -> dict[str, Any]:
        self.asked += 1
        if not self.is_there:
            raise self.problem
        self.given += 1
        answer: dict[str, Any] = {"access_token": f"token {self.given}", "expires_in": TOKEN_S}
        return answer if self.refresh_in_s is None else answer | {"refresh_in": self.refresh_in_s}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority()
    monkeypatch.setattr(msal, "ConfidentialClientApplication", made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(client_tokens, "time", made)
    return made


@pytest.mark.parametrize(
    "problem",
    [
        requests.ConnectionError("nobody listens"),
        MsalServiceError("HTTP Error: 503", error=None, error_description=None),
    ],
)
async def test_a_token_is_used_to_its_end_while_the_authority_is_away(
    authority: Authority, clock: Clock, problem: Exception
) -> None:
    authority.problem = problem
    credentials = ClientCredentials(AUTHORITY, "app", "secret")
    assert await credentials.token() == "token 1"
    authority.is_there = False
    clock.now_s += TOKEN_S - 1
    assert await credentials.token() == "token 1"
    clock.now_s += 1
    with pytest.raises(TokenError, match="unreachable"):
        await credentials.token()
    authority.is_there = True
    assert await credentials.token() == "token 2"
    await credentials.close()


async def test_a_token_that_was_refused_is_not_used_again(
    authority: Authority, clock: Clock
) -> None:
    credentials = ClientCredentials(AUTHORITY, "app", "secret")
    await credentials.token()
    authority.is_there = False
    with pytest.raises(TokenError, match="unreachable"):
        await credentials.token(refresh=True)
    await credentials.close()


async def test_a_token_of_one_tenant_is_not_another_s(authority: Authority, clock: Clock) -> None:
    credentials = ClientCredentials(AUTHORITY, "app", "secret")
    await credentials.token()
    authority.is_there = False
    with pytest.raises(TokenError, match="unreachable"):
        await credentials.token(tenant_id="other")
    await credentials.close()


async def test_a_token_is_asked_for_once_by_many_and_again_before_its_end(
    authority: Authority, clock: Clock
) -> None:
    credentials = ClientCredentials(AUTHORITY, "app", "secret")
    tokens = await asyncio.gather(*(credentials.token() for _ in range(20)))
    assert set(tokens) == {"token 1"}
    clock.now_s += TOKEN_S - TOKEN_RENEW_S - 1
    assert await credentials.token() == "token 1"
    assert (authority.asked, credentials.counts.cached, credentials.counts.fetched) == (1, 20, 1)
    clock.now_s += 1
    assert await credentials.token() == "token 2"
    assert await credentials.token(refresh=True) == "token 3"
    assert await credentials.token() == "token 3"
    await credentials.close()


async def test_a_token_is_renewed_when_its_authority_wants_that(
    authority: Authority, clock: Clock
) -> None:
    credentials = ClientCredentials(AUTHORITY, "app", "secret")
    authority.refresh_in_s = 60
    assert await credentials.token() == "token 1"
    clock.now_s += 59
    assert await credentials.token() == "token 1"
    clock.now_s += 1
    assert await credentials.token() == "token 2"
    await credentials.close()


def test_notifications_have_a_valid_token_however_the_wall_clock_jumps() -> None:
    now_s = [1_800_000_000.0]
    key = SigningKey(new_key_pem())
    urls = ServiceUrls.at("localhost", 1, "tenant")
    tokens = NotificationTokens(key, urls, clock=lambda: now_s[0])
    seen = set()
    for jump_s in (0, 3600, -3600, -3600, 3600, 90_000, -90_000):
        now_s[0] += jump_s
        bearer = tokens.bearer("app", "tenant")
        claims = jwt.decode(bearer, options={"verify_signature": False})
        assert claims["iat"] <= now_s[0] <= claims["exp"] - RENEW_S
        assert tokens.bearer("app", "tenant") == bearer
        seen.add(bearer)
    assert len(seen) > 1
    now_s[0] += NOTIFICATION_TOKEN_S - RENEW_S
    assert tokens.bearer("app", "tenant") == bearer
    now_s[0] += 1
    assert tokens.bearer("app", "tenant") != bearer
