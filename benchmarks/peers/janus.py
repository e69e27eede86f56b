"""Janus AudioBridge over plain RTP: Debian's package, its own defaults but what is compared."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.peers.base import PAYLOAD_TYPE, Address, Setting
from benchmarks.processes import BenchmarkError, end_process, pinned

PACKAGE = "janus"
START_S = 15.0
REPLY_S = 10.0
LEVEL_ID = 1
LIBRARIES = re.compile(r"libopus\.so\S* => (\S+)")

MAIN = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{plugins}/plugins"
    transports_folder = "{plugins}/transports"
    events_folder = "{plugins}/events"
    loggers_folder = "{plugins}/loggers"
    debug_level = 2
    interface = "127.0.0.1"
    session_timeout = 0
}}
nat: {{ ice_enforce_list = "lo" }}
plugins: {{ disable = "{others}" }}
transports: {{ disable = "{carriers}" }}
"""
WEBSOCKETS = """
general: {{ ws = true, ws_port = {port}, ws_ip = "127.0.0.1", wss = false }}
admin: {{ admin_ws = false, admin_wss = false }}
"""
AUDIOBRIDGE = """
general: {{ local_ip = "127.0.0.1", rtp_port_range = "{first}-{last}" }}
"""


def missing() -> str | None:
    """Say why it cannot be measured here, None when it can."""
    if shutil.which("janus") is None:
        return f"janus is not installed (Debian package {PACKAGE})"
    if _libraries_folder() is None:
        return "janus is installed, but not its plugins"
    return None


def _libraries_folder() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/janus/plugins/libjanus_audiobridge.so"))
    return found[0].parents[1] if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Janus:
    """One Janus; a room for each *room* number. See `base.RtpMeasured`."""

    def __init__(
        self, setting: Setting, *, cores: Collection[int], prebuffer: int | None = None
    ) -> None:
        if why := missing():
            raise BenchmarkError(why)
        self.name = "Janus AudioBridge, RTP"
        if prebuffer is not None:
            self.name += f", prebuffer {prebuffer}"
        self.setting, self.complexity = str(setting), setting.complexity
        self._setting, self._prebuffer, self._cores = setting, prebuffer, cores
        self._rooms: set[int] = set()
        self._number = 0
        self._folder: tempfile.TemporaryDirectory[str]
        self._process: subprocess.Popen[bytes]
        self._socket: ClientConnection
        self._session = 0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mixminus-janus-")
        try:
            self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        end_process(self._process)
        self._folder.cleanup()

    @property
    def pids(self) -> tuple[int, ...]:
        return (self._process.pid,)

    def facts(self) -> dict[str, Any]:
        said = subprocess.run(["janus", "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"Janus version: .*\((\S+)\)", said.stdout + said.stderr)
        folder = _libraries_folder()
        assert folder is not None
        plugin = folder / "plugins" / "libjanus_audiobridge.so"
        linked = subprocess.run(["ldd", plugin], capture_output=True, text=True, check=False)
        library = LIBRARIES.search(linked.stdout)
        return {
            "version": version[1] if version else "unknown",
            "libopus": str(Path(library[1]).resolve()) if library else "unknown",
        }

    def add_rtp_legs(self, far: Sequence[Address], room: int = 0) -> list[Address]:
        if room not in self._rooms:
            self._create_room(room)
        return [self._join(room, address) for address in far]

    # ---- inside ----------------------------------------------------------------------------------

    def _start(self) -> None:
        folder, port = Path(self._folder.name), free_port()
        libraries = _libraries_folder()
        assert libraries is not None
        plugins = {path.name for path in (libraries / "plugins").glob("*.so")}
        carriers = {path.name for path in (libraries / "transports").glob("*.so")}
        (folder / "janus.jcfg").write_text(
            MAIN.format(
                folder=folder,
                plugins=libraries,
                others=",".join(sorted(plugins - {"libjanus_audiobridge.so"})),
                carriers=",".join(sorted(carriers - {"libjanus_websockets.so"})),
            )
        )
        (folder / "janus.transport.websockets.jcfg").write_text(WEBSOCKETS.format(port=port))
        (folder / "janus.plugin.audiobridge.jcfg").write_text(
            AUDIOBRIDGE.format(first=20000, last=29998)
        )
        log = folder / "janus.log"
        with pinned(self._cores), log.open("wb") as out:
            self._process = subprocess.Popen(
                ["janus", "-F", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            self._socket = self._connect(port, log)
            self._session = self._request("create")["data"]["id"]
        except BaseException:
            end_process(self._process)
            raise

    def _connect(self, port: int, log: Path) -> ClientConnection:
        deadline = time.monotonic() + START_S
        while True:
            try:
                return connect(
                    f"ws://127.0.0.1:{port}",
                    subprotocols=[Subprotocol("janus-protocol")],
                    proxy=None,
                    ping_interval=None,
                )
            except (OSError, WebSocketException) as exc:
                said = log.read_text(errors="replace").strip().splitlines()
                last = said[-1] if said else "it said nothing"
                if self._process.poll() is not None:
                    raise BenchmarkError(f"janus ended: {last}") from exc
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"janus did not start in {START_S:g} s: {last}") from exc
                time.sleep(0.05)

    def _request(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Ask and wait for the answer; acknowledgements and others' events are passed over."""
        self._number += 1
        transaction = str(self._number)
        message = {"janus": kind, "transaction": transaction, **fields}
        if self._session:
            message["session_id"] = self._session
        self._socket.send(json.dumps(message))
        deadline = time.monotonic() + REPLY_S
        while True:
            text = self._socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            answer: dict[str, Any] = json.loads(text)
            if answer.get("transaction") != transaction or answer["janus"] == "ack":
                continue
            if answer["janus"] == "error":
                raise BenchmarkError(f"janus, {kind}: {answer['error']['reason']}")
            return answer

    def _ask_plugin(self, handle: int, **body: Any) -> dict[str, Any]:
        answer = self._request("message", handle_id=handle, body=body)
        data: dict[str, Any] = answer["plugindata"]["data"]
        if "error" in data:
            raise BenchmarkError(f"janus, {body['request']}: {data['error']}")
        return data

    def _attach(self) -> int:
        answer = self._request("attach", plugin="janus.plugin.audiobridge")
        return int(answer["data"]["id"])

    def _create_room(self, room: int) -> None:
        self._ask_plugin(
            self._attach(),
            request="create",
            room=1000 + room,
            sampling_rate=self._setting.rate_hz,
            audiolevel_event=False,
            allow_rtp_participants=True,
            default_bitrate=self._setting.bit_rate,
        )
        self._rooms.add(room)

    def _join(self, room: int, far: Address) -> Address:
        more = {} if self._prebuffer is None else {"prebuffer": self._prebuffer}
        data = self._ask_plugin(
            self._attach(),
            request="join",
            room=1000 + room,
            quality=self._setting.complexity,
            bitrate=self._setting.bit_rate,
            rtp={
                "ip": far[0],
                "port": far[1],
                "payload_type": PAYLOAD_TYPE,
                "audiolevel_ext": LEVEL_ID,
                "fec": False,
            },
            **more,
        )
        return str(data["rtp"]["ip"]), int(data["rtp"]["port"])
