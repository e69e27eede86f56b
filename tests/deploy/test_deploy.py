"""What is deployed: linted and rendered, since no container engine need be here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixminus.control.cli import app
from mixminus.control.config.section import FILE_SUFFIX
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.settings import HostSettings
from tests.support import ROOT

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/mixminus"
BIN = Path(sys.executable).parent
GRAPH: dict[str, Any] = {
    "mode": "graph",
    "https": {"publicUrl": "https://bot.example.com:8443"},
    "secrets": {"name": "bot", "keys": ["client_secret", "twilio_auth_token"]},
    "certificate": {"secretName": "tls"},
    "bot": "from mixminus.control.host import Bot\n\nbot = Bot()\n",
    "settings": {
        "host": {
            "tenant_id": "aa67bd4c-8475-432d-bd41-39f255720e0a",
            "app_id": "2891555a-92ff-42e6-80fa-6e1300c6b5c6",
            "users": {"John": "112f7296-5fa4-42ca-bae8-6a692b15d4b8"},
            "plugins": [{"plugin": "gain", "on": "mix", "config": {"gain_db": -6.5}}],
            "recordings_retention_s": 86400,
        },
        "operation": {"drain_s": 60.5},
    },
}

SETTINGS = {"console": {"enabled": False}, **GRAPH["settings"]}  # with what values.yaml has


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )


def render(tmp_path: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Render the chart; Kubernetes' own schemas have nothing to say against it."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run(BIN / "helm", "template", "bots", CHART, "--values", file)
    assert done.returncode == 0, done.stderr
    documents = [part for part in yaml.safe_load_all(done.stdout) if part]
    known = [part for part in documents if part["kind"] != "ServiceMonitor"]
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(yaml.safe_dump_all(known))
    checked = run(BIN / "kubernetes-validate", "--strict", rendered)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return documents


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (part for part in documents if part["kind"] == kind)
    return found


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def options_of(command: str) -> set[str]:
    """Return the options that ``mixminus COMMAND`` takes."""
    import typer.main

    group: Any = typer.main.get_command(app.build())
    return {name for option in group.commands[command].params for name in option.opts}


def check_command(command: list[str]) -> None:
    name, *arguments = command
    assert {argument.split("=")[0] for argument in arguments} <= options_of(name)


def test_the_chart_is_in_order() -> None:
    done = run(BIN / "helm", "lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_by_itself_it_runs_a_call_service_with_one_udp_port(tmp_path: Path) -> None:
    documents = render(tmp_path, {})
    pod = container(documents)
    check_command(pod["args"])
    assert [port for port in pod["ports"] if port["protocol"] == "UDP"] == [
        {"name": "media", "containerPort": 10000, "hostPort": 10000, "protocol": "UDP"}
    ]
    address = next(entry for entry in pod["env"] if entry["name"] == "MEDIA_ADDRESS")
    assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.hostIP"
    security = pod["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_NICE"]}
    assert security["readOnlyRootFilesystem"]
    spec = one(documents, "StatefulSet")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["terminationGracePeriodSeconds"] > 300  # operation.drain_s of the values
    assert pod["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert pod["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_against_graph_it_has_its_secrets_by_file_and_settings_that_hold(tmp_path: Path) -> None:
    documents = render(tmp_path, {**GRAPH, "metrics": {"serviceMonitor": True}})
    pod = container(documents)
    check_command(pod["args"])
    assert "--from-env" in pod["args"]
    assert all(port["protocol"] == "TCP" for port in pod["ports"])
    env = {entry["name"]: entry.get("value") for entry in pod["env"]}
    assert env["MIXMINUS_CLIENT_SECRET_FILE"] == "/run/secrets/mixminus/client_secret"
    assert one(documents, "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/metrics"
    data = one(documents, "ConfigMap")["data"]
    assert data["bot.py"] == GRAPH["bot"]
    assert tomllib.loads(data["mixminus.toml"]) == SETTINGS
    config = tmp_path / "mixminus.toml"
    config.write_text(data["mixminus.toml"])
    secret = tmp_path / "client_secret"
    secret.write_text("a secret of this test")
    secret.chmod(0o600)
    checked = run(
        BIN / "mixminus",
        *("config", "validate", config),
        env={"PATH": "/usr/bin", "MIXMINUS_CLIENT_SECRET_FILE": str(secret)},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_store_s_url_comes_from_the_chart_s_secret(tmp_path: Path) -> None:
    key = "service_store_url"
    pod = container(render(tmp_path, {"secrets": {"name": "bot", "keys": [key]}}))
    env = {entry["name"]: entry.get("value") for entry in pod["env"]}
    variable = ServiceSettings.variable("store_url") + FILE_SUFFIX
    assert env[variable] == f"/run/secrets/mixminus/{key}"


def test_a_fleet_s_pods_have_their_names_and_one_store(tmp_path: Path) -> None:
    url = "https://$(POD_NAME).bot.example.com:8443"
    secrets = {"name": "bot", "keys": ["client_secret", "store_url"]}
    documents = render(
        tmp_path, {**GRAPH, "replicas": 3, "https": {"publicUrl": url}, "secrets": secrets}
    )
    assert one(documents, "StatefulSet")["spec"]["replicas"] == 3
    pod = container(documents)
    assert f"--public-url={url}" in pod["args"]
    env = {entry["name"]: entry.get("value") for entry in pod["env"]}
    names = [entry["name"] for entry in pod["env"]]
    # Kubernetes expands what was said before, and nothing else.
    assert names.index("POD_NAME") < names.index(HostSettings.variable("instance"))
    assert env[HostSettings.variable("instance")] == "$(POD_NAME)"
    stored = HostSettings.variable("store_url") + FILE_SUFFIX
    assert env[stored] == "/run/secrets/mixminus/store_url"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"replicas": 2, "secrets": {"name": "bot", "keys": ["service_store_url"]}},
            "secrets.keys: service_store_url names one database for all pods",
        ),
        (
            {"replicas": 3, "secrets": {"name": "bot", "keys": ["store_url"]}},
            "secrets.keys: store_url names one database for all pods",
        ),
        ({"mode": "graph"}, "https.publicUrl: with mode graph, expected the https URL"),
        ({"drain": {"graceSeconds": 100}}, "drain.graceSeconds: expected more than"),
        ({"mode": "teams"}, "mode"),
        ({"realtme": True}, "realtme"),
        ({"settings": {"hosts": {}}}, "hosts"),
    ],
)
def test_values_that_cannot_work_are_named(
    tmp_path: Path, values: dict[str, Any], says: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run(BIN / "helm", "template", "bots", CHART, "--values", file)
    assert done.returncode != 0
    assert says in done.stderr


def test_the_dockerfile_is_in_order() -> None:
    done = run(BIN / "hadolint", "--config", DEPLOY / "hadolint.yaml", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.count("\nFROM ") == 2  # what builds is not in the image
    user = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert user
    assert int(user[-1]) > 0
    check_command(json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1]))


def copied(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield what the first stage copies from the context, and where to."""
    for line in dockerfile.split("\nFROM ")[1].splitlines():
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            yield from ((source, target) for source in sources)


def test_what_the_dockerfile_copies_is_enough_to_build(tmp_path: Path) -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for source, target in copied((DEPLOY / "Dockerfile").read_text()):
        assert f"!{source}" in ignore
        if (ROOT / source).is_dir():
            skip = shutil.ignore_patterns("__pycache__", "*.so", "*.egg-info")
            shutil.copytree(ROOT / source, tmp_path / target, symlinks=True, ignore=skip)
        else:
            shutil.copy(ROOT / source, tmp_path / target)
    wheels = tmp_path / "wheels"
    done = run(
        sys.executable,
        *("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, "."),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(wheels.glob("mixminus-*-abi3-*.whl"))


def interpolated(text: str) -> str:
    """Put in what compose would: a variable's default, or a value where one must be given."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{MEDIA_ADDRESS:\?[^}]*\}", "192.0.2.10", text)


def test_the_compose_file_is_in_order() -> None:
    import compose_spec  # of the extra that `make check` installs

    text = interpolated((DEPLOY / "compose.yaml").read_text())
    assert "${" not in text
    options = compose_spec.PyOptions(apply_merge=True)
    parsed = options.from_yaml(text)
    parsed.validate()
    parsed.validate_volumes()
    parsed.validate_secrets()
    services = parsed.to_dict()["services"]
    assert {"service", "host"} <= set(services)
    for name in ("service", "host"):
        check_command(services[name]["command"])
        assert services[name]["stop_grace_period"]
        assert services[name]["cap_drop"] == ["ALL"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = str(volume["source"] if isinstance(volume, dict) else volume).split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source


def test_the_compose_files_prometheus_and_grafana_find_what_they_show() -> None:
    text = interpolated((DEPLOY / "compose.yaml").read_text())
    services = yaml.safe_load(text)["services"]
    scraped = yaml.safe_load((DEPLOY / "prometheus/compose.yml").read_text())["scrape_configs"]
    for config, name in zip(scraped, ("service", "host"), strict=True):
        port = next(part[7:] for part in services[name]["command"] if part.startswith("--port="))
        assert config["static_configs"] == [{"targets": [f"{name}:{port}"]}]
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards/mixminus.yaml").read_text())[
        "providers"
    ]
    shown = f"./grafana/mixminus.json:{provider['options']['path']}/mixminus.json:ro"
    assert shown in services["grafana"]["volumes"]


def layered(*names: str) -> dict[str, Any]:
    """Put compose files of deploy/ on top of each other, as `docker compose -f A -f B` does."""
    whole: dict[str, Any] = {}
    for name in names:
        file = yaml.safe_load(interpolated((DEPLOY / name).read_text()))
        for service, said in file["services"].items():
            if "extends" in said:
                base = yaml.safe_load(interpolated((DEPLOY / said["extends"]["file"]).read_text()))
                del said["extends"]
                file["services"][service] = on_top(base["services"]["host"], said)
        whole = on_top(whole, file)
    return whole


def on_top(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in more.items():
        if key == "volumes" and isinstance(value, list):
            targets = {volume.split(":")[1] for volume in value}
            kept = [one for one in base.get(key, []) if one.split(":")[1] not in targets]
            merged[key] = kept + value
        elif isinstance(value, dict):
            merged[key] = on_top(base.get(key) or {}, value)
        else:
            merged[key] = value
    return merged


def validated(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the services of a compose file that is in order, and has no secret in sight."""
    import compose_spec  # of the extra that `make check` installs

    parsed = compose_spec.PyOptions(apply_merge=True).from_yaml(yaml.safe_dump(whole))
    parsed.validate()
    parsed.validate_volumes()
    parsed.validate_secrets()
    services: dict[str, Any] = whole["services"]
    for one in services.values():
        named = [name for name in one.get("environment", {}) if "PASSWORD" in name or "URL" in name]
        assert all(name.endswith("_FILE") for name in named)
    return services


def test_the_store_in_postgres_is_wired_without_a_password_in_the_environment() -> None:
    services = validated(layered("compose.yaml", "compose.postgres.yaml"))
    service = services["service"]
    variable = ServiceSettings.variable("store_url") + FILE_SUFFIX
    assert service["environment"][variable] == "/run/secrets/store-url"
    assert service["secrets"] == ["store-url"]
    assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    # The two say the same of user, database and host.
    text = (DEPLOY / "compose.postgres.yaml").read_text()
    said = next(line for line in text.splitlines() if line.startswith("#   postgresql://"))
    postgres = services["postgres"]["environment"]
    user, database = postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]
    assert said == f"#   postgresql://{user}:PASSWORD@postgres/{database}"


def test_three_hosts_share_one_store_each_under_its_own_name() -> None:
    services = validated(layered("compose.yaml", "compose.postgres.yaml", "compose.fleet.yaml"))
    hosts = {name: said for name, said in services.items() if name.startswith("host")}
    assert set(hosts) == {"host", "host-2", "host-3"}
    store = HostSettings.variable("store_url") + FILE_SUFFIX
    for name, host in hosts.items():
        check_command(host["command"])
        assert f"--public-url=https://{name}:8444" in host["command"]
        assert host["environment"][HostSettings.variable("instance")] == name
        assert host["environment"][store] == "/run/secrets/store-url"
        assert host["secrets"] == ["store-url"]
        assert host["depends_on"]["postgres"] == {"condition": "service_healthy"}
        assert f"{name}:/var/lib/mixminus-host" in host["volumes"]
        assert "service:/var/lib/mixminus" in host["volumes"]
    configuration = services["prometheus"]["command"][0].rpartition("/")[2]
    scraped = yaml.safe_load((DEPLOY / "prometheus" / configuration).read_text())["scrape_configs"]
    targets = [
        target for one in scraped for part in one["static_configs"] for target in part["targets"]
    ]
    assert targets == ["service:8443", *(f"{name}:8444" for name in hosts)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_in_order(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd/mixminus.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    _, *arguments = command.split()
    check_command([part for part in arguments if not part.startswith("/")])
    unit = tmp_path / "mixminus.service"
    # The program need not be where the unit will find it.
    unit.write_text(text.replace("/opt/mixminus/bin/mixminus", "/usr/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert done.returncode == 0, done.stderr
    assert "mixminus.service" not in done.stderr, done.stderr
