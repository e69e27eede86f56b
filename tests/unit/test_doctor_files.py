"""The doctor's judgements of certificates and directories."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from mixminus.control.doctor import storage
from mixminus.control.doctor.certificates import ServerCertificate, check_certificate, names_of
from mixminus.control.doctor.findings import Finding, Level, worst
from mixminus.control.doctor.storage import check_directory, file_system, nearest_there, size

NOW = datetime.now(UTC)
NAME = "bot.contoso.com"
AUTHORITY = trustme.CA()
OTHER = trustme.CA()
TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
AUTHORITY.configure_trust(TRUST)


def issue(
    directory: Path, name: str = NAME, *, days: float = 90, mode: int = 0o600, authority: trustme.CA
) -> ServerCertificate:
    leaf = authority.issue_cert(
        name, not_before=NOW - timedelta(days=30), not_after=NOW + timedelta(days=days)
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key_file.write_bytes(leaf.private_key_pem.bytes())
    key_file.chmod(mode)
    return ServerCertificate("bot host", cert_file, key_file, f"https://{NAME}")


def judged(wanted: ServerCertificate) -> list[Finding]:
    return check_certificate(wanted, NOW, TRUST)


def test_a_good_certificate_is_told_with_names_and_end(tmp_path: Path) -> None:
    (found,) = judged(issue(tmp_path, authority=AUTHORITY))
    assert found.level is Level.OK
    assert found.details["names"] == [NAME]
    assert found.details["daysLeft"] == 90.0
    assert "trustme" in found.details["issuer"]


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [(10, Level.WARNING, "10 days left"), (-1, Level.ERROR, "expired")],
)
def test_a_certificate_near_its_end_is_told(
    tmp_path: Path, days: float, level: Level, says: str
) -> None:
    found = judged(issue(tmp_path, days=days, authority=AUTHORITY))
    assert worst(found) is level
    assert says in found[0].found


def test_a_certificate_of_tomorrow_blames_the_clock(tmp_path: Path) -> None:
    wanted = issue(tmp_path, authority=AUTHORITY)
    found = check_certificate(wanted, NOW - timedelta(days=60), TRUST)
    assert found[0].level is Level.ERROR
    assert "clock" in found[0].remedy


def test_a_certificate_for_another_name_is_an_error(tmp_path: Path) -> None:
    found = judged(issue(tmp_path, "other.contoso.com", authority=AUTHORITY))
    assert worst(found) is Level.ERROR
    assert f"{NAME} of public_url is not among its names" in found[-1].found


def test_a_star_stands_for_one_label(tmp_path: Path) -> None:
    assert worst(judged(issue(tmp_path, "*.contoso.com", authority=AUTHORITY))) is Level.OK
    assert worst(judged(issue(tmp_path, "*.com", authority=AUTHORITY))) is Level.ERROR


def test_a_certificate_that_no_root_vouches_for_is_a_warning(tmp_path: Path) -> None:
    found = judged(issue(tmp_path, authority=OTHER))
    assert worst(found) is Level.WARNING
    assert "the machine's roots do not vouch for it" in found[-1].found


def test_a_key_that_others_may_read_is_an_error(tmp_path: Path) -> None:
    found = judged(issue(tmp_path, mode=0o644, authority=AUTHORITY))
    assert worst(found) is Level.ERROR
    assert "(mode 0644)" in found[-1].found
    assert "chmod 600" in found[-1].remedy
    # Debian's ssl-cert lets a group read.
    assert worst(judged(issue(tmp_path, mode=0o640, authority=AUTHORITY))) is Level.OK


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read the key"),
        (b"no key", "no private key in PEM"),
        ("other", "is not the key of"),
    ],
)
def test_a_key_that_does_not_fit_is_an_error(
    tmp_path: Path, content: bytes | str | None, says: str
) -> None:
    wanted = issue(tmp_path, authority=AUTHORITY)
    if content is None:
        wanted.key_file.unlink()
    elif isinstance(content, str):
        wanted.key_file.write_bytes(AUTHORITY.issue_cert(NAME).private_key_pem.bytes())
    else:
        wanted.key_file.write_bytes(content)
    found = judged(wanted)
    assert worst(found) is Level.ERROR
    assert any(says in one.found for one in found)


def test_a_file_without_a_certificate_is_an_error(tmp_path: Path) -> None:
    wanted = issue(tmp_path, authority=AUTHORITY)
    wanted.cert_file.write_text("nothing")
    (found,) = judged(wanted)
    assert "has no certificate in PEM" in found.found
    wanted.cert_file.unlink()
    (found,) = judged(wanted)
    assert found.level is Level.ERROR


def test_one_of_our_own_that_is_not_made_yet_is_fine(tmp_path: Path) -> None:
    wanted = ServerCertificate("call service", tmp_path / "a", tmp_path / "b", is_local=True)
    (found,) = judged(wanted)
    assert found.level is Level.OK
    assert "made at the first start" in found.found


def test_names_are_those_of_the_extension() -> None:
    leaf = AUTHORITY.issue_cert("localhost", "127.0.0.1")
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    assert names_of(certificate) == ["localhost", "127.0.0.1"]


# ---- directories ---------------------------------------------------------------------------------


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Say how much room there is: its one entry, in bytes."""
    room = [100 * 2**30]

    class Usage:
        @property
        def free(self) -> int:
            return room[0]

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage())
    return room


@pytest.mark.parametrize(
    ("left", "quota", "level"),
    [
        (100 * 2**30, None, Level.OK),
        (500 * 2**20, None, Level.WARNING),
        (50 * 2**20, None, Level.ERROR),
        (5 * 2**30, 10 * 2**30, Level.WARNING),
        (20 * 2**30, 10 * 2**30, Level.OK),
    ],
)
def test_room_is_judged_by_what_may_be_written(
    tmp_path: Path, free: list[int], left: int, quota: int | None, level: Level
) -> None:
    tmp_path.chmod(0o700)
    free[0] = left
    found = check_directory("recordings", tmp_path, quota_bytes=quota)
    assert worst(found) is level


@pytest.mark.usefixtures("free")
def test_what_is_to_be_made_is_judged_by_where(tmp_path: Path) -> None:
    (found,) = check_directory("state", tmp_path / "a/b")
    assert found.level is Level.OK
    assert f"(to be made in {tmp_path})" in found.found
    (tmp_path / "file").touch()
    (found,) = check_directory("state", tmp_path / "file/b")
    assert found.level is Level.ERROR
    assert "is no directory" in found.found
    assert nearest_there(Path("/none/at/all")) == Path("/")


@pytest.mark.usefixtures("free")
def test_secrets_that_others_may_read_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "dev.json").write_text("{}")
    (state / "dev.json").chmod(0o644)
    (state / "certs").mkdir()
    (state / "certs/localhost-key.pem").touch(mode=0o640)
    # Nobody else can enter: the files' modes do not matter.
    assert worst(check_directory("state", state)) is Level.OK
    state.chmod(0o755)
    found = check_directory("state", state)
    assert worst(found) is Level.ERROR
    assert "dev.json, certs/localhost-key.pem" in found[-1].found
    # As the default is: relative to where the command runs.
    monkeypatch.chdir(tmp_path)
    found = check_directory("state", Path(state.name))
    assert worst(found) is Level.ERROR
    assert "to be made" not in found[0].found
    for name in ("dev.json", "certs/localhost-key.pem"):
        (state / name).chmod(0o600)
    found = check_directory("state", state)
    assert worst(found) is Level.WARNING
    assert "chmod 700" in found[-1].remedy


def test_a_directory_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may be root's, whom no mode stops.
    monkeypatch.setattr("os.access", lambda *_: False)
    (found,) = check_directory("state", tmp_path)
    assert found.level is Level.ERROR
    assert "chown" in found.remedy


MOUNTS = """\
/dev/sda / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
far:/x /srv/my\\040files nfs4 rw 0 0
none /srv overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "system"),
    [("/", "ext4"), ("/run/x", "tmpfs"), ("/srv/my files/a", "nfs4"), ("/runs", "ext4")],
)
def test_a_path_is_on_the_nearest_mount(path: str, system: str) -> None:
    assert file_system(Path(path), MOUNTS) == system


def test_a_database_on_a_shared_file_system_is_an_error(
    tmp_path: Path, free: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(storage, "file_system", lambda _: "nfs4")
    found = check_directory("state", tmp_path, has_store=True)
    assert worst(found) is Level.ERROR
    assert worst(check_directory("recordings", tmp_path)) is Level.OK


def test_sizes_are_for_people() -> None:
    assert [size(one) for one in (7, 2**20, 10 * 2**30, 2**41)] == [
        "7 bytes",
        "1.0 MiB",
        "10.0 GiB",
        "2.0 TiB",
    ]
