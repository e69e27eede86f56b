"""On which addresses WebRTC is offered."""

from __future__ import annotations

import pytest

from mixminus.media.libraries import CodecLibraries
from mixminus.media.platform import MediaPlatform
from mixminus.media.port import MediaPort
from mixminus.media.transports.webrtc_endpoint import WebRtcEndpoint
from tests.webrtc_kit import FakePlatform, make


async def test_the_same_number_is_opened_on_every_address() -> None:
    platform = FakePlatform()
    platform.taken = {("::1", 40_000)}
    endpoint = await platform.endpoint(bind=("127.0.0.1", "::1"))
    assert endpoint.candidates == (("127.0.0.1", endpoint.port), ("::1", endpoint.port))
    assert platform.ports[0].is_closed
    await endpoint.close()
    platform.taken = {("::1", 5004)}
    with pytest.raises(OSError, match="taken"):
        await platform.endpoint(bind=("127.0.0.1", "::1"), port=5004)
    assert all(port.is_closed for port in platform.ports)


async def test_an_address_that_is_refused_leaves_no_port_open() -> None:
    async with MediaPlatform() as platform:
        opened: list[MediaPort] = []
        open_port = platform.open_port

        def note(host: str, port: int = 0) -> MediaPort:
            opened.append(open_port(host, port))
            return opened[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(platform, "open_port", note)
            with pytest.raises(ValueError, match="no-such-link"):
                await WebRtcEndpoint.open(platform, bind=("127.0.0.1", "fe80::1%no-such-link"))
        assert len(opened) == 1
        with pytest.raises(RuntimeError, match="the port is closed"):
            opened[0].send(b"x", ("127.0.0.1", 9))


async def test_a_leg_that_cannot_close_keeps_no_port_open() -> None:
    platform = FakePlatform()
    endpoint = await platform.endpoint()
    transport = make(endpoint)

    async def fail() -> None:
        raise ValueError("no way out")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "close", fail)
        with pytest.raises(ValueError, match="no way out"):
            await endpoint.close()
    assert platform.ports[0].is_closed
    endpoint.forget(transport)


async def test_the_public_address_is_offered_in_the_place_of_its_family() -> None:
    platform = FakePlatform()
    endpoint = await platform.endpoint(
        bind=("10.0.0.5", "fd00::5"), public_address=("198.51.100.4",), port=5004
    )
    assert endpoint.candidates == (("198.51.100.4", 5004), ("fd00::5", 5004))
    await endpoint.close()
    wide = await platform.endpoint(bind=("0.0.0.0",), public_address=("198.51.100.4",))
    assert [host for host, _ in wide.candidates] == ["198.51.100.4"]
    await wide.close()
    scoped = await platform.endpoint(bind=("fe80::1%lo",))
    assert [host for host, _ in scoped.candidates] == ["fe80::1"]
    await scoped.close()
    for bind, public in (
        ((), ()),
        (("0.0.0.0",), ()),
        (("127.0.0.1",), ("2001:db8::1",)),
        (("x",), ()),
    ):
        with pytest.raises(ValueError):
            await platform.endpoint(bind=bind, public_address=public)


async def test_without_a_library_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = CodecLibraries(None, None, False, ("libsrtp: none", "libopus: none"))
    monkeypatch.setattr(
        "mixminus.media.transports.webrtc_endpoint.codec_libraries", lambda: missing
    )
    with pytest.raises(RuntimeError, match="libsrtp: none; libopus: none"):
        await FakePlatform().endpoint()
