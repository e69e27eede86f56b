"""The address guard: which networks a callback or a media link may go to."""

from __future__ import annotations

import pytest

from mixminus.control.service.guard import AddressGuard, AddressRefusedError

NAMES = {
    "public.example": ["93.184.216.34"],
    "inside.example": ["10.0.0.1"],
    "both.example": ["93.184.216.34", "127.0.0.1"],
    "none.example": [],
}


async def resolve(host: str, port: int) -> list[str]:
    if host not in NAMES:
        raise OSError("unknown")
    return NAMES[host]


async def test_public_name_is_pinned_to_its_address() -> None:
    guard = AddressGuard(allow_private=False, resolver=resolve)
    assert await guard.pin("https://public.example/api") == "93.184.216.34"
    assert await guard.pin("https://93.184.216.34:8443/") == "93.184.216.34"


@pytest.mark.parametrize(
    "uri",
    [
        "https://inside.example/",
        "https://both.example/",
        "https://none.example/",
        "https://unknown.example/",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://public.example@127.0.0.1/",
        "https:///",
        "wss://192.168.1.1/media",
    ],
)
async def test_address_that_is_not_public_is_refused(uri: str) -> None:
    guard = AddressGuard(allow_private=False, resolver=resolve)
    with pytest.raises(AddressRefusedError):
        await guard.pin(uri)


async def test_everything_passes_while_private_networks_are_allowed() -> None:
    guard = AddressGuard(allow_private=True, resolver=resolve)
    assert await guard.pin("https://127.0.0.1/") is None
