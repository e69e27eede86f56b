"""A bot's host that cannot be reached: tried again at an address that was right before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mixminus.control.service import host_waits
from mixminus.control.service.host_waits import KEPT, RightAddresses, reach
from mixminus.media.descriptor import MediaSessionDescriptor
from mixminus.media.transports.link import LinkError, LinkRefusedError

URI = "wss://host.test/media"


class Edges:
    """Links that fail with *failures*, one after the other, and then stand."""

    def __init__(self, *failures: LinkError) -> None:
        self.failures = list(failures)
        self.dialled = 0

    async def connect_link(self, leg: Any, descriptor: MediaSessionDescriptor) -> Any:
        self.dialled += 1
        if self.failures:
            raise self.failures.pop(0)
        return "link"


def call(edges: Edges, *, rejoin_s: float = 5.0, is_peer_to_peer: bool = False) -> Any:
    return SimpleNamespace(
        id="call-1",
        app_id="app",
        member=SimpleNamespace(leg=None),
        room=SimpleNamespace(is_peer_to_peer=is_peer_to_peer),
        services=SimpleNamespace(
            right_addresses=RightAddresses(),
            edges=edges,
            settings=SimpleNamespace(rejoin_s=rejoin_s),
        ),
    )


async def reached(live: Any, uri: str, epoch: int = 1) -> Any:
    return await reach(live, MediaSessionDescriptor.new(uri, epoch=epoch))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_waits, "FIRST_RETRY_S", 0.001)


async def test_a_new_call_at_an_address_without_a_link_yet_hears_at_once() -> None:
    edges = Edges(LinkError("nobody there"))
    with pytest.raises(LinkError, match="nobody there"):
        await reach(call(edges), MediaSessionDescriptor.new(URI))
    assert edges.dialled == 1


async def test_an_address_that_had_a_link_is_tried_again() -> None:
    edges = Edges()
    live = call(edges)
    assert await reached(live, URI) == "link"
    edges.failures = [LinkError("killed"), LinkError("not back yet")]
    assert await reached(live, URI) == "link"
    assert edges.dialled == 4
    edges.failures = [LinkError("another")]
    with pytest.raises(LinkError, match="another"):
        await reach(live, MediaSessionDescriptor.new("wss://another.test/media"))


async def test_a_rejoin_is_tried_again_at_any_address() -> None:
    edges = Edges(LinkError("not yet"))
    assert await reached(call(edges), URI, epoch=2) == "link"


@pytest.mark.parametrize(
    ("failure", "more"),
    [(LinkError("gone"), {"is_peer_to_peer": True}), (LinkRefusedError("no"), {"rejoin_s": 0.01})],
)
async def test_it_ends_in_a_call_of_two_and_after_a_refusal(
    failure: LinkError, more: dict[str, Any]
) -> None:
    edges = Edges(failure)
    live = call(edges, **more)
    live.services.right_addresses.add("app", URI)
    with pytest.raises(type(failure)):
        await reach(live, MediaSessionDescriptor.new(URI))
    assert edges.dialled == 1


def test_the_oldest_of_too_many_addresses_is_forgotten() -> None:
    known = RightAddresses()
    known.add("app", "first")
    for number in range(KEPT):
        known.add("app", f"{number}")
    assert not known.has("app", "first")
    assert known.has("app", f"{KEPT - 1}")
    assert not known.has("another", f"{KEPT - 1}")
