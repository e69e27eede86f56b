"""Settings of a host: Microsoft's by default, a dev.json's, or the environment's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from mixminus.control.devfile import DevFile, DevUser
from mixminus.control.settings import HostSettings

SECRET = "hunter2-hunter2"
DEV = DevFile(
    tenant_id="t",
    app_id="a",
    client_secret=SECRET,
    authority="https://localhost:9441/t",
    graph_base_url="https://localhost:9441",
    open_id_config_url="https://localhost:9441/v1/.well-known/OpenIdConfiguration",
    notification_issuer="https://localhost:9441/notifications",
    rtc_url="wss://localhost:9441/rtc",
    ca_file=Path("/state/ca.pem"),
    users=(DevUser(id="u1", display_name="John", token="x"),),
)


def microsoft() -> HostSettings:
    return HostSettings(tenant_id="t", app_id="a", client_secret=SecretStr(SECRET))


def test_microsoft_is_the_default() -> None:
    settings = microsoft()
    assert settings.authority_url == "https://login.microsoftonline.com/t"
    assert settings.graph_base_url == "https://graph.microsoft.com"
    assert settings.open_id_config_url.startswith("https://api.aps.skype.com/")
    assert settings.notification_issuers[0] == "https://api.botframework.com"
    assert settings.ca_file is None
    assert settings.bind == "127.0.0.1"


def test_a_dev_file_says_all_and_arguments_replace_it() -> None:
    settings = HostSettings.from_dev_file(DEV, port=9442, app_id="b")
    assert settings.authority_url == DEV.authority
    assert settings.graph_base_url == DEV.graph_base_url
    assert settings.notification_issuers == (DEV.notification_issuer,)
    assert settings.ca_file == DEV.ca_file
    assert settings.users == {"John": "u1"}
    assert (settings.port, settings.app_id) == (9442, "b")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "TENANT_ID": "t",
        "APP_ID": "a",
        "CLIENT_SECRET": SECRET,
        "PUBLIC_URL": "https://bot.contoso.com/",
        "USERS": '{"John": "u1"}',
        "NOTIFICATION_ISSUERS": '["https://api.botframework.com"]',
    }
    for name, value in values.items():
        monkeypatch.setenv(f"MIXMINUS_{name}", value)
    nothing: dict[str, Any] = {}
    settings = HostSettings(**nothing)
    assert settings.public_url == "https://bot.contoso.com"
    assert settings.users == {"John": "u1"}
    assert settings.notification_issuers == ("https://api.botframework.com",)


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(microsoft())
    assert SECRET not in repr(HostSettings.from_dev_file(DEV))


@pytest.mark.parametrize("name", ["graph_base_url", "authority", "open_id_config_url"])
@pytest.mark.parametrize("url", ["http://localhost", "https://", "localhost:9441", "ftp://x"])
def test_only_https_is_spoken(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match="expected an https URL"):
        HostSettings.from_dev_file(DEV, **{name: url})


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="prot"):
        HostSettings.from_dev_file(DEV, prot=1)
