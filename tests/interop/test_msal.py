"""msal's own client against our authority over https, and what its tokens open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests

from mixminus.control.devfile import DevFile
from mixminus.control.service.tokens import AccessTokens
from tests.service_kit import GraphHttp, call_body, running_service

SCOPES = ["https://graph.microsoft.com/.default"]


def session_for(dev: DevFile) -> requests.Session:
    """A session of our own: the environment's CA bundle would override msal's ``verify``."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(dev.ca_file)
    return session


def get_token(dev: DevFile, **change: Any) -> dict[str, Any]:
    """Let msal get a token, with its sockets closed afterwards."""
    arguments: dict[str, Any] = {
        "client_id": dev.app_id,
        "client_credential": dev.client_secret,
        "authority": dev.authority,
        "instance_discovery": False,
    }
    with session_for(dev) as session:
        application = msal.ConfidentialClientApplication(
            http_client=session, **(arguments | change)
        )
        result: dict[str, Any] = application.acquire_token_for_client(SCOPES)
        return result


async def test_msal_gets_a_token_that_opens_the_api(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        dev = service.dev_file
        result = await asyncio.to_thread(get_token, dev)
        assert result["token_type"] == "Bearer"
        assert 0 < result["expires_in"] <= 3599
        claims = jwt.decode(result["access_token"], options={"verify_signature": False})
        assert claims["aud"] == "https://graph.microsoft.com"
        assert (claims["appid"], claims["tid"]) == (dev.app_id, dev.tenant_id)
        assert {"Calls.Initiate.All", "Calls.AccessMedia.All"} <= set(claims["roles"])
        reply = await graph.http.post(
            "/v1.0/communications/calls",
            json=call_body("https://localhost:1/callback"),
            headers={"Authorization": f"Bearer {result['access_token']}"},
        )
        assert reply.status_code == 201


async def test_msal_may_discover_the_instance_here(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        dev = service.dev_file
        url = f"{dev.graph_base_url}/common/discovery/instance"
        result = await asyncio.to_thread(get_token, dev, instance_discovery=url)
        assert "access_token" in result, result


async def test_published_keys_verify_the_token(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        dev = service.dev_file
        metadata = await graph.http.get(f"{dev.authority}/v2.0/.well-known/openid-configuration")
        keys = jwt.PyJWKSet.from_dict((await graph.http.get(metadata.json()["jwks_uri"])).json())
        token = await graph.token()
        claims = jwt.decode(
            token,
            keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=["RS256"],
            audience="https://graph.microsoft.com",
            issuer=metadata.json()["issuer"],
        )
        assert claims["exp"] - claims["iat"] == 3599


async def test_wrong_secret_gets_the_oauth_error_body(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        result = await asyncio.to_thread(
            get_token, service.dev_file, client_credential="not the secret"
        )
    assert result["error"] == "invalid_client"
    assert result["error_description"].startswith("AADSTS7000215:")
    assert result["error_codes"] == [7000215]
    for member in ("timestamp", "trace_id", "correlation_id"):
        assert result[member]
    assert "not the secret" not in str(result)


def oauth_refusals() -> Iterator[Any]:
    good = {"grant_type": "client_credentials", "scope": SCOPES[0]}

    def case(name: str, status: int, error: str, number: int, **change: str) -> Any:
        return pytest.param({**good, **change}, status, error, number, id=name)

    yield case("unknown app", 400, "unauthorized_client", 700016, client_id="nobody")
    yield case("no app", 400, "invalid_request", 900144, client_id="")
    yield case("no secret", 401, "invalid_client", 7000218, client_secret="")
    yield case("other grant", 400, "unsupported_grant_type", 70003, grant_type="password")
    yield case("no grant", 400, "invalid_request", 900144, grant_type="")
    yield case("no scope", 400, "invalid_request", 900144, scope="")
    yield case("other scope", 400, "invalid_scope", 1002012, scope="User.Read")


@pytest.mark.parametrize(("change", "status", "error", "number"), [*oauth_refusals()])
async def test_token_request_that_lacks_something_gets_entras_error(
    tmp_path: Path, change: dict[str, str], status: int, error: str, number: int
) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        dev = service.dev_file
        form = {"client_id": dev.app_id, "client_secret": dev.client_secret} | change
        reply = await graph.http.post(
            f"{dev.authority}/oauth2/v2.0/token", data=form, headers={"Authorization": ""}
        )
        assert reply.status_code == status
        assert reply.json()["error"] == error
        assert reply.json()["error_codes"] == [number]
        assert reply.headers["cache-control"] == "no-store"


async def test_other_tenant_is_not_found(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        reply = await graph.http.get("/other/v2.0/.well-known/openid-configuration")
        assert reply.status_code == 400
        assert reply.json()["error_codes"] == [90002]


async def test_request_without_a_token_that_holds_is_unauthenticated(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, GraphHttp(service.dev_file) as graph:
        dev = service.dev_file
        app = await service.store.app(dev.app_id)
        assert app is not None
        tokens = service.access_tokens
        past = AccessTokens(tokens._key, service.urls, clock=lambda: time.time() - 7200)
        good = tokens.issue(app)
        head, body, signature = good.split(".")
        none = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "", "none")
        for authorization, says in (
            ("", "empty"),
            ("Bearer", "empty"),
            (f"Basic {good}", "empty"),
            (f"Bearer {past.issue(app)}", "expired"),
            ("Bearer nonsense", "failure"),
            (f"Bearer {head}.{body}.{signature[:-6]}AAAAAA", "failure"),
            (f"Bearer {none}", "failure"),
        ):
            reply = await graph.http.post(
                "/v1.0/communications/calls",
                json=call_body("https://localhost:1/callback"),
                headers={"Authorization": authorization},
            )
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")
            error = reply.json()["error"]
            assert error["code"] == "InvalidAuthenticationToken"
            assert says in error["message"]
            assert error["innerError"]["request-id"]


@pytest.mark.parametrize(
    "roles",
    [(), ("Calls.AccessMedia.All",), ("Calls.Initiate.All",), ("Calls.JoinGroupCall.All",)],
)
async def test_token_without_the_roles_is_forbidden(tmp_path: Path, roles: tuple[str, ...]) -> None:
    async with running_service(tmp_path) as service:
        await service.store.set_roles(service.dev_file.app_id, roles)
        async with GraphHttp(service.dev_file) as graph:
            reply = await graph.create(call_body("https://localhost:1/callback"))
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "7504")
            await service.store.set_roles(
                service.dev_file.app_id, ("Calls.Initiate.All", "Calls.AccessMedia.All")
            )
        async with GraphHttp(service.dev_file) as graph:
            reply = await graph.create(call_body("https://localhost:1/callback"))
            assert reply.status_code == 201


@pytest.mark.slow
async def test_credentials_stay_over_a_restart(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        before = service.dev_file
    async with running_service(tmp_path) as service:
        after = service.dev_file
    assert after.client_secret == before.client_secret
    assert after.users == before.users
    assert DevFile.load(tmp_path) == after
    assert (tmp_path / "dev.json").stat().st_mode & 0o777 == 0o600
