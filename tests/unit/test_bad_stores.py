"""Stores that cannot be used: said in one line, with what to do, and left as they are."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from mixminus.control.cli.app import build
from mixminus.control.cli.errors import FAILED, NOT_FOUND, USAGE, CliError, store_error
from mixminus.control.cli.running import start_errors
from mixminus.control.config.errors import ConfigError
from mixminus.control.doctor.store import check_server
from mixminus.control.host import inbox as inbox_module
from mixminus.control.host.preflight import check_paths
from mixminus.control.settings import HostSettings
from mixminus.control.store.base import (
    CallRow,
    NoStoreError,
    StoreAwayError,
    StoreError,
    StoreUrlError,
    UserRow,
)
from mixminus.control.store.host_base import HostCallRow, InstanceRow, OtherApplicationError
from mixminus.control.store.opening import open_host_store, open_store
from mixminus.control.store.rows import CorruptRowError, secret_of
from mixminus.control.store.sqlite import SqliteStore
from tests.host_kit import notification
from tests.kept_kit import kept_world_of
from tests.postgres_kit import PASSWORD, PASSWORD_IN_URL, PostgresServer
from tests.store_kit import Place

NOWHERE = Path("no file")
CALL = CallRow("call-1", "app", "tenant", "https://bot/", "established", False, {"id": "call-1"})
HOSTED = HostCallRow(
    *("line-1", 1, "a", "app-1", "tenant", "call-1", "app", "established", False), {}, {}, {}
)
HOST = InstanceRow("a", "first", "https://a:1", 20, 0.0, 0, False, 0, "app-1")


async def test_a_file_that_was_moved_away_is_away_until_it_is_back(tmp_path: Path) -> None:
    path, aside = tmp_path / "host.db", tmp_path / "aside.db"
    store = await SqliteStore.open(path)
    await store.save_call(CALL, [])
    path.rename(aside)
    with pytest.raises(StoreAwayError, match="removed, moved or replaced under this program"):
        await store.save_call(replace(CALL, state="terminated"), [])
    path.write_bytes(b"")  # Another one is not that one.
    with pytest.raises(StoreAwayError, match="put that very file back"):
        await store.call("call-1")
    assert path.read_bytes() == b""
    aside.rename(path)
    await store.until_back()
    assert await store.call("call-1") == CALL
    await store.close()


async def test_a_store_without_one_of_its_tables_is_refused(place: Place) -> None:
    first = await place.open()
    await first.close()
    place.run("DROP TABLE host_inbox")
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged: it has no table host_inbox: nothing was"):
            await place.open()


@pytest.mark.slow
async def test_a_schema_that_is_not_ours_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for made, got in (
        ("CREATE SCHEMA mixminus; CREATE TABLE mixminus.version (foo TEXT)", "no column of that"),
        ("ALTER TABLE mixminus.version ADD COLUMN version INTEGER", r"0 rows: \[\]"),
        ("INSERT INTO mixminus.version (version) VALUES (NULL)", r"1 rows: \[None\]"),
    ):
        with postgres.connect(url) as connection:
            connection.execute(made.encode())
        with pytest.raises(
            StoreError, match=f"expected one number in its table version, got {got}"
        ):
            await open_store(url, NOWHERE)
        found = check_server("store", url)
        assert "no store of ours, or damaged" in found.found
        assert found.remedy
        result = CliRunner().invoke(build(), ["store", "check", url])
        assert isinstance(result.exception, CliError)
        assert "no store of ours, or damaged" in str(result.exception)
    with postgres.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'mixminus'")
        assert names.fetchall() == [("version",)]


@pytest.mark.slow
async def test_a_refused_password_says_what_to_mend(postgres: PostgresServer) -> None:
    for url in (postgres.url("postgres", password="wrong"), postgres.url("nowhere")):
        with pytest.raises(StoreError, match="mend user, password or database in store_url") as got:
            await open_host_store(url, NOWHERE, "a")
        assert not any(word in str(got.value) for word in ("wrong", PASSWORD, PASSWORD_IN_URL))


async def test_a_store_is_one_applications(place: Place) -> None:
    a, b = await place.open_host("a"), await place.open_host("b")
    await a.register(HOST)
    other = replace(HOST, instance="b", app_id="app-2")
    with pytest.raises(OtherApplicationError, match=r"of app-2 .* got the host 'a' of app-1"):
        await b.register(other)
    assert await b.instances() == (HOST,)
    await b.register(replace(other, app_id="APP-1"))
    # Nobody else is there, but a call is: who knows nothing of it would close it as gone.
    await b.leave("b", "first")
    await a.add_call(HOSTED)
    with pytest.raises(OtherApplicationError, match=r"got calls of app-1 that are not over \(1\)"):
        await a.register(replace(HOST, app_id="app-2"))
    assert (await a.instances(), await a.living()) == ((HOST,), (HOSTED,))
    await a.save_call(replace(HOSTED, is_over=True))
    await a.register(replace(HOST, app_id="app-2"))
    assert [row.app_id for row in await a.instances()] == ["app-2"]
    await a.close()
    await b.close()


async def test_a_user_that_is_no_text_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await SqliteStore.open(tmp_path / "service.db")
    for number in range(2):
        await store.add_user(UserRow(f"user-{number}", "Anna", f"token-{number}"))
    store._database.connection.execute(
        "UPDATE users SET display_name = CAST(x'ff' AS TEXT) WHERE user_id = 'user-0'"
    )
    assert [user.user_id for user in await store.users()] == ["user-1"]
    assert "table users has a row that cannot be read, user_id 'user-0'" in caplog.text
    await store.close()


def test_a_damaged_secret_is_named_and_not_shown() -> None:
    assert secret_of("key", "00ff", bytes.fromhex) == b"\x00\xff"
    with pytest.raises(CorruptRowError, match=r"secrets has a row .* name 'key'") as caught:
        secret_of("key", "hush", bytes.fromhex)
    assert "hush" not in str(caught.value)


async def test_a_full_inbox_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_WAITING", 2)
    async with kept_world_of() as world:
        world.calls._is_closing = True  # Nobody asks whose they are: they wait.
        for number in range(2):
            await world.post(notification(f"stranger-{number}", state="established"))
        assert world.inbox.waiting == 2
        with pytest.raises(StoreAwayError, match="the inbox is full: 2 notifications wait"):
            await world.post(notification("stranger-2", state="established"))
        assert len(world.store.inbox) == 2
        world.calls._is_closing = False


@pytest.mark.parametrize("name", ["a/b", "x" * 65, "hö", "..", "-a", "a b", "a\n", "a'; DROP"])
def test_an_instance_has_a_plain_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="expected up to 64 of A-Z, a-z, 0-9"):
        host_settings(tmp_path, instance=name)
    assert host_settings(tmp_path, instance="x" * 64).instance_name == "x" * 64


def test_a_state_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"host\.state_dir: expected a directory, got"):
        check_paths(host_settings(tmp_path / "file"))


def test_no_room_on_the_disk_says_where_to_make_it() -> None:
    with pytest.raises(CliError, match="make room where the state directory is"), start_errors():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_each_kind_of_refusal_has_its_exit_code(tmp_path: Path) -> None:
    codes = [store_error(kind("x")).exit_code for kind in (StoreError, NoStoreError, StoreUrlError)]
    assert codes == [FAILED, NOT_FOUND, USAGE]
    for store, code, says in (
        ("mysql://u:hush@h/x", USAGE, "got a mysql: URL"),
        (str(tmp_path / "none.db"), NOT_FOUND, "there is no store"),
        (str(tmp_path), NOT_FOUND, "is a directory: name the file in it"),
        ("postgresql://u:hu@sh@h/x", USAGE, "with %40 for @"),
    ):
        result = CliRunner().invoke(build(), ["store", "check", store])
        assert isinstance(result.exception, CliError)
        assert (result.exception.exit_code, says in str(result.exception)) == (code, True)
        assert "hush" not in str(result.exception)
        assert "sh@h" not in str(result.exception)


def host_settings(state_dir: Path, instance: str = "") -> HostSettings:
    return HostSettings(
        tenant_id="t",
        app_id="a",
        client_secret=SecretStr("s"),
        state_dir=state_dir,
        instance=instance,
    )
