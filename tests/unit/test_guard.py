"""The address guard: which networks a callback or a media link may go to."""

from __future__ import annotations

import pytest

from mixminus.control.service.guard import AddressGuard, AddressRefusedError

NAMES = {
    "public.example": ["93.184.216.34"],
    "inside.example": ["10.0.0.1"],
    "both.example": ["93.184.216.34", "127.0.0.1"],
    "none.example": [],
    "mapped.example": ["::ffff:10.0.0.1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "scoped.example": ["fe80::1%eth0"],
    # A resolver takes these for what inet_aton does; nobody should ask it.
    "2130706433": ["93.184.216.34"],
    "localhost": ["93.184.216.34"],
    "anything.localhost": ["93.184.216.34"],
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
        # The same, disguised: decimal, octal, hexadecimal and shortened IPv4.
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0177.0.0.01/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://3232235777/",
        "https://public.example.0x7f/",
        # In IPv6: mapped, compatible, 6to4, NAT64 (also the local one), Teredo, old site-local.
        "https://[0:0:0:0:0:ffff:a00:1]/",
        "https://[::127.0.0.1]/",
        "https://[2002:c0a8:101::1]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[64:ff9b:1::7f00:1]/",
        "https://[2001:0:53aa:64c:0:0:80ff:fffe]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[100::1]/",
        # Names of this machine, and names that mean it.
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://anything.localhost/",
        "https://mapped.example/",
        "https://sixtofour.example/",
        "https://scoped.example/",
    ],
)
async def test_address_that_is_not_public_is_refused(uri: str) -> None:
    guard = AddressGuard(allow_private=False, resolver=resolve)
    with pytest.raises(AddressRefusedError):
        await guard.pin(uri)


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://public.example/", "https or wss"),
        ("ws://public.example/", "https or wss"),
        ("file:///etc/passwd", "https or wss"),
        ("ftp://public.example/", "https or wss"),
        ("//public.example/", "https or wss"),
        ("public.example", "https or wss"),
        ("", "https or wss"),
        ("javascript:alert(1)", "https or wss"),
        ("https://user@public.example/", "user information"),
        ("https://user:secret@public.example/", "user information"),
        ("https://@public.example/", "user information"),
        ("https://public.example\\@127.0.0.1/", "backslashes"),
        ("https://public.example\t/", "spaces"),
        ("https://public.example/\r\nHost: inside", "spaces"),
        (" https://public.example/", "spaces"),
        ("https://b\u00fccher.example/", "punycode"),
        ("https://\uff11\uff12\uff17.0.0.1/", "punycode"),
        ("https://[::1/", "broken"),
        ("https://public.example:99999/", "broken"),
        ("https://public.example:0/", "host name"),
        ("https://:443/", "host name"),
        ("https://[fe80::1%25eth0]/", "host name"),
        ("https://public.example/" + "x" * 2048, "2048 characters"),
    ],
)
async def test_what_is_no_address_of_ours_is_refused_everywhere(
    uri: str, expected: str, allow_private: bool
) -> None:
    guard = AddressGuard(allow_private=allow_private, resolver=resolve)
    with pytest.raises(AddressRefusedError, match=expected):
        await guard.pin(uri)


async def test_each_use_has_its_scheme() -> None:
    guard = AddressGuard(allow_private=False, resolver=resolve)
    assert await guard.pin("wss://public.example/media", ("wss",)) == "93.184.216.34"
    assert await guard.pin("net.tcp://public.example:18732/Media", ("wss", "net.tcp"))
    with pytest.raises(AddressRefusedError, match="wss"):
        await guard.pin("https://public.example/media", ("wss",))


async def test_the_port_is_the_one_that_is_resolved() -> None:
    asked: list[int] = []

    async def note(host: str, port: int) -> list[str]:
        asked.append(port)
        return ["93.184.216.34"]

    guard = AddressGuard(allow_private=False, resolver=note)
    await guard.pin("https://public.example/")
    await guard.pin("wss://public.example:8443/")
    assert asked == [443, 8443]


async def test_everything_passes_while_private_networks_are_allowed() -> None:
    guard = AddressGuard(allow_private=True, resolver=resolve)
    assert await guard.pin("https://127.0.0.1/") is None
