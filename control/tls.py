"""TLS for local use: a state directory's certificate authority, and explicit client contexts."""

from __future__ import annotations

import datetime
import fcntl
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""What a server on this machine is called."""

LEAF_DAYS = 397
"""How long a leaf is valid: the most that browsers accept (CA/Browser Forum, 2020 to 2026)."""

RENEW_DAYS = 30
"""A leaf with less left than this is issued anew."""

SYSTEM_ROOT_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where Debian, Fedora and SUSE keep the machine's roots."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where a server's certificate chain and its private key are."""

    cert_file: Path
    key_file: Path


class LocalAuthority:
    """A certificate authority in a directory, made on first use.

    Several processes may share the directory. Its key is what every client of that directory
    trusts: it has mode 0600 and never leaves it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self._key_file = directory / "ca-key.pem"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self.ca_file.exists() and self._key_file.exists():
                self._authority = trustme.CA.from_pem(
                    self.ca_file.read_bytes(), self._key_file.read_bytes()
                )
            else:
                self._authority = trustme.CA(organization_name="mixminus local authority")
                write_private(self._key_file, self._authority.private_key_pem.bytes())
                write_private(self.ca_file, self._authority.cert_pem.bytes(), mode=0o644)

    def issue(self, *hosts: str, directory: Path | None = None) -> Certificate:
        """Return a certificate for *hosts* (names or addresses), made unless a good one is there.

        Raises: ValueError without a host, or for one that is neither a name nor an address.

        The files are named after the first host and lie in *directory*, by default this one's.
        """
        if not hosts:
            raise ValueError("expected at least one host name or address, got none")
        for host in hosts:
            _check_host(host)
        where = self.directory if directory is None else directory
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = hosts[0].replace("*", "_").replace(":", "_")
        certificate = Certificate(where / f"{stem}.pem", where / f"{stem}-key.pem")
        with self._locked():
            if not self._is_good(certificate, hosts):
                now = datetime.datetime.now(datetime.UTC)
                leaf = self._authority.issue_cert(
                    *hosts,
                    common_name=hosts[0],
                    not_before=now - datetime.timedelta(days=1),
                    not_after=now + datetime.timedelta(days=LEAF_DAYS),
                )
                write_private(certificate.key_file, leaf.private_key_pem.bytes())
                chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
                write_private(certificate.cert_file, chain, mode=0o644)
        return certificate

    def _is_good(self, certificate: Certificate, hosts: tuple[str, ...]) -> bool:
        """Say whether *certificate* is ours, for exactly *hosts*, and valid for a while yet."""
        if not (certificate.cert_file.exists() and certificate.key_file.exists()):
            return False
        try:
            leaf = x509.load_pem_x509_certificate(certificate.cert_file.read_bytes())
            authority = x509.load_pem_x509_certificate(self._authority.cert_pem.bytes())
            leaf.verify_directly_issued_by(authority)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        renew = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=RENEW_DAYS)
        return {str(name.value) for name in names} == set(
            hosts
        ) and leaf.not_valid_after_utc > renew

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out while files are made."""
        descriptor = os.open(self.directory / ".ca.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def client_context(ca_file: Path | None, *, system_roots: bool = False) -> ssl.SSLContext:
    """Make a client's TLS context that trusts *ca_file*, or the machine's roots when it is None.

    Raises: OSError when *ca_file* cannot be read, ssl.SSLError when it holds no certificate.

    ``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE`` and their like are ignored: which roots are trusted
    is said here. With *system_roots*, the machine's roots are trusted beside *ca_file*.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if ca_file is None or system_roots:
        _load_system_roots(context)
    return context


def write_private(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write *data* to *path* in one step: a reader sees the old file or the new one, whole."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _check_host(host: str) -> None:
    try:
        ip_address(host)
    except ValueError:
        labels = host.removeprefix("*.").split(".")
        if not all(label and label.replace("-", "a").isalnum() for label in labels):
            raise ValueError(f"expected a host name or an address, got {host!r}") from None


def _load_system_roots(context: ssl.SSLContext) -> None:
    built_in = ssl.get_default_verify_paths()
    for name in (built_in.openssl_cafile, *SYSTEM_ROOT_FILES):
        if Path(name).is_file():
            context.load_verify_locations(cafile=name)
            return
    if Path(built_in.openssl_capath).is_dir():
        context.load_verify_locations(capath=built_in.openssl_capath)
