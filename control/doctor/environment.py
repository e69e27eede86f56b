"""Variables of the environment that people set for other programs, and what they do here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ..tls import SYSTEM_ROOT_FILES
from .findings import Finding, Level

CHECK: Final = "environment"
CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_VARIABLES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
SYSTEM_ROOTS: Final = frozenset((*SYSTEM_ROOT_FILES, "/etc/ssl/certs"))


def check_environment(environ: Mapping[str, str], ca_file: Path | None) -> Iterator[Finding]:
    """Judge the variables; *ca_file* is the host's setting of that name."""
    other = {name: environ[name] for name in CA_VARIABLES if environ.get(name)}
    roots = {str(Path(one).resolve()) for one in SYSTEM_ROOTS} | SYSTEM_ROOTS
    foreign = [name for name, path in other.items() if str(Path(path).resolve()) not in roots]
    if foreign and ca_file is None:
        name = foreign[0]
        yield Finding(
            CHECK,
            Level.WARNING,
            f"{', '.join(foreign)} {'is' if len(foreign) == 1 else 'are'} set, and not read here:"
            " the machine's roots vouch for Graph",
            f"If a proxy's own authority is needed, set ca_file in [host] (MIXMINUS_CA_FILE) to"
            f" {other[name]}. (Programs on msgraph-sdk, requests or httpx do read these variables:"
            " with a local call service they must trust its ca.pem.)",
            {"variables": foreign},
        )
    elif other:
        vouches = "the machine's roots, as they say" if ca_file is None else f"{ca_file} vouches"
        yield Finding(
            CHECK,
            Level.OK,
            f"{', '.join(other)}: not read here ({vouches})",
            details={"variables": sorted(other)},
        )
    proxies = [name for name in PROXY_VARIABLES if environ.get(name)]
    if proxies:
        yield Finding(
            CHECK,
            Level.WARNING,
            f"{', '.join(proxies)} {'is' if len(proxies) == 1 else 'are'} set, and not used here:"
            " all connections are direct",
            "Let the machine reach Graph, the authority and ACS directly (443/tcp); media need"
            " UDP anyway.",
            {"variables": proxies},
        )
    if not other and not proxies:
        yield Finding(CHECK, Level.OK, "no variables of other programs that mislead")
