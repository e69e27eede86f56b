"""The local authority, and contexts that trust what they are told and nothing else."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from mixminus.control.cli import run
from mixminus.control.tls import LOCAL_HOSTS, LocalAuthority, client_context, write_private


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """Let two TLS ends shake hands in memory. Raises: ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = ends
    while waiting:
        still = []
        for end in waiting:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                still.append(end)
        waiting = still


def server_context(authority: LocalAuthority, *hosts: str) -> ssl.SSLContext:
    certificate = authority.issue(*hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context


def test_certificate_is_trusted_by_the_authoritys_clients_for_its_hosts(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    server = server_context(authority, *LOCAL_HOSTS)
    for host in LOCAL_HOSTS:
        handshake(client_context(authority.ca_file), server, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(authority.ca_file), server, "bot.example")


def test_another_authority_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = LocalAuthority(tmp_path / "a"), LocalAuthority(tmp_path / "b")
    # What the environment says is ignored.
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other.ca_file))
    server = server_context(other, "localhost")
    for context in (client_context(ours.ca_file), client_context(None)):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(context, server, "localhost")


def test_system_roots_may_be_trusted_beside_our_own(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    alone = client_context(authority.ca_file)
    both = client_context(authority.ca_file, system_roots=True)
    assert len(alone.get_ca_certs()) == 1
    assert len(both.get_ca_certs()) >= 1
    handshake(both, server_context(authority, "localhost"), "localhost")


def test_authority_and_certificates_stay_over_a_restart(tmp_path: Path) -> None:
    first = LocalAuthority(tmp_path)
    certificate = first.issue("localhost")
    before = certificate.cert_file.read_bytes()
    again = LocalAuthority(tmp_path)
    assert again.issue("localhost") == certificate
    assert certificate.cert_file.read_bytes() == before
    again.issue("localhost", "bot.example")
    assert certificate.cert_file.read_bytes() != before


def test_keys_are_private(tmp_path: Path) -> None:
    certificate = LocalAuthority(tmp_path / "state").issue("localhost")
    for key in (certificate.key_file, tmp_path / "state" / "ca-key.pem"):
        assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("host", ["", "two words", "a/../b", "a..b", "https://bot"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match="expected a host name"):
        LocalAuthority(tmp_path).issue(host)
    with pytest.raises(ValueError, match="at least one"):
        LocalAuthority(tmp_path).issue()


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, "new")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_dev_certs_writes_a_certificate_for_foreign_bots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, out = tmp_path / "state", tmp_path / "out"
    argv = ["dev-certs", "bot.example", "--state", str(state), "--out", str(out)]
    assert run(argv) == 0
    assert str(out / "bot.example.pem") in capsys.readouterr().out
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(out / "bot.example.pem", out / "bot.example-key.pem")
    handshake(client_context(state / "ca.pem"), context, "bot.example")
    assert run(["dev-certs", "no host", "--state", str(state), "--out", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
