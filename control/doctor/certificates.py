"""Certificates: until when, for which names, with which key, and who vouches for them."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from ..tls import RENEW_DAYS, client_context
from .findings import Finding, Level, worst

CHECK: Final = "certificates"
SOON_DAYS: Final = 21
"""With less left than this a certificate should have been renewed (ACME renews at 30 days)."""
HANDSHAKE_TURNS: Final = 10
"""TLS 1.2 takes three."""
READ_BY_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
"""A group may read a key: Debian's ssl-cert does."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate that the settings name, or that a local authority makes."""

    what: str
    cert_file: Path
    key_file: Path
    public_url: str | None = None
    """What others are told to connect to: its host has to be among the names."""
    is_local: bool = False
    """Whether it is made, and renewed, by the authority of a state directory."""


def check_certificate(
    wanted: ServerCertificate, now: datetime, trust: ssl.SSLContext | None = None
) -> list[Finding]:
    """Judge a certificate and its key; *trust* is a client's context (the machine's roots)."""
    what = wanted.what
    try:
        chain = x509.load_pem_x509_certificates(wanted.cert_file.read_bytes())
    except FileNotFoundError:
        if wanted.is_local:
            found = f"{what}: made at the first start, in {wanted.cert_file.parent}"
            return [Finding(CHECK, Level.OK, found)]
        return [_error(f"{what}: no {wanted.cert_file}", "Name the file of the chain, in PEM.")]
    except OSError as error:
        return [_error(f"{what}: cannot read {wanted.cert_file}: {error.strerror}", "`chmod` it.")]
    except ValueError:
        return [
            _error(
                f"{what}: {wanted.cert_file} has no certificate in PEM",
                "Name the file of the chain, the server's own certificate first.",
            )
        ]
    findings = [_check_expiry(what, chain, now, is_local=wanted.is_local)]
    findings += _check_key(what, wanted, chain[0])
    if wanted.public_url is not None and worst(findings) is not Level.ERROR:
        findings += _check_public(wanted, wanted.public_url, trust or client_context(None))
    return findings


def _check_expiry(
    what: str, chain: Sequence[x509.Certificate], now: datetime, *, is_local: bool
) -> Finding:
    ends = min(chain, key=lambda one: one.not_valid_after_utc)
    left_days = (ends.not_valid_after_utc - now).total_seconds() / 86_400
    names = names_of(chain[0])
    until = f"{ends.not_valid_after_utc:%Y-%m-%d}"
    signer = chain[0].issuer.rfc4514_string()
    found = f"{what}: for {', '.join(names) or 'no name'}, until {until}, from {signer}"
    details = {
        "what": what,
        "names": names,
        "notAfter": until,
        "daysLeft": round(left_days, 1),
        "issuer": signer,
    }
    if chain[0].not_valid_before_utc > now:
        begins = f"{chain[0].not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        remedy = "Set the machine's clock right (chrony, systemd-timesyncd), or wait."
        message = f"{what}: valid from {begins} on, which is not yet"
        return Finding(CHECK, Level.ERROR, message, remedy, details)
    if is_local and left_days < RENEW_DAYS:
        remedy = "Start it again: what is left of less than 30 days is made anew at a start."
        return Finding(
            CHECK, Level.ERROR if left_days <= 0 else Level.WARNING, found, remedy, details
        )
    if left_days <= 0:
        return Finding(CHECK, Level.ERROR, f"{found}: expired", "Renew it.", details)
    if left_days < SOON_DAYS:
        message = f"{found}: {left_days:.0f} days left"
        return Finding(CHECK, Level.WARNING, message, "Renew it.", details)
    return Finding(CHECK, Level.OK, found, details=details)


def _check_key(what: str, wanted: ServerCertificate, leaf: x509.Certificate) -> Iterator[Finding]:
    try:
        pem = wanted.key_file.read_bytes()
        mode = stat.S_IMODE(wanted.key_file.stat().st_mode)
    except OSError as error:
        yield _error(
            f"{what}: cannot read the key {wanted.key_file}: {error.strerror}",
            "Name its file, and let this user read it.",
        )
        return
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        problem = "it has a passphrase" if isinstance(error, TypeError) else "no private key in PEM"
        yield _error(
            f"{what}: {wanted.key_file}: {problem}",
            f"`openssl pkey -in {wanted.key_file} -out NEW` makes one without a passphrase.",
        )
        return
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        yield _error(
            f"{what}: {wanted.key_file} is not the key of {wanted.cert_file}",
            "Name the two files of one certificate.",
        )
    if mode & READ_BY_OTHERS:
        yield Finding(
            CHECK,
            Level.ERROR,
            f"{what}: others may read or change the key {wanted.key_file} (mode {mode:04o})",
            f"`chmod 600 {wanted.key_file}`, and get a new certificate if others use this machine.",
        )


def _check_public(
    wanted: ServerCertificate, public_url: str, trust: ssl.SSLContext
) -> Iterator[Finding]:
    host = urlsplit(public_url).hostname or ""
    leaf = x509.load_pem_x509_certificate(wanted.cert_file.read_bytes())
    if not _names_match(host, names_of(leaf)):
        yield _error(
            f"{wanted.what}: {host} of public_url is not among its names",
            f"Get a certificate for {host}, or set public_url to one of the names.",
        )
        return
    problem = why_refused(wanted.cert_file, wanted.key_file, host, trust)
    if problem:
        yield Finding(
            CHECK,
            Level.WARNING,
            f"{wanted.what}: the machine's roots do not vouch for it: {problem}",
            "Microsoft and Twilio connect only to a certificate of a public authority, with its"
            " intermediates in cert_file. A call service that trusts your own authority does not"
            " mind.",
        )


def why_refused(cert_file: Path, key_file: Path, host: str, trust: ssl.SSLContext) -> str:
    """Return why a client with *trust* would not connect to *host* with that certificate, or "".

    The two shake hands in memory, so what is found is what a client would find.
    """
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert_file, key_file, password="")  # A prompt would wait for ever.
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(HANDSHAKE_TURNS):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        else:
            return ""
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return "the handshake does not end"


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for; else its common name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [
            str(one.value)
            for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
    return [str(one.value) for one in names]


def _names_match(host: str, names: Sequence[str]) -> bool:
    """Say whether *host* is one of *names*; a star stands for one label. Source: RFC 9525, 6.3."""
    wanted = host.casefold()
    parent = wanted.partition(".")[2]
    return any(
        name.casefold() == wanted or (name.startswith("*.") and name[2:].casefold() == parent)
        for name in names
    )


def _error(found: str, remedy: str) -> Finding:
    return Finding(CHECK, Level.ERROR, found, remedy)
