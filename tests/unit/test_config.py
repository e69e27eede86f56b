"""Settings: command line above environment above file above default, and nothing unknown."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.config.checks import check_environment, known_variables, kubernetes_links
from mixminus.control.config.errors import ConfigError, NoFileError
from mixminus.control.config.section import MAX_SECRET_BYTES
from mixminus.control.config.sections import sections
from mixminus.control.config.sources import SettingsSources
from mixminus.control.devfile import DevFile, DevUser
from mixminus.control.settings import HostSettings
from mixminus.media.plugins.config import PluginSpec
from tests.config_kit import CREDENTIALS, SECRET, Write, clean, credentials, write

__all__ = ["clean", "credentials", "write"]

pytestmark = pytest.mark.usefixtures("clean")

DEV = DevFile(
    tenant_id="dev-tenant",
    app_id="dev-app",
    client_secret="dev-secret",
    authority="https://localhost:9441/t",
    graph_base_url="https://localhost:9441",
    open_id_config_url="https://localhost:9441/v1/.well-known/OpenIdConfiguration",
    notification_issuer="https://localhost:9441/notifications",
    rtc_url="wss://localhost:9441/rtc",
    ca_file=Path("/state/ca.pem"),
    users=(DevUser(id="u1", display_name="John", token="x"),),
)


def problems(config: Path | None = None) -> list[str]:
    """Return what is wrong, which is something; no secret is among it."""
    with pytest.raises(ConfigError) as caught:
        SettingsSources.read(config)
    found = [str(one) for one in caught.value.problems]
    assert SECRET not in " ".join([str(caught.value), *found])
    return found


@pytest.mark.usefixtures("credentials")
def test_each_source_stands_above_the_next(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = []
    ports.append(SettingsSources.read().host().port)
    write("[host]\nport = 1\n")
    ports.append(SettingsSources.read().host().port)
    monkeypatch.setenv("MIXMINUS_PORT", "2")
    sources = SettingsSources.read()
    ports += [sources.host().port, sources.host(port=3).port]
    assert ports == [0, 1, 2, 3]
    assert sources.origin("host", "port") == "MIXMINUS_PORT"
    assert sources.origin("host", "bind") == "default"
    assert not sources.is_set("host", "bind")
    with pytest.raises(KeyError, match=r"host\.prot"):
        sources.origin("host", "prot")


@pytest.mark.usefixtures("credentials")
def test_a_call_service_dictates_what_its_hosts_need(write: Write) -> None:
    write('[host]\ntenant_id = "file"\nport = 7\n[host.users]\nMary = "u2"\n')
    host = SettingsSources.read().host(DEV, app_id="said")
    assert (host.tenant_id, host.app_id, host.port) == ("dev-tenant", "said", 7)
    assert host.client_secret.get_secret_value() == "dev-secret"
    assert host.register_webhook
    # Tables are merged name by name.
    assert host.users == {"Mary": "u2", "John": "u1"}


def test_every_table_is_read(write: Write) -> None:
    write(
        "[service]\nmax_calls = 3\n[console]\nhttp_port = 7700\n"
        '[operation]\nlog_level = "warning"\n'
    )
    sources = SettingsSources.read()
    assert sources.service().max_calls == 3
    assert sources.console().http_port == 7700
    assert sources.operation(drain_s=5.0).log_level == "warning"
    assert "MIXMINUS_SERVICE_MAX_CALLS" in sources.variables()
    assert "MIXMINUS_SERVICE_PORT" not in sources.variables()


@pytest.mark.usefixtures("credentials")
def test_plugins_and_phones_are_arrays_of_tables(write: Write) -> None:
    write(
        """
        [[host.plugins]]
        plugin = "gain"
        on = "mix"
        [host.plugins.config]
        gain_db = 6

        [[host.plugins]]
        plugin = "filter"
        isolation = "process"

        [[service.phones]]
        number = "+14255550123"
        tones = "12#"
        """
    )
    sources = SettingsSources.read()
    gain, isolated = sources.host().plugins
    assert gain == PluginSpec("gain", on="mix", config={"gain_db": 6})
    assert (isolated.plugin, isolated.on, isolated.isolation) == ("filter", "speaker", "process")
    (phone,) = sources.service().phones
    assert (phone.number, phone.tones) == ("+14255550123", "12#")


# ---- the file ------------------------------------------------------------------------------------


def test_the_file_is_named_by_option_variable_or_place(
    write: Write, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SettingsSources.read().path is None
    write("[service]\nport = 1\n")
    (clean / "b.toml").write_text("[service]\nport = 2\n")
    (clean / "c.toml").write_text("[service]\nport = 3\n")
    assert SettingsSources.read().service().port == 1
    monkeypatch.setenv("MIXMINUS_CONFIG", str(clean / "b.toml"))
    assert SettingsSources.read().service().port == 2
    assert SettingsSources.read(clean / "c.toml").service().port == 3


def test_a_named_file_has_to_be_there(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoFileError, match=r"--config: expected a settings file, no 'none\.toml'"):
        SettingsSources.read(Path("none.toml"))
    with pytest.raises(NoFileError, match="--config: expected a file, got a directory"):
        SettingsSources.read(clean)
    monkeypatch.setenv("MIXMINUS_CONFIG", "none.toml")
    with pytest.raises(NoFileError, match="MIXMINUS_CONFIG: expected a settings file"):
        SettingsSources.read()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[host]\nport = \n", "not TOML: line 2, column 8: Invalid value"),
        (b"[host]\nport = 1\nport = 2\n", "not TOML: line 3, column 9: Cannot overwrite a value"),
        (b"[host", "not TOML: "),
        (b"a = " + b"[" * 5_000, "not TOML: nested too deeply"),
        (b"[host]\n# \xff\n", "line 2: expected UTF-8"),
        (b"#" * (1 << 20) + b"#", "expected at most 1048576 bytes"),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(clean: Path, text: bytes, says: str) -> None:
    (clean / "mixminus.toml").write_bytes(text)
    (found,) = problems()
    assert found.startswith(f"mixminus.toml: {says}")


def test_a_byte_order_mark_does_not_matter(clean: Path) -> None:
    (clean / "mixminus.toml").write_bytes(b"\xef\xbb\xbf[service]\nport = 1\n")
    assert SettingsSources.read().service().port == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[host]\nprot = 1", "mixminus.toml: [host] prot: no such key: did you mean port?"),
        ("[host]\nxyzzy = 1", "mixminus.toml: [host] xyzzy: no such key"),
        ("[servce]\nport = 1", "mixminus.toml: [servce]: no such table: did you mean [service]?"),
        ("[zzz]", "mixminus.toml: [zzz]: no such table: there are [host], [service], [console]"),
        ("port = 1", "mixminus.toml: port: expected in a table: [host] or [service], got it"),
        ("x = 1", "mixminus.toml: x: expected tables only, got it before the first table"),
        ("host = 1", "mixminus.toml: host: expected a table, [host], got 1"),
        ("[service]\nport = true", "mixminus.toml: [service] port: expected no boolean, got true"),
        (
            f"[host]\nclient_secret = '{SECRET}'",
            "mixminus.toml: [host] client_secret: a secret is not said in this file: expected"
            " client_secret_file, the path of a file that has it, or MIXMINUS_CLIENT_SECRET",
        ),
        (
            f"[console]\ntoken = '{SECRET}'",
            "mixminus.toml: [console] token: a secret is not said in this file",
        ),
        (
            "[host]\nclient_secret_file = 3",
            "mixminus.toml: [host] client_secret_file: expected a path, got 3",
        ),
        (
            "[host]\nclient_secret_fil = 'x'",
            "mixminus.toml: [host] client_secret_fil: no such key: did you mean client_secret_file",
        ),
    ],
)
def test_a_key_that_cannot_be_is_named(write: Write, text: str, says: str) -> None:
    write(text)
    (found,) = problems()
    assert found.startswith(says)


def test_all_that_is_wrong_is_known_and_the_first_is_said(write: Write) -> None:
    write("[host]\nprot = 1\nbnid = 2\n")
    with pytest.raises(ConfigError, match=r"prot: no such key.*\(and 1 more: see mixminus doctor"):
        SettingsSources.read()
    assert len(problems()) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[service]\nport = 'x'", "[service] port: expected a valid integer"),
        ("[service]\nport = 70000", "[service] port: expected less than or equal to 65535"),
        ("[service]\nport = 1.5", "[service] port: expected a valid integer"),
        ("[service]\nringing_s = inf", "[service] ringing_s: expected a finite number"),
        ("[service]\nringing_s = nan", "[service] ringing_s: expected"),
        ("[service]\nmedia_bind = '127.0.0.1'", "[service] media_bind: expected a valid tuple"),
        ("[service]\nswap_establishing = 'perhaps'", "swap_establishing: expected a valid boolean"),
        ("[service]\nport = 2020-01-01", "[service] port: expected a valid integer"),
        (
            "[[service.phones]]\nnumber = '425'",
            "[service] phones: 0.number: expected an E.164 number",
        ),
        ("[[service.phones]]\nnumber = '+14255550123'\nx = 1", "phones: 0.x: no such key"),
        ("[[service.plugins]]\nplugn = 'gain'", "[service] plugins: plugin ?: plugn: no such"),
        ("[service]\nmedia_bind = ['0.0.0.0']", "[service]: media_bind: 0.0.0.0 needs"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_place(write: Write, text: str, says: str) -> None:
    write(text)
    with pytest.raises(ConfigError) as caught:
        SettingsSources.read().service()
    assert says in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_wrong_variable_is_named_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMINUS_SERVICE_PORT", "http")
    with pytest.raises(
        ConfigError, match=r"MIXMINUS_SERVICE_PORT: expected a valid integer.*'http'"
    ):
        SettingsSources.read().service()
    with pytest.raises(ConfigError, match=r"service\.max_calls: expected greater than 0, got 0"):
        SettingsSources.read().service(port=1, max_calls=0)


def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMINUS_SERVICE_PHONES", SECRET)
    with pytest.raises(ConfigError, match=r"^MIXMINUS_SERVICE_PHONES: expected JSON$"):
        SettingsSources.read().service()


def test_what_a_host_has_to_be_told_is_named_with_the_ways(write: Write) -> None:
    write("[host]\ntenant_id = 't'\n")
    with pytest.raises(ConfigError) as caught:
        SettingsSources.read().host()
    assert [str(one) for one in caught.value.problems] == [
        "[host] app_id: expected a value: set MIXMINUS_APP_ID, or app_id in [host] of"
        " mixminus.toml",
        "[host] client_secret: expected a value: set MIXMINUS_CLIENT_SECRET,"
        " MIXMINUS_CLIENT_SECRET_FILE, or client_secret_file in [host] of mixminus.toml",
    ]


# ---- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("MIXMINUS_PROT", "MIXMINUS_PROT: no such setting: did you mean MIXMINUS_PORT?"),
        (
            "MIXMINUS_SERVICE_MEDIA_PROT",
            "MIXMINUS_SERVICE_MEDIA_PROT: no such setting: did you mean MIXMINUS_SERVICE_MEDIA_P",
        ),
        ("mixminus_prot", "mixminus_prot: no such setting: did you mean MIXMINUS_PORT?"),
        ("MIXMINUS_PORT_FILE", "MIXMINUS_PORT_FILE: no such setting: did you mean"),
        ("MIXMINUS_QQQQQQQQQQQQQQQQQQQQQ", "MIXMINUS_QQQQQQQQQQQQQQQQQQQQQ: no such setting"),
    ],
)
def test_an_unknown_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv(name, SECRET)
    (found,) = problems()
    assert found.startswith(says)


def test_every_variable_that_is_read_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_variables()
    for name in ("MIXMINUS_LIBOPUS", "MIXMINUS_ISA", "MIXMINUS_CLIENT_SECRET_FILE"):
        assert name in known
    monkeypatch.setenv("MIXMINUS_LIBOPUS", "none")
    monkeypatch.setenv("_MIXMINUS_COMPLETE", "bash_source")
    assert check_environment(os.environ) == []


def test_no_variable_means_two_settings() -> None:
    names = [model.variable(field) for model in sections().values() for field in model.model_fields]
    assert len(names) == len(set(names))


def links(service: str) -> dict[str, str]:
    """Return what Kubernetes puts into the pods beside a Service of that name."""
    return {
        f"{service}_SERVICE_HOST": "10.0.0.11",
        f"{service}_SERVICE_PORT": "9441",
        f"{service}_SERVICE_PORT_HTTPS": "9441",
        f"{service}_PORT": "tcp://10.0.0.11:9441",
        f"{service}_PORT_9441_TCP": "tcp://10.0.0.11:9441",
        f"{service}_PORT_9441_TCP_PROTO": "tcp",
        f"{service}_PORT_9441_TCP_PORT": "9441",
        f"{service}_PORT_9441_TCP_ADDR": "10.0.0.11",
    }


def test_what_kubernetes_says_of_services_is_no_setting_of_ours() -> None:
    other = links("MIXMINUS_GRAFANA")
    assert kubernetes_links(other) == other.keys()
    assert check_environment(other) == []
    # One that is called as we are hides settings, and would be taken for them.
    found = check_environment(links("MIXMINUS"))
    assert {one.where for one in found} == {
        "MIXMINUS_PORT",
        "MIXMINUS_SERVICE_HOST",
        "MIXMINUS_SERVICE_PORT",
    }
    assert all("enableServiceLinks: false" in one.message for one in found)


@pytest.mark.parametrize(
    "names",
    [
        ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
        ("MicrosoftAppTenantId", "MicrosoftAppId", "MicrosoftAppPassword"),
        ("AZURE_TENANT_ID", "AadAppId", "AadAppSecret"),
    ],
)
def test_what_other_programs_call_credentials_is_taken_when_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch, write: Write, names: tuple[str, ...]
) -> None:
    for name, value in zip(names, ("t1", "a1", SECRET), strict=True):
        monkeypatch.setenv(name, value)
    sources = SettingsSources.read()
    host = sources.host()
    assert (host.tenant_id, host.app_id) == ("t1", "a1")
    assert host.client_secret.get_secret_value() == SECRET
    assert sources.origin("host", "app_id") == names[1]
    write("[host]\napp_id = 'file'\n")
    assert SettingsSources.read().host().app_id == "file"


# ---- secrets -------------------------------------------------------------------------------------


@pytest.fixture
def secret_file(clean: Path) -> Path:
    path = clean / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="mixminus"):
        yield caplog


def without_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS.keys() - {"MIXMINUS_CLIENT_SECRET"}:
        monkeypatch.setenv(name, "x")


@pytest.mark.parametrize("by", ["variable", "file", "model"])
def test_a_secret_comes_from_a_file(
    monkeypatch: pytest.MonkeyPatch,
    write: Write,
    secret_file: Path,
    log: pytest.LogCaptureFixture,
    by: str,
) -> None:
    without_secret(monkeypatch)
    if by == "file":
        write(f'[host]\nclient_secret_file = "{secret_file}"\n')
    else:
        monkeypatch.setenv("MIXMINUS_CLIENT_SECRET_FILE", str(secret_file))
    nothing: dict[str, Any] = {}
    host = HostSettings(**nothing) if by == "model" else SettingsSources.read().host()
    assert host.client_secret.get_secret_value() == SECRET
    assert log.messages == []


@pytest.mark.parametrize("by", ["variable", "file"])
def test_a_secret_that_all_may_read_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    write: Write,
    secret_file: Path,
    log: pytest.LogCaptureFixture,
    by: str,
) -> None:
    without_secret(monkeypatch)
    secret_file.chmod(stat.S_IRUSR | stat.S_IROTH)
    if by == "file":
        write(f'[host]\nclient_secret_file = "{secret_file}"\n')
    else:
        monkeypatch.setenv("MIXMINUS_CLIENT_SECRET_FILE", str(secret_file))
    sources = SettingsSources.read()
    assert sources.host().client_secret.get_secret_value() == SECRET
    (message,) = log.messages
    assert message.endswith(f"everybody on this machine may read {secret_file}: chmod 600 it")
    assert list(sources.secret_files().values()) == [secret_file]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read secret: No such file or directory"),
        (b"", "secret: expected a secret, got an empty file"),
        (b"\n", "secret: expected a secret, got an empty file"),
        (b"\xff\xfe", "secret: expected UTF-8 text"),
        (b"x" * (MAX_SECRET_BYTES + 1), "secret: expected at most 65536 bytes"),
    ],
)
@pytest.mark.parametrize("by", ["variable", "file"])
def test_a_file_without_a_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, write: Write, content: bytes | None, says: str, by: str
) -> None:
    without_secret(monkeypatch)
    if content is not None:
        Path("secret").write_bytes(content)
    where = "MIXMINUS_CLIENT_SECRET_FILE"
    if by == "file":
        write('[host]\nclient_secret_file = "secret"\n')
        where = "mixminus.toml: [host] client_secret_file"
    else:
        monkeypatch.setenv(where, "secret")
    with pytest.raises(ConfigError) as caught:
        SettingsSources.read().host()
    assert str(caught.value) == f"{where}: {says}"


def test_a_secret_is_said_once(monkeypatch: pytest.MonkeyPatch, secret_file: Path) -> None:
    monkeypatch.setenv("MIXMINUS_CLIENT_SECRET_FILE", str(secret_file))
    monkeypatch.setenv("MIXMINUS_CLIENT_SECRET", SECRET)
    with pytest.raises(ConfigError, match="expected this or MIXMINUS_CLIENT_SECRET, not both"):
        SettingsSources.read().host()
    nothing: dict[str, Any] = {}
    with pytest.raises(ConfigError, match="expected this or MIXMINUS_CLIENT_SECRET, got both"):
        HostSettings(**nothing)


@pytest.mark.usefixtures("credentials")
def test_the_environment_s_secret_needs_no_file_of_the_settings(write: Write) -> None:
    write('[host]\nclient_secret_file = "/none"\n')
    assert SettingsSources.read().host().client_secret.get_secret_value() == SECRET


def test_a_secret_that_is_too_short_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMINUS_CONSOLE_TOKEN", "hunter2")
    with pytest.raises(ConfigError) as caught:
        SettingsSources.read().console()
    assert str(caught.value) == "MIXMINUS_CONSOLE_TOKEN: expected at least 16 characters, got 7"
