"""Tokens for a bot from the embedded authority, by msal, whatever the environment says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from mixminus.control.client.tokens import ClientCredentials, TokenError
from mixminus.control.devfile import DevFile
from mixminus.control.service.service import CallService
from mixminus.control.service.settings import ServiceSettings


@pytest.fixture
async def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DevFile]:
    # Where these are exported, requests would prefer them to what it is told.
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(empty))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with CallService(ServiceSettings(state_dir=tmp_path / "state")) as service:
        yield service.dev_file


def credentials(dev: DevFile, secret: str | None = None) -> ClientCredentials:
    return ClientCredentials(
        dev.authority, dev.app_id, secret or dev.client_secret, ca_file=dev.ca_file
    )


async def test_a_token_is_kept_until_a_new_one_is_asked_for(dev: DevFile) -> None:
    tokens = credentials(dev)
    first = await tokens.token()
    assert await tokens.token() == first
    claims = jwt.decode(first, options={"verify_signature": False})
    assert claims["aud"] == "https://graph.microsoft.com"
    assert "Calls.AccessMedia.All" in claims["roles"]
    assert await tokens.token(refresh=True) != first
    both = await asyncio.gather(tokens.token(), tokens.token())
    assert both[0] == both[1]
    await tokens.close()
    await tokens.close()


async def test_a_wrong_secret_is_oauths_error(dev: DevFile) -> None:
    tokens = credentials(dev, "hunter2")
    with pytest.raises(TokenError) as caught:
        await tokens.token()
    assert caught.value.code == "invalid_client"
    assert "hunter2" not in str(caught.value)
    await tokens.close()


async def test_an_authority_that_is_not_there_is_one_error(dev: DevFile) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = dev.model_copy(update={"authority": f"https://localhost:{port}/{dev.tenant_id}"})
    tokens = credentials(away)
    with pytest.raises(TokenError) as caught:
        await tokens.token()
    assert caught.value.code == "unreachable"
    await tokens.close()


async def test_an_authority_that_is_no_authority_is_one_error(dev: DevFile) -> None:
    other = dev.model_copy(update={"authority": f"{dev.graph_base_url}/healthz"})
    tokens = credentials(other)
    with pytest.raises(TokenError):
        await tokens.token()
    await tokens.close()
