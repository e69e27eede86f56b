"""Two doors, one corpus: a bot's webhook and the service's Graph API refuse every bad token.

Both are real HTTPS servers; the tokens are signed with the real keys of the service wherever only
that makes them dangerous.
"""

from __future__ import annotations

import random
import string
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mixminus.control.client.keys import FETCH_EVERY_S, KeyCache
from mixminus.control.client.webhook import TokenRefusedError, TokenValidator
from mixminus.control.graph.errors import GraphError
from mixminus.control.host.bot import Bot
from mixminus.control.host.host import BotHost
from mixminus.control.service.keys import SigningKey
from mixminus.control.service.service import CallService
from mixminus.control.service.tokens import AccessTokens
from mixminus.control.service.urls import ServiceUrls
from mixminus.control.settings import HostSettings
from mixminus.control.tls import client_context
from tests.contract.hostile import FORGERIES, HEADERS, Forge
from tests.service_kit import running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTIFICATION = {
    "@odata.type": "#microsoft.graph.commsNotifications",
    "value": [
        {
            "@odata.type": "#microsoft.graph.commsNotification",
            "changeType": "updated",
            "resourceUrl": "/communications/calls/57dab8b1-894c-409a-b240-bd8beae78896",
            "resourceData": {"@odata.type": "#microsoft.graph.call", "state": "establishing"},
        }
    ],
}


@dataclass
class Door:
    """One server that takes tokens, and who can make good ones for it."""

    http: httpx2.AsyncClient
    forge: Forge
    good_status: int
    method: str
    url: str
    body: Any = None
    before: Callable[[], None] = lambda: None

    async def knock(self, authorization: str | None) -> httpx2.Response:
        self.before()
        headers = (
            {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
        )
        return await self.http.request(self.method, self.url, json=self.body, headers=headers)


class JumpingClock:
    """A cache's clock that a test moves on, so that every unknown key may be asked for."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def jump(self) -> None:
        self.now_s += FETCH_EVERY_S


@dataclass
class Doors:
    """The bot's door and the service's."""

    bot: Door
    service: Door
    host: BotHost
    keys: KeyCache

    def __getitem__(self, name: str) -> Door:
        return self.bot if name == "bot" else self.service


async def forges(service: CallService) -> tuple[Forge, Forge]:
    """Return who makes tokens for a bot, and who makes tokens for the service."""
    dev = service.dev_file

    async def key(name: str) -> tuple[rsa.RSAPrivateKey, str]:
        pem = await service.store.secret(name, lambda: "")
        loaded = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        return loaded, SigningKey(pem).key_id

    notification = Forge(
        *await key("notification key"),
        {"iss": dev.notification_issuer, "aud": dev.app_id, "tid": dev.tenant_id},
    )
    access = Forge(
        *await key("token key"),
        {
            "iss": service.urls.token_issuer,
            "aud": "https://graph.microsoft.com",
            "tid": dev.tenant_id,
            "appid": dev.app_id,
            "roles": ["Calls.Initiate.All"],
        },
    )
    return (
        Forge(notification.key, notification.key_id, notification.claims, access.good),
        Forge(access.key, access.key_id, access.claims, notification.good),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    directory = tmp_path_factory.mktemp("hostile")
    async with running_service(directory / "service") as service:
        dev = service.dev_file
        context = client_context(dev.ca_file)
        settings = HostSettings.from_dev_file(dev, state_dir=directory / "bot")
        for_bot, for_service = await forges(service)
        clock = JumpingClock()
        keys = KeyCache(dev.open_id_config_url, ssl_context=context, now=clock)
        async with (
            BotHost(Bot("hostile"), settings) as host,
            httpx2.AsyncClient(verify=context, trust_env=False) as http,
        ):
            host.validator = TokenValidator(
                keys, audience=dev.app_id, issuers=[dev.notification_issuer]
            )
            bot = Door(http, for_bot, 202, "POST", f"{host.url}/api/calls", NOTIFICATION)
            bot.before = clock.jump
            url = f"{dev.graph_base_url}/v1.0/communications/calls/none"
            yield Doors(bot, Door(http, for_service, 404, "GET", url), host, keys)
        await keys.close()


def check_refusal(reply: httpx2.Response, token: str, is_service: bool) -> None:
    assert reply.status_code == 401, reply.text
    assert reply.headers["www-authenticate"].startswith("Bearer")
    error = reply.json()["error"]
    assert error["code"] == "InvalidAuthenticationToken"
    assert error["message"]
    assert set(error) == {"code", "message", *(["innerError"] if is_service else [])}
    for part in token.split("."):
        assert len(part) < 9 or part not in reply.text, "a refusal repeats no token"


@pytest.mark.parametrize("door", ["bot", "service"])
@pytest.mark.parametrize("name", FORGERIES)
async def test_a_hostile_token_is_refused(doors: Doors, door: str, name: str) -> None:
    at = doors[door]
    received, refused = doors.host.webhook_counters.received, doors.host.webhook_counters.refused
    token = FORGERIES[name](at.forge)
    check_refusal(await at.knock(f"Bearer {token}"), token, door == "service")
    assert doors.host.webhook_counters.received == received
    assert doors.host.webhook_counters.refused == refused + (door == "bot")


@pytest.mark.parametrize("door", ["bot", "service"])
@pytest.mark.parametrize("name", HEADERS)
async def test_a_good_token_in_a_bad_header_is_refused(doors: Doors, door: str, name: str) -> None:
    at = doors[door]
    good = at.forge.good()
    check_refusal(await at.knock(HEADERS[name](good)), good, door == "service")


GOOD: dict[str, Callable[[Forge], str]] = {
    "as usual": Forge.good,
    "without a type": lambda f: f.sign_headed(typ=None),
    "with a thumbprint": lambda f: f.sign_headed(x5t=f.key_id),
    "with a header member nobody knows": lambda f: f.sign_headed(rh="0.AAA"),
    "with claims nobody knows": lambda f: f.sign(serviceurl="https://x.example", xms_idrel="7"),
    "with times in fractions": lambda f: f.sign(exp=f.now()["exp"] + 0.5),
    "without iat": lambda f: f.sign(iat=None),
}


@pytest.mark.parametrize("door", ["bot", "service"])
@pytest.mark.parametrize("name", GOOD)
async def test_a_good_token_passes(doors: Doors, door: str, name: str) -> None:
    at = doors[door]
    for scheme in ("Bearer", "bearer"):
        reply = await at.knock(f"{scheme} {GOOD[name](at.forge)}")
        assert reply.status_code == at.good_status, reply.text


@pytest.mark.parametrize(
    "over",
    [
        {"tid": "11111111-2222-4333-8444-555555555555"},
        {"tid": "AA67BD4C-8475-432D-BD41-39F255720E0A"},
        {"appid": None},
        {"appid": ""},
        {"appid": ["2891555a-92ff-42e6-80fa-6e1300c6b5c6"]},
        {"roles": "Calls.Initiate.All"},
        {"roles": 7},
        {"roles": [["Calls.Initiate.All"]]},
        {"roles": {"Calls.Initiate.All": True}},
    ],
    ids=str,
)
async def test_an_access_token_with_odd_claims_is_refused(
    doors: Doors, over: dict[str, Any]
) -> None:
    token = doors.service.forge.sign(**over)
    check_refusal(await doors.service.knock(f"Bearer {token}"), token, True)


async def test_a_flood_of_key_ids_costs_one_fetch_and_no_good_token(doors: Doors) -> None:
    """The clock stands still: whatever time the flood takes, it is less than 30 s for the cache."""
    door, seed = doors.bot, random.randrange(2**32)
    chance = random.Random(seed)
    door.before()
    fetches = doors.keys.fetches
    door.before, jump = (lambda: None), door.before
    try:
        for n in range(150):
            key_id = "".join(chance.choices(string.ascii_letters, k=20))
            reply = await door.knock(f"Bearer {door.forge.sign_headed(kid=key_id)}")
            # The first makes the issuer be asked; of the others nobody can tell until 30 s later.
            assert reply.status_code == (503 if n else 401), f"seed {seed}"
            if n % 10 == 0:
                good = await door.knock(f"Bearer {door.forge.good()}")
                assert good.status_code == 202, f"seed {seed}"
    finally:
        door.before = jump
    assert doors.keys.fetches == fetches + 1


NOW_S = 1_800_000_000.0


class OneKey:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    async def get(self, kid: str) -> rsa.RSAPublicKey | None:
        return self._forge.key.public_key() if kid == self._forge.key_id else None


EDGES = [
    # exp, nbf and iat relative to now; whether a bot (60 s of leeway) and the service (none) agree.
    ((1, 0, 0), True, True),
    ((0, 0, 0), True, False),
    ((-59, 0, 0), True, False),
    ((-60, 0, 0), False, False),
    ((-59.5, 0, 0), True, False),
    ((3600, 1, 0), True, False),
    ((3600, 60, 60), True, False),
    ((3600, 61, 0), False, False),
    ((3600, 0, 61), False, False),
    ((3600, 60.25, 0), False, False),
    ((-3600, 3600, 0), False, False),
]


@pytest.mark.parametrize(("moments", "bot_takes", "service_takes"), EDGES, ids=str)
async def test_the_edges_of_time_are_exact(
    doors: Doors, moments: tuple[float, float, float], bot_takes: bool, service_takes: bool
) -> None:
    exp, nbf, iat = (NOW_S + moment for moment in moments)
    bot, service = doors.bot.forge, doors.service.forge
    validator = TokenValidator(OneKey(bot), audience=bot.claims["aud"], issuers=[bot.claims["iss"]])
    token = f"Bearer {bot.sign(exp=exp, nbf=nbf, iat=iat)}"
    if bot_takes:
        assert (await validator.validate(token, NOW_S)).tenant_id == bot.claims["tid"]
    else:
        with pytest.raises(TokenRefusedError):
            await validator.validate(token, NOW_S)
    base = service.claims["iss"].partition(f"/{bot.claims['tid']}")[0]
    urls = ServiceUrls(base, bot.claims["tid"])
    tokens = AccessTokens(signing_key(service), urls, clock=lambda: NOW_S)
    token = f"Bearer {service.sign(exp=exp, nbf=nbf, iat=iat)}"
    if service_takes:
        assert tokens.check(token).tenant_id == bot.claims["tid"]
    else:
        with pytest.raises(GraphError) as caught:
            tokens.check(token)
        assert caught.value.status == 401


def signing_key(forge: Forge) -> SigningKey:
    return SigningKey(
        forge.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )
