"""What all settings have in common: strict, from the environment, secrets also from files."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, get_args

from pydantic import SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from .errors import ConfigError, Problem

log = logging.getLogger("mixminus.control.config")

FILE_SUFFIX: Final = "_FILE"
"""Behind a secret's variable: the file that it is in."""

NOWHERE: Final = "="
"""A prefix that no variable has."""

MAX_SECRET_BYTES: Final = 64 * 1024
"""More than any token or key: a file that is larger is the wrong one."""


class SettingsSection(BaseSettings):
    """Base of the settings of one part: one table of mixminus.toml, one prefix of variables.

    A subclass sets ``env_prefix`` and says in the docstring under each field what it is: that is
    what the documentation and ``mixminus config example`` print. Arguments stand above the
    environment, and that above defaults; the TOML file is put between by ``SettingsSources``.
    A SecretStr may also come from the file that ``<VARIABLE>_FILE`` names.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @field_validator("*")
    @classmethod
    def _check_secret(cls, value: Any) -> Any:
        # Of bytes that are no UTF-8, or with another line in it, it could be sent to nobody.
        if isinstance(value, SecretStr) and not value.get_secret_value().isprintable():
            raise ValueError("expected one line of text")
        return value

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Self:
        """Return settings of *values* and defaults; the environment does not matter.

        Raises: pydantic.ValidationError.
        """
        arguments = {"_env_prefix": NOWHERE, **values}
        return cls(**arguments)

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the name of the environment variable of *field*."""
        return f"{cls.model_config['env_prefix']}{field}".upper()

    @classmethod
    def secrets(cls) -> frozenset[str]:
        """Return the names of the fields that are secret."""
        return frozenset(name for name, field in cls.model_fields.items() if is_secret(field))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the secrets' files that it names."""
        if isinstance(env_settings, EnvSettingsSource) and env_settings.env_prefix == NOWHERE:
            return (init_settings,)
        return init_settings, env_settings, SecretFiles(settings_cls)


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets in files that the environment names: MIXMINUS_CLIENT_SECRET_FILE and its like.

    Raises: ConfigError when called, naming the variable and what is wrong with its file.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret of one field, or None."""
        cls = self.settings_cls
        if not is_secret(field) or not issubclass(cls, SettingsSection):
            return None, field_name, False
        variable = cls.variable(field_name)
        named = variable_of(os.environ, variable + FILE_SUFFIX)
        if named is None:
            return None, field_name, False
        if variable_of(os.environ, variable) is not None:
            raise ConfigError(
                Problem(variable + FILE_SUFFIX, f"expected this or {variable}, got both")
            )
        warn_if_public(variable + FILE_SUFFIX, Path(named))
        return read_secret(variable + FILE_SUFFIX, Path(named)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that files have."""
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                found[name] = value
        return found


def is_secret(field: FieldInfo) -> bool:
    """Say whether *field* is a secret: a SecretStr, or one or None."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def variable_of(environ: Mapping[str, str], name: str) -> str | None:
    """Return the variable *name* in whatever case it was written, as pydantic-settings does."""
    if name in environ:
        return environ[name]
    wanted = name.casefold()
    return next((value for key, value in environ.items() if key.casefold() == wanted), None)


def read_secret(where: str, path: Path) -> SecretStr:
    """Return what is in the file *path*, without the line's end.

    Raises: ConfigError naming *where* the file was named, and what is wrong with it.
    """
    if not str(path) or str(path) == ".":
        raise ConfigError(Problem(where, "expected the path of a file, got nothing"))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(Problem(where, f"cannot read {path}: {error.strerror}")) from None
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(Problem(where, f"{path}: expected at most {MAX_SECRET_BYTES} bytes"))
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(Problem(where, f"{path}: expected UTF-8 text")) from None
    if not text:
        raise ConfigError(Problem(where, f"{path}: expected a secret, got an empty file"))
    return SecretStr(text)


def is_public(path: Path) -> bool:
    """Say whether everybody on this machine may read *path*; False when it is not there."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def warn_if_public(where: str, path: Path) -> None:
    """Log that everybody may read the secret's file *path*, if that is so."""
    if is_public(path):
        log.warning("%s: everybody on this machine may read %s: chmod 600 it", where, path)
