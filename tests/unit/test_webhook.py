"""Who may post notifications: one token is right, and every way to be wrong is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mixminus.control.client.keys import KeysUnavailableError
from mixminus.control.client.webhook import (
    LEEWAY_S,
    Caller,
    TokenRefusedError,
    TokenValidator,
    parse_notifications,
)
from mixminus.control.graph.notifications import NotificationError

NOW_S = 1_800_000_000
APP_ID = "2891555a-92ff-42e6-80fa-6e1300c6b5c6"
TENANT_ID = "aa67bd4c-8475-432d-bd41-39f255720e0a"
ISSUER = "https://api.botframework.com"
KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class Keys:
    """An issuer with one key, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, kid: str) -> rsa.RSAPublicKey | None:
        self.asked.append(kid)
        return KEY.public_key() if kid == "k1" else None


def claims(**over: Any) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": APP_ID,
        "tid": TENANT_ID,
        "iat": NOW_S - 10,
        "nbf": NOW_S - 10,
        "exp": NOW_S + 3600,
    }
    return {name: value for name, value in {**good, **over}.items() if value is not None}


def signed(
    payload: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    key: rsa.RSAPrivateKey = KEY,
    algorithm: str = "RS256",
) -> str:
    # Below PyJWT's own checks of claims: what is wrong here shall be found by us.
    return jwt.PyJWS().encode(
        json.dumps(claims() if payload is None else payload).encode(),
        key,
        algorithm=algorithm,
        headers={"kid": "k1", **(headers or {})},
    )


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    tail = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    return f"{part(header)}.{part(payload)}.{tail}"


def hs256_with_the_public_key() -> str:
    """The confusion of algorithms: our public key, which everyone has, as an HMAC secret."""
    import hashlib
    import hmac

    text = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(claims())}"
    mac = hmac.new(PUBLIC_PEM, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered() -> str:
    header, _, signature = signed().split(".")
    return f"{header}.{part(claims(tid='another tenant'))}.{signature}"


def validator(keys: Keys | None = None) -> TokenValidator:
    return TokenValidator(
        keys or Keys(), audience=APP_ID, issuers=[ISSUER, "https://graph.microsoft.com"]
    )


async def validate(token: str) -> Caller:
    return await validator().validate(f"Bearer {token}", NOW_S)


@pytest.mark.parametrize(
    "payload",
    [
        claims(),
        claims(iss="https://graph.microsoft.com"),
        claims(iat=None),
        claims(exp=NOW_S - LEEWAY_S + 1),
        claims(nbf=NOW_S + LEEWAY_S),
    ],
)
async def test_a_good_token_speaks_for_its_tenant(payload: dict[str, Any]) -> None:
    assert await validate(signed(payload)) == Caller(TENANT_ID, payload["iss"])


async def test_usual_header_members_are_accepted() -> None:
    await validate(signed(headers={"x5t": "abc", "typ": "JWT"}))


BAD_TOKENS = {
    "alg none": by_hand({"alg": "none", "kid": "k1"}, claims()),
    "alg None": by_hand({"alg": "None", "kid": "k1"}, claims()),
    "no alg": by_hand({"kid": "k1"}, claims()),
    "alg of another kind": by_hand({"alg": ["RS256"], "kid": "k1"}, claims()),
    "HS256 with the public key": hs256_with_the_public_key(),
    "RS512": signed(algorithm="RS512"),
    "PS256": signed(algorithm="PS256"),
    "no kid": jwt.encode(claims(), KEY, algorithm="RS256"),
    "empty kid": signed(headers={"kid": ""}),
    "long kid": signed(headers={"kid": "k" * 300}),
    "unknown kid": signed(headers={"kid": "k2"}),
    "crit": signed(headers={"crit": ["exp"]}),
    "jku": signed(headers={"jku": "https://evil.example/keys"}),
    "jwk": signed(headers={"jwk": {"kty": "RSA"}}),
    "x5u": signed(headers={"x5u": "https://evil.example/cert"}),
    "x5c": signed(headers={"x5c": ["MII"]}),
    "another key": signed(key=OTHER_KEY),
    "tampered": tampered(),
    "no signature": ".".join([*signed().split(".")[:2], ""]),
    "wrong issuer": signed(claims(iss="https://evil.example")),
    "issuer with a slash": signed(claims(iss=ISSUER + "/")),
    "issuer as part": signed(claims(iss="https://api.botframework.com.evil.example")),
    "list of issuers": signed(claims(iss=[ISSUER])),
    "wrong audience": signed(claims(aud="another app")),
    "list of audiences": signed(claims(aud=[APP_ID])),
    "expired": signed(claims(exp=NOW_S - LEEWAY_S)),
    "not yet valid": signed(claims(nbf=NOW_S + LEEWAY_S + 1)),
    "issued in the future": signed(claims(iat=NOW_S + LEEWAY_S + 1)),
    "exp as text": signed(claims(exp=str(NOW_S + 3600))),
    "exp as truth": signed(claims(exp=True)),
    "no exp": signed(claims(exp=None)),
    "no nbf": signed(claims(nbf=None)),
    "no iss": signed(claims(iss=None)),
    "no aud": signed(claims(aud=None)),
    "no tenant": signed(claims(tid=None)),
    "empty tenant": signed(claims(tid="")),
    "two parts": "a.b",
    "five parts": "a.b.c.d.e",
    "no base64": "!.!.!",
    "header is a list": by_hand([], {}),  # type: ignore[arg-type]
    "huge": "a" * 20_000,
    "deep header": base64.urlsafe_b64encode(b"[" * 9_000).decode() + ".b.c",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_bad_token_is_refused(name: str) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        await validate(BAD_TOKENS[name])
    assert BAD_TOKENS[name] not in str(caught.value)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", signed()])
async def test_without_a_bearer_token_nobody_is_asked(header: str | None) -> None:
    keys = Keys()
    with pytest.raises(TokenRefusedError, match="expected Authorization: Bearer"):
        await validator(keys).validate(header, NOW_S)
    assert keys.asked == []


async def test_the_scheme_is_read_in_any_case() -> None:
    assert await validator().validate(f"bearer {signed()}", NOW_S)


@pytest.mark.parametrize("name", ["alg none", "no kid", "jku", "huge"])
async def test_a_header_that_is_refused_fetches_no_key(name: str) -> None:
    keys = Keys()
    with pytest.raises(TokenRefusedError):
        await validator(keys).validate(f"Bearer {BAD_TOKENS[name]}", NOW_S)
    assert keys.asked == []


async def test_without_keys_nobody_is_refused_for_good() -> None:
    class NoKeys:
        async def get(self, kid: str) -> rsa.RSAPublicKey | None:
            raise KeysUnavailableError("down")

    unknown = TokenValidator(NoKeys(), audience=APP_ID, issuers=[ISSUER])
    with pytest.raises(KeysUnavailableError):
        await unknown.validate(f"Bearer {signed()}", NOW_S)


def entry(**over: Any) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.commsNotification",
        "changeType": "updated",
        "resourceUrl": "/communications/calls/0C1F-A2",
        "resourceData": {"state": "established", "id": "0c1f-a2"},
        **over,
    }


def body(*entries: Any) -> bytes:
    return json.dumps({"value": list(entries)}).encode()


def test_notifications_come_in_their_order() -> None:
    states = ("establishing", "established", "terminated")
    parsed = parse_notifications(
        body(*(entry(resourceData={"state": state}, unknown=1) for state in states))
    )
    assert tuple(n.resource_data["state"] for n in parsed) == states  # type: ignore[call-overload]
    assert {n.call_id for n in parsed} == {"0C1F-A2"}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"[" * 50_000, "expected JSON"),
        (b"[]", "expected a JSON object"),
        (b"{}", "value: expected a list"),
        (body(7), r"value\[0\]: expected an object"),
        (body(entry(changeType=None)), r"value\[0\].changeType"),
        (body(entry(), entry(resourceUrl="/users/1")), r"value\[1\].resourceUrl"),
        (body(entry(resourceData="x")), r"value\[0\].resourceData"),
        (body(*[entry()] * 257), "at most 256"),
        (body(entry(resourceUrl="/communications/calls/a\0b")), r"resourceUrl: expected ids"),
        (body(entry(resourceUrl="/communications/calls/" + "a" * 513)), r"expected ids, got 'aaa"),
        (body(entry(resourceUrl="/communications/calls/ ")), r"resourceUrl: expected ids, got ' '"),
        (body(entry(resourceData={"id": "a\0b"})), r"value\[0\].resourceData.id: expected an id"),
    ],
    ids=lambda value: value[:16].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_bad_body_is_refused_with_what_was_expected(raw: bytes, says: str) -> None:
    with pytest.raises(NotificationError, match=says):
        parse_notifications(raw)
