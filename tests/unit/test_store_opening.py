"""Which store is opened, and what is said of a URL: nothing that may be a secret."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from mixminus.control.service.settings import ServiceSettings
from mixminus.control.store.base import StoreError
from mixminus.control.store.opening import open_store
from mixminus.control.store.postgres.address import parse
from mixminus.control.store.postgres.sql import translate


async def test_without_a_url_the_store_is_a_file(tmp_path: Path) -> None:
    await (await open_store(None, tmp_path / "test.db")).close()
    assert (tmp_path / "test.db").exists()


async def test_without_psycopg_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tuple(sys.modules):
        if name.startswith("mixminus.control.store.postgres."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r'pip install "mixminus\[postgres\]"'):
        await open_store("postgresql://localhost/mixminus", tmp_path / "test.db", wait_s=0)


def test_an_address_is_shown_without_its_password() -> None:
    address = parse("postgresql://bob:s%40crets@db:5433/calls?sslmode=require")
    assert address.shown == "postgresql://bob@db:5433/calls"
    assert address.parameters["password"] == "s@crets"
    assert address.parameters["sslmode"] == "require"
    assert "crets" not in repr(address)
    said = address.clean(RuntimeError("s@crets is wrong,\n  and s%40crets too"))
    assert said == "*** is wrong, and *** too"
    assert parse("postgres://[::1]/calls").shown.endswith("::1/calls")
    names = address.with_name("0123456789")
    assert names["application_name"].startswith("mixminus ")
    assert names["application_name"].endswith(" 01234567")
    assert parse("postgresql://h/d?connect_timeout=9").with_name("")["connect_timeout"] == "9"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "geheim",
        "sqlite:///geheim",
        "host=db password=geheim",
        "postgresql://bob:ge@heim@db/calls",
        "postgresql://bob:ge/heim@db/calls",
        "postgresql://bob:ge%zzheim@db/calls",
        "postgresql://db:geheim/calls",
        "postgresql://[geheim/calls",
        "postgresql://db/calls?geheim=1",
    ],
)
async def test_a_url_that_cannot_be_read_is_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="store_url: expected postgresql://") as caught:
        await open_store(url, tmp_path / "test.db")
    message = str(caught.value)
    assert "heim" not in message
    assert "\n" not in message


def test_the_setting_is_a_secret() -> None:
    url = "postgresql://bob:geheim@db/calls"
    settings = ServiceSettings(store_url=SecretStr(url))
    assert settings.store_url is not None
    assert settings.store_url.get_secret_value() == url
    assert "geheim" not in repr(settings)
    with pytest.raises(ValueError, match="expected postgresql://") as caught:
        ServiceSettings(store_url=SecretStr("mysql://bob:geheim@db/calls"))
    assert "geheim" not in str(caught.value)


def test_sql_is_translated_outside_of_its_texts() -> None:
    found = translate("SELECT '?%:x', x::int FROM t WHERE a = ? AND b = :b_c AND c % 2 = 0")
    expected = b"SELECT '?%%:x', x::int FROM t WHERE a = %s AND b = %(b_c)s AND c %% 2 = 0"
    assert found == expected
    with pytest.raises(ValueError, match=r"got \?1"):
        translate("SELECT ?1")
