"""Opening addresses from outside, over real HTTPS: redirects, rebinding, limits, trust."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mixminus.control.service.guard import SCHEMES, AddressGuard, AddressRefusedError
from mixminus.control.service.outbound import (
    MAX_REDIRECTS,
    REPLY_BYTES,
    Outbound,
    OutboundError,
    TooLargeError,
)
from mixminus.control.tls import LocalAuthority, client_context
from tests.site import Site


class Names(AddressGuard):
    """A guard that takes 127.0.0.1 for public, and resolves as a test says, time after time."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        super().__init__(allow_private=False, resolver=self._look_up)
        self.names = names
        self.pinned: list[str] = []

    async def pin(self, uri: str, schemes: tuple[str, ...] = SCHEMES) -> str | None:
        if any(f"//{name}:" in uri for name in self.names):
            self.pinned.append(uri)
            address = (await self._look_up(uri.split("//")[1].split(":")[0], 0))[0]
            if address == "127.0.0.1":
                return address
        return await super().pin(uri, schemes)

    async def _look_up(self, host: str, port: int) -> list[str]:
        addresses = self.names[host]
        return [addresses.pop(0) if len(addresses) > 1 else addresses[0]]


OpenOutbound = Callable[..., Outbound]


@pytest.fixture
async def outbound_of(tmp_path: Path) -> AsyncIterator[OpenOutbound]:
    made: list[Outbound] = []

    def make(guard: AddressGuard | None = None) -> Outbound:
        context = client_context(LocalAuthority(tmp_path).ca_file)
        outbound = Outbound(guard or AddressGuard(allow_private=True), context)
        made.append(outbound)
        return outbound

    yield make
    for outbound in made:
        await outbound.close()


async def test_a_file_is_fetched_over_redirects(tmp_path: Path, outbound_of: OpenOutbound) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (302, {"location": "/b"}, b"")
        site.answers["/b"] = (308, {"location": site.url("/c")}, b"")
        site.answers["/c"] = (200, {"set-cookie": "a=b"}, b"x" * 1000)
        outbound = outbound_of()
        assert await outbound.fetch(site.url("/a"), 1000, 5.0) == b"x" * 1000
        assert await outbound.fetch(site.url("/c"), 1000, 5.0) == b"x" * 1000
        assert all("cookie" not in headers for _, _, headers in site.asked)
        assert {headers["user-agent"] for _, _, headers in site.asked} == {"mixminus (Calling/1.0)"}


async def test_redirects_that_do_not_end_are_given_up(
    tmp_path: Path, outbound_of: OpenOutbound
) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (302, {"location": "/a"}, b"")
        with pytest.raises(OutboundError, match="at most 5 redirects"):
            await outbound_of().fetch(site.url("/a"), 10, 5.0)
        assert len(site.asked) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize(
    "location",
    [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "http://site.example/",
        "file:///etc/passwd",
        "https://user@site.example/",
        "//127.0.0.1/",
        "https://2130706433/",
    ],
)
async def test_a_redirect_is_another_address_from_outside(
    tmp_path: Path, outbound_of: OpenOutbound, location: str
) -> None:
    async with Site(tmp_path, ("site.example",)) as site:
        guard = Names({"site.example": ["127.0.0.1"]})
        site.answers["/a"] = (302, {"location": location}, b"")
        with pytest.raises(AddressRefusedError):
            await outbound_of(guard).fetch(site.url("/a", "site.example"), 10, 5.0)
        assert len(site.asked) == 1


async def test_a_name_that_changes_its_meaning_is_asked_for_once(
    tmp_path: Path, outbound_of: OpenOutbound
) -> None:
    async with Site(tmp_path, ("site.example",)) as site:
        guard = Names({"site.example": ["127.0.0.1", "10.0.0.1"]})
        site.answers["/a"] = (200, {}, b"first")
        outbound = outbound_of(guard)
        assert await outbound.fetch(site.url("/a", "site.example"), 10, 5.0) == b"first"
        # What it means by now is refused, and the connection of before is not used again.
        with pytest.raises(AddressRefusedError):
            await outbound.fetch(site.url("/a", "site.example"), 10, 5.0)
        assert len(site.asked) == 1
        (_, _, headers) = site.asked[0]
        assert headers["host"] == f"site.example:{site.port}"


async def test_a_pinned_connection_proves_the_name_not_the_address(
    tmp_path: Path, outbound_of: OpenOutbound
) -> None:
    async with Site(tmp_path, ("site.example",)) as site:
        guard = Names({"other.example": ["127.0.0.1"]})
        with pytest.raises(OutboundError):
            await outbound_of(guard).fetch(site.url("/a", "other.example"), 10, 5.0)
        assert site.asked == []


async def test_what_is_too_large_is_not_read(tmp_path: Path, outbound_of: OpenOutbound) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1
            yield b"x" * 10_000
            await asyncio.sleep(0)

    async with Site(tmp_path) as site:
        site.answers["/said"] = (200, {"content-length": "1001"}, b"x" * 1001)
        site.answers["/unsaid"] = (200, {}, endless())
        outbound = outbound_of()
        for path in ("/said", "/unsaid"):
            with pytest.raises(TooLargeError, match="at most 1000 bytes"):
                await outbound.fetch(site.url(path), 1000, 5.0)
        assert sent < 10_000


async def test_a_packed_body_is_refused(tmp_path: Path, outbound_of: OpenOutbound) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (200, {"content-encoding": "gzip"}, b"x")
        with pytest.raises(OutboundError, match="not encoded"):
            await outbound_of().fetch(site.url("/a"), 1000, 5.0)
        assert site.asked[0][2]["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [204, 206, 301, 401, 404, 500])
async def test_other_replies_are_no_file(
    tmp_path: Path, outbound_of: OpenOutbound, status: int
) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (status, {}, b"")
        with pytest.raises(OutboundError):
            await outbound_of().fetch(site.url("/a"), 1000, 5.0)


async def test_one_who_takes_long_is_given_up(tmp_path: Path, outbound_of: OpenOutbound) -> None:
    hold = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await hold.wait()

    async with Site(tmp_path) as site:
        site.answers["/a"] = (200, {}, slow())
        with pytest.raises(OutboundError, match="timed out"):
            await outbound_of().fetch(site.url("/a"), 1000, 0.2)
        hold.set()


async def test_nobody_there_is_an_error_without_the_address(outbound_of: OpenOutbound) -> None:
    with pytest.raises(OutboundError, match=r"\AConnectError\Z"):
        await outbound_of().fetch("https://localhost:1/secret", 1000, 5.0)


async def test_a_post_brings_back_status_type_and_body(
    tmp_path: Path, outbound_of: OpenOutbound
) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (200, {"content-type": "text/plain"}, b"token")
        site.answers["/long"] = (500, {}, b"x" * (REPLY_BYTES + 1))
        outbound = outbound_of()
        reply = await outbound.post(site.url("/a"), b"{}", {"Content-Type": "a/b"}, 5.0)
        assert (reply.status, reply.content_type, reply.body) == (200, "text/plain", b"token")
        assert reply.is_success
        assert not reply.is_cut
        reply = await outbound.post(site.url("/long"), "{}", {}, 5.0)
        assert not reply.is_success
        assert reply.is_cut
        assert len(reply.body) == REPLY_BYTES
        method, _, headers = site.asked[0]
        assert (method, headers["content-type"]) == ("POST", "a/b")


async def test_a_post_is_never_sent_on(tmp_path: Path, outbound_of: OpenOutbound) -> None:
    async with Site(tmp_path) as site:
        site.answers["/a"] = (307, {"location": "/b"}, b"")
        reply = await outbound_of().post(site.url("/a"), b"{}", {}, 5.0)
        assert reply.status == 307
        assert len(site.asked) == 1


async def test_proxies_of_the_environment_are_passed_by(
    tmp_path: Path, outbound_of: OpenOutbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    async with Site(tmp_path) as site:
        site.answers["/a"] = (200, {}, b"here")
        assert await outbound_of().fetch(site.url("/a"), 1000, 5.0) == b"here"
