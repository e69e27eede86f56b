"""Signing keys: fetched rarely, kept through every failure of their issuer. Time is an argument."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mixminus.control.client.keys import (
    FETCH_EVERY_S,
    REFRESH_S,
    RETRY_S,
    STALE_S,
    UNKNOWN_S,
    KeyCache,
    KeysUnavailableError,
    read_keys,
)

METADATA_URL = "https://issuer.example/v1/.well-known/OpenIdConfiguration"
KEYS_URL = "https://keys.example/keys"
KEY = rsa.generate_private_key(65537, 2048).public_key()
SMALL_KEY = rsa.generate_private_key(65537, 1024).public_key()


def b64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(kid: str, key: rsa.RSAPublicKey = KEY, **over: Any) -> dict[str, Any]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "kid": kid, "n": b64(numbers.n), "e": b64(numbers.e), **over}


class Issuer:
    """An issuer that can be told to fail."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk("k1")]
        self.answer: Callable[[httpx2.Request], httpx2.Response] | None = None
        self.wait: Callable[[httpx2.Request], Awaitable[httpx2.Response]] | None = None
        self.asked: list[str] = []

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(str(request.url))
        if self.wait is not None:
            return await self.wait(request)
        if self.answer is not None:
            return self.answer(request)
        if str(request.url) == METADATA_URL:
            return httpx2.Response(200, json={"issuer": "x", "jwks_uri": KEYS_URL})
        return httpx2.Response(200, json={"keys": self.keys})


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def cache(issuer: Issuer, clock: Clock) -> AsyncIterator[KeyCache]:
    cache = KeyCache(
        METADATA_URL,
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        now=clock,
        transport=httpx2.MockTransport(issuer.handle),
    )
    yield cache
    await cache.close()


def refuse(_: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(500)


def hang(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadTimeout("nothing came", request=request)


async def test_keys_are_fetched_once_and_kept(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    assert await cache.get("k1") is not None
    clock.now_s += REFRESH_S - 1
    assert await cache.get("k1") is not None
    assert issuer.asked == [METADATA_URL, KEYS_URL]
    clock.now_s += 1
    await cache.get("k1")
    assert cache.fetches == 2


@pytest.mark.parametrize("failure", [refuse, hang])
async def test_a_failing_issuer_costs_no_good_token(
    cache: KeyCache,
    issuer: Issuer,
    clock: Clock,
    failure: Callable[[httpx2.Request], httpx2.Response],
) -> None:
    await cache.get("k1")
    issuer.answer = failure
    clock.now_s += REFRESH_S
    for _ in range(5):
        assert await cache.get("k1") is not None
    assert cache.fetches == 2, "a failed refresh is not tried again at once"
    clock.now_s += STALE_S - REFRESH_S - 1
    assert await cache.get("k1") is not None
    clock.now_s += 1
    with pytest.raises(KeysUnavailableError):
        await cache.get("k1")


@pytest.mark.parametrize(
    "document",
    [{"keys": []}, {"keys": [jwk("k1", kty="EC")]}, {}, [], {"keys": [jwk("k1", SMALL_KEY)]}],
)
async def test_an_empty_or_odd_key_set_replaces_nothing(
    cache: KeyCache, issuer: Issuer, clock: Clock, document: Any
) -> None:
    await cache.get("k1")
    issuer.answer = lambda request: httpx2.Response(
        200, json={"jwks_uri": KEYS_URL} if str(request.url) == METADATA_URL else document
    )
    clock.now_s += REFRESH_S
    assert await cache.get("k1") is not None


async def test_a_new_key_is_fetched_when_a_token_names_it(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    await cache.get("k1")
    issuer.keys = [jwk("k1"), jwk("k2")]
    clock.now_s += FETCH_EVERY_S
    assert await cache.get("k2") is not None
    assert cache.fetches == 2


async def test_random_key_ids_cost_one_fetch_in_30_s(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    fetched_at = []
    for n in range(3000):
        before = cache.fetches
        with contextlib.suppress(KeysUnavailableError):
            assert await cache.get(f"random {n}") is None
        if cache.fetches > before:
            fetched_at.append(clock.now_s)
        assert await cache.get("k1") is not None
        clock.now_s += 0.03
    assert len(fetched_at) == cache.fetches == 3
    assert all(b - a >= FETCH_EVERY_S for a, b in pairwise(fetched_at))


async def test_a_key_that_is_new_during_a_flood_is_never_refused(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    await cache.get("k1")
    clock.now_s += FETCH_EVERY_S
    assert await cache.get("random") is None
    issuer.keys = [jwk("k2")]
    clock.now_s += 1
    for _ in range(3):
        with pytest.raises(KeysUnavailableError) as caught:
            await cache.get("k2")
        assert caught.value.retry_after_s == FETCH_EVERY_S - 1
    clock.now_s += caught.value.retry_after_s
    assert await cache.get("k2") is not None
    assert cache.fetches == 3


async def test_who_waits_for_a_fetch_may_go_away(cache: KeyCache) -> None:
    waiters = [asyncio.create_task(cache.get("k1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    assert await waiters[1] is not None
    assert await waiters[2] is not None
    assert cache.fetches == 1


async def test_an_issuer_that_hangs_holds_no_good_token_up(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    await cache.get("k1")
    gate = asyncio.Event()

    async def wait(_: httpx2.Request) -> httpx2.Response:
        await gate.wait()
        return httpx2.Response(500)

    issuer.wait = wait
    clock.now_s += REFRESH_S
    for _ in range(3):
        async with asyncio.timeout(1):
            assert await cache.get("k1") is not None
    assert cache.fetches == 2
    await cache.close()
    await cache.close()


async def test_an_id_known_to_be_unknown_forces_nothing_for_five_minutes(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    await cache.get("k1")
    clock.now_s += FETCH_EVERY_S
    assert await cache.get("k2") is None
    issuer.keys = [jwk("k1"), jwk("k2")]
    clock.now_s += FETCH_EVERY_S
    assert await cache.get("k2") is None
    clock.now_s += UNKNOWN_S - FETCH_EVERY_S
    assert await cache.get("k2") is not None
    assert cache.fetches == 3


async def test_without_any_keys_it_is_tried_again_soon(
    cache: KeyCache, issuer: Issuer, clock: Clock
) -> None:
    issuer.answer = refuse
    for _ in range(10):
        with pytest.raises(KeysUnavailableError):
            await cache.get("k1")
    assert cache.fetches == 1
    issuer.answer = None
    clock.now_s += RETRY_S
    assert await cache.get("k1") is not None


@pytest.mark.parametrize(
    "metadata",
    [
        {"jwks_uri": "http://keys.example/keys"},
        {"jwks_uri": 7},
        {},
        ["x"],
        {"jwks_uri": "https://keys.example/keys", "padding": "x" * 300_000},
    ],
)
async def test_metadata_must_name_https_and_be_small(
    cache: KeyCache, issuer: Issuer, metadata: Any
) -> None:
    issuer.answer = lambda _: httpx2.Response(200, json=metadata)
    with pytest.raises(KeysUnavailableError):
        await cache.get("k1")
    assert issuer.asked == [METADATA_URL]


def test_only_signing_keys_of_the_one_algorithm_are_read() -> None:
    keys = read_keys(
        {
            "keys": [
                jwk("good", use="sig", alg="RS256", x5c=["MII"]),
                jwk("for encryption", use="enc"),
                jwk("another algorithm", alg="PS256"),
                jwk("small", SMALL_KEY),
                jwk(""),
                jwk("for signing only", key_ops=["sign"]),
                jwk("odd operations", key_ops="verify"),
                jwk("trivial exponent", e="AQ"),
                jwk("small exponent", e="Aw"),
                jwk("even exponent", e="Ag"),
                jwk("private", d="AQAB", p="Aw", q="Aw", dp="Aw", dq="Aw", qi="Aw"),
                jwk("zero modulus", n="AA"),
                {"kty": "RSA", "kid": "no numbers"},
                {"kty": "oct", "kid": "symmetric", "k": "AAAA"},
                "no object",
            ]
        }
    )
    assert list(keys) == ["good"]
