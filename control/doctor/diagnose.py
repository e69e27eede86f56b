"""All checks, run side by side: none waits for another, and none longer than a few seconds."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mixminus.media import _native
from mixminus.media.cpus import usable_cpus
from mixminus.media.libraries import codec_libraries

from ..store.opening import HOST_FILE, SERVICE_FILE
from .certificates import ServerCertificate, check_certificate
from .clock import check_monotonic, clock_source, read_clocks
from .environment import check_environment
from .findings import Finding
from .libraries import check_libraries
from .limits import check_open_files
from .local import check_local, own_pids
from .machine import check_processor
from .network import Answer
from .outside import check_outside, check_wall_clock
from .ports import WantedPort, check_port
from .real_time import check_jitter, check_permission, measure
from .situation import Situation, check_settings
from .storage import check_directory
from .store import check_file, check_server
from .surroundings import manager, rights


async def diagnose(config: Path | None = None, state_dir: Path | None = None) -> list[Finding]:
    """Look at everything. Findings come in a fixed order; nothing that is wrong is raised.

    Thread: the loop's, which is busy for two seconds with nothing else.
    """
    situation = Situation.read(config, state_dir)
    # Before an engine runs: what they bind is only read from then on.
    libraries = codec_libraries()
    graph: list[Answer] = []
    own: list[Answer] = []
    outside = asyncio.create_task(check_outside(situation, graph))
    local = asyncio.create_task(check_local(situation, own))
    media = await _media(situation)
    on_disk = await asyncio.to_thread(_on_disk, situation)
    return [
        *check_settings(situation),
        *media,
        *check_libraries(libraries),
        *on_disk,
        *check_environment(os.environ, situation.host.ca_file),
        *await local,
        *await outside,
        check_wall_clock([*graph, *own]),
    ]


async def _media(situation: Situation) -> list[Finding]:
    """Look at the processor, the clock of media and the tick threads."""
    before = read_clocks()
    measured = await measure(situation.service.tick_thread_count)
    after = read_clocks()
    own = rights()
    processor = check_processor(
        architecture=platform.machine(),
        chosen=_native.isa(),
        best=_native.isas()[-1],
        cpus=len(os.sched_getaffinity(0)),
        usable=usable_cpus(),
        environ=os.environ,
    )
    calls = max(situation.service.max_calls, situation.host.max_streams)
    return [
        processor,
        check_permission(measured.scheduling, own, manager(os.environ)),
        check_jitter(measured),
        check_monotonic(
            before,
            after,
            resolution_s=time.clock_getres(time.CLOCK_MONOTONIC),
            source=clock_source(),
        ),
        check_open_files(own, calls),
    ]


def _on_disk(situation: Situation) -> list[Finding]:
    """Look at ports, certificates and directories."""
    pids = own_pids(situation)
    findings = [check_port(port, pids) for port in wanted_ports(situation)]
    now = datetime.now(UTC)
    for certificate in _certificates(situation):
        findings += check_certificate(certificate, now)
    host, service = situation.host, situation.service
    same = host.state_dir.absolute() == service.state_dir.absolute()
    what = "state" if same else "state of the call service"
    findings += check_directory(what, service.state_dir, has_store=service.store_url is None)
    if not same:
        findings += check_directory("state of the bot host", host.state_dir)
    findings += _stores(situation)
    quota = host.recordings_quota_bytes
    findings += check_directory("recordings", host.recordings_path, quota_bytes=quota)
    return findings


def _stores(situation: Situation) -> Iterator[Finding]:
    """Look at the stores of both roles: files of SQLite's, or a database that they share."""
    host, service = situation.host, situation.service
    files = {
        "store of the call service": (service.store_url, service.state_dir / SERVICE_FILE),
        "store of the bot host": (host.store_url, host.state_dir / HOST_FILE),
    }
    for what, (url, path) in files.items():
        if url is None:
            yield check_file(what, path)
        else:
            yield check_server(what, url.get_secret_value())


def wanted_ports(situation: Situation) -> list[WantedPort]:
    """Return the ports that the settings name."""
    host, service, console = situation.host, situation.service, situation.console
    ports = [
        WantedPort(
            "bot host", "host.port", host.bind, host.port, is_public=host.public_url is not None
        ),
        WantedPort("call service", "service.port", service.bind, service.port),
    ]
    ports += [
        WantedPort(
            "media of callers",
            "service.media_port",
            address,
            service.media_port,
            "udp",
            is_public=bool(service.media_public_address),
        )
        for address in service.media_addresses
    ]
    if console.enabled and console.http_port is not None:
        ports.append(WantedPort("console", "console.http_port", "127.0.0.1", console.http_port))
    return ports


def _certificates(situation: Situation) -> Iterator[ServerCertificate]:
    host, service = situation.host, situation.service
    if host.cert_file is not None and host.key_file is not None:
        yield ServerCertificate("bot host", host.cert_file, host.key_file, host.public_url)
    else:
        yield _local_certificate("bot host", host.state_dir, "localhost")
    yield _local_certificate("call service", service.state_dir, service.public_host)


def _local_certificate(what: str, directory: Path, name: str) -> ServerCertificate:
    stem = name.replace("*", "_").replace(":", "_")  # As LocalAuthority names them.
    cert_file, key_file = directory / f"{stem}.pem", directory / f"{stem}-key.pem"
    return ServerCertificate(what, cert_file, key_file, is_local=True)
