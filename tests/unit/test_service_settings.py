"""What a call service may be told of its media, and what it works out itself."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from pydantic import ValidationError

from mixminus.control.service import settings as service_settings
from mixminus.control.service.settings import MAX_TICK_THREADS, ServiceSettings


@pytest.mark.parametrize(
    ("bind", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("localhost", ("127.0.0.1",)),
        ("192.0.2.5", ("192.0.2.5",)),
        ("::1", ("::1",)),
        ("2001:db8::5", ("2001:db8::5",)),
    ],
)
def test_media_come_to_the_bound_address(bind: str, addresses: tuple[str, ...]) -> None:
    assert ServiceSettings(bind=bind).media_addresses == addresses


def test_media_come_to_the_addresses_that_are_named() -> None:
    named = ("192.0.2.5", "2001:db8::5")
    assert ServiceSettings(bind="0.0.0.0", media_bind=named).media_addresses == named


@pytest.mark.parametrize(
    ("bind", "ipv6", "addresses"),
    [
        ("0.0.0.0", "2001:db8::7", ("192.0.2.7", "127.0.0.1")),
        ("::", "2001:db8::7", ("192.0.2.7", "2001:db8::7", "127.0.0.1", "::1")),
        ("::", None, ("192.0.2.7", "127.0.0.1", "::1")),
    ],
)
def test_bound_to_all_media_are_offered_as_others_see_this_machine(
    monkeypatch: pytest.MonkeyPatch, bind: str, ipv6: str | None, addresses: tuple[str, ...]
) -> None:
    own = {socket.AF_INET: "192.0.2.7", socket.AF_INET6: ipv6}
    monkeypatch.setattr(service_settings, "_own_address", own.__getitem__)
    monkeypatch.setattr(service_settings, "_has_ipv6_loopback", lambda: True)
    assert ServiceSettings(bind=bind).media_addresses == addresses


def test_what_is_probed_is_an_address_of_this_machine() -> None:
    for address in ServiceSettings(bind="::").media_addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))


def test_a_thread_mixes_for_each_usable_cpu() -> None:
    usable = len(os.sched_getaffinity(0))
    assert ServiceSettings().tick_thread_count == min(MAX_TICK_THREADS, usable)
    assert ServiceSettings(tick_threads=3).tick_thread_count == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"media_bind": ("eth0",)}, "expected numeric IP addresses, got 'eth0'"),
        ({"media_bind": ("224.0.0.1",)}, "expected the addresses of one host, got 224.0.0.1"),
        ({"media_bind": ("::1", "::1")}, "expected each address once"),
        ({"media_bind": ("0.0.0.0",)}, "0.0.0.0 needs a media_public_address"),
        (
            {"media_bind": ("::",), "media_public_address": ("192.0.2.1",)},
            ":: needs a media_public_address",
        ),
        ({"media_public_address": ("0.0.0.0",)}, "nobody reaches 0.0.0.0"),
        ({"media_port": 65_536}, "less than or equal to 65535"),
        ({"tick_threads": 0}, "greater than or equal to 1"),
        ({"tick_threads": 33}, "less than or equal to 32"),
        ({"media_opus_complexity": 11}, "less than or equal to 10"),
        ({"media_opus_bit_rate": 5_999}, "greater than or equal to 6000"),
        ({"media_opus_bit_rate": 128_001}, "less than or equal to 128000"),
    ],
)
def test_what_media_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ServiceSettings(**values)
