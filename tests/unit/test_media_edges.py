"""The service's own media edges: one port for all callers, or PyAV's where a library is missing."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mixminus.control.service import media_edges
from mixminus.control.service.media_edges import MediaPortError, describe_codecs, open_edges
from mixminus.control.service.phones import RtpScript
from mixminus.control.service.settings import ServiceSettings
from mixminus.control.tls import LocalAuthority
from mixminus.media.libraries import BoundLibrary, CodecLibraries
from mixminus.media.platform import MediaPlatform
from mixminus.media.transports.aiortc_transport import AiortcTransport
from mixminus.media.transports.webrtc import WebRtcTransport

OPUS = BoundLibrary("/lib/libopus.so.0", "libopus 1.6")
NO_SRTP = CodecLibraries(OPUS, None, False, ("libsrtp: none",))
NOTHING = CodecLibraries(None, None, False, ("libopus: none", "libsrtp: none"))


@pytest.fixture
async def platform() -> AsyncIterator[MediaPlatform]:
    async with MediaPlatform() as made:
        yield made


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return LocalAuthority(tmp_path).ca_file


def lacks(monkeypatch: pytest.MonkeyPatch, libraries: CodecLibraries) -> None:
    monkeypatch.setattr(media_edges, "codec_libraries", lambda: libraries)


async def test_callers_share_a_port_of_the_engine(platform: MediaPlatform, ca_file: Path) -> None:
    leg = platform.create_bridge().add_leg(1)
    async with open_edges(platform, ServiceSettings(), ca_file) as edges:
        callers = [edges.make_caller(leg), edges.make_caller(leg)]
        assert all(isinstance(caller, WebRtcTransport) for caller in callers)
        health = edges.health()
        assert health["codecs"]["path"] == "native"
        assert health["media"]["legs"] == 2
    assert all(caller.closed.done() for caller in callers)


async def test_the_opus_settings_reach_the_callers(platform: MediaPlatform, ca_file: Path) -> None:
    settings = ServiceSettings(
        media_opus_complexity=3,
        media_opus_bit_rate=24_000,
        media_opus_fec=False,
        media_opus_dtx=True,
    )
    leg = platform.create_bridge().add_leg(1)
    async with open_edges(platform, settings, ca_file) as edges:
        caller = edges.make_caller(leg)
        assert isinstance(caller, WebRtcTransport)
        opus = caller._endpoint.opus
        assert (opus.complexity, opus.bit_rate, opus.fec, opus.dtx) == (3, 24_000, False, True)


async def test_where_a_library_is_missing_pyav_carries_callers(
    platform: MediaPlatform,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lacks(monkeypatch, NO_SRTP)
    leg = platform.create_bridge().add_leg(1)
    settings = ServiceSettings(media_port=40_000)
    with caplog.at_level(logging.WARNING):
        async with open_edges(platform, settings, ca_file) as edges:
            caller = edges.make_caller(leg)
            assert isinstance(caller, AiortcTransport)
            assert caller._bind == ("127.0.0.1",)
            await caller.close()
            assert edges.health() == {
                "codecs": {
                    "path": "pyav",
                    "opus": {"path": "/lib/libopus.so.0", "version": "libopus 1.6"},
                    "srtp": None,
                    "problems": ["libsrtp: none"],
                },
                "media": {},
            }
    assert "libsrtp: none" in caplog.text
    assert "media_port and media_public_address have no effect" in caplog.text


@pytest.mark.parametrize("libraries", [None, NOTHING])
async def test_an_address_that_is_not_ours_is_named(
    platform: MediaPlatform,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    libraries: CodecLibraries | None,
) -> None:
    if libraries is not None:
        lacks(monkeypatch, libraries)
    settings = ServiceSettings(media_bind=("192.0.2.7",))
    with pytest.raises(MediaPortError, match=r"addresses of this machine for media, got 192\.0"):
        async with open_edges(platform, settings, ca_file):
            pass


async def test_a_port_that_is_taken_is_named(platform: MediaPlatform, ca_file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as used:
        used.bind(("127.0.0.1", 0))
        port = used.getsockname()[1]
        with pytest.raises(MediaPortError, match=f"UDP port {port} on 127.0.0.1 is in use"):
            async with open_edges(platform, ServiceSettings(media_port=port), ca_file):
                pass


def gateway(host: str = "127.0.0.1", codec: str = "pcmu") -> RtpScript:
    return RtpScript(host, 4000, codec, 0, 101, learn_address=False)  # type: ignore[arg-type]


async def test_lines_to_one_gateway_have_a_port_each(
    platform: MediaPlatform, ca_file: Path
) -> None:
    bridge = platform.create_bridge()
    async with open_edges(platform, ServiceSettings(), ca_file) as edges:
        lines = [await edges.open_phone_line(gateway()) for _ in range(2)]
        transports = [line.carry(bridge.add_leg(1)) for line in lines]
        assert lines[0].address != lines[1].address  # type: ignore[attr-defined]
        for line in lines:
            await line.close()
            await line.close()
        assert all(transport.closed.done() for transport in transports)


async def test_a_gateway_that_media_may_not_reach_is_refused(
    platform: MediaPlatform, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks(monkeypatch, NOTHING)
    async with open_edges(platform, ServiceSettings(), ca_file) as edges:
        with pytest.raises(OSError, match=r"127\.0\.0\.1|unreachable"):
            await edges.open_phone_line(gateway("192.0.2.10"))
        with pytest.raises(ConnectionError, match="no libopus here"):
            await edges.open_phone_line(gateway(codec="opus"))


def test_codecs_are_described_as_they_were_found() -> None:
    found = CodecLibraries(OPUS, BoundLibrary("/lib/libsrtp.so", "2.7.0"), True, ())
    described = describe_codecs(found)
    assert described["path"] == "native"
    assert described["srtp"] == {"path": "/lib/libsrtp.so", "version": "2.7.0"}
    assert describe_codecs(NOTHING)["opus"] is None
