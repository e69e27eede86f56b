"""Where settings come from: the command line, the environment, one TOML file, defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from .checks import check_environment, check_file, place
from .errors import ConfigError, Problem
from .file import find_file, parse_file
from .problems import COMMAND_LINE, DEFAULT, DEV_FILE, problems_of
from .section import FILE_SUFFIX, SettingsSection, read_secret, variable_of, warn_if_public
from .sections import CONSOLE, HOST, OPERATION, SERVICE, sections

if TYPE_CHECKING:
    from ..console.settings import ConsoleSettings
    from ..devfile import DevFile
    from ..operation.settings import OperationSettings
    from ..service.settings import ServiceSettings
    from ..settings import HostSettings

BORROWED: Final = {
    "tenant_id": ("AZURE_TENANT_ID", "MicrosoftAppTenantId"),
    "app_id": ("AZURE_CLIENT_ID", "MicrosoftAppId", "AadAppId"),
    "client_secret": ("AZURE_CLIENT_SECRET", "MicrosoftAppPassword", "AadAppSecret"),
}
"""Variables that owners of Graph bots have already: of azure-identity, of the Bot Framework and of
Microsoft's samples. They are taken for a host's keys that nothing else says."""

SectionT = TypeVar("SectionT", bound=SettingsSection)


class SettingsSources:
    """The TOML file and the environment, read and checked once; makes the settings of each part.

    The environment is the process's; arguments of the methods are what the command line said.
    A table of names (``users``) is merged, name by name; anything else is replaced as a whole.
    """

    def __init__(self, path: Path | None, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self.path = path
        self._tables = tables

    @classmethod
    def read(cls, config: Path | None = None) -> Self:
        """Find the file (*config*, else MIXMINUS_CONFIG, else ./mixminus.toml) and read it.

        Raises: ConfigError with all unknown keys and variables, or why the file cannot be read.
        """
        sources, problems = cls.examine(config)
        if problems:
            raise ConfigError(*problems)
        return sources

    @classmethod
    def examine(cls, config: Path | None = None) -> tuple[Self, list[Problem]]:
        """Read as :meth:`read`; return all that is good, and what is not.

        Raises: ConfigError when the file cannot be read at all.
        """
        path = find_file(config)
        tables = {} if path is None else parse_file(path)
        problems = [] if path is None else check_file(tables, str(path))
        problems += check_environment(os.environ)
        good = {
            table: {
                key: one for key, one in keys.items() if not check_file({table: {key: one}}, "")
            }
            for table, keys in tables.items()
            if isinstance(keys, Mapping) and table in sections()
        }
        return cls(path, good), problems

    def host(self, dev: DevFile | None = None, **said: Any) -> HostSettings:
        """Return the bot host's settings; *dev* says what the call service that wrote it dictates.

        Raises: ConfigError, as all of these.
        """
        from ..settings import HostSettings

        return self._make(HOST, HostSettings, said, dev)

    def service(self, **said: Any) -> ServiceSettings:
        """Return the call service's settings."""
        from ..service.settings import ServiceSettings

        return self._make(SERVICE, ServiceSettings, said)

    def console(self, **said: Any) -> ConsoleSettings:
        """Return the console's settings."""
        from ..console.settings import ConsoleSettings

        return self._make(CONSOLE, ConsoleSettings, said)

    def operation(self, **said: Any) -> OperationSettings:
        """Return how the process is to be run."""
        from ..operation.settings import OperationSettings

        return self._make(OPERATION, OperationSettings, said)

    def is_set(self, table: str, key: str) -> bool:
        """Say whether the file or the environment says *key* of *table*."""
        return self.origin(table, key) != DEFAULT

    def origin(self, table: str, key: str) -> str:
        """Return where *key* of *table* comes from, if no argument says it.

        Raises: KeyError for a key that is none.
        """
        model = sections()[table]
        if key not in model.model_fields:
            raise KeyError(f"{table}.{key}")
        by_file = key in model.secrets()
        variable, keys = model.variable(key), self._tables.get(table, {})
        for name in (variable, variable + FILE_SUFFIX)[: 1 + by_file]:
            if variable_of(os.environ, name) is not None:
                return name
        for name in (key, f"{key}_file")[: 1 + by_file]:
            if name in keys:
                return place(str(self.path), table, name)
        if table == HOST:
            for borrowed in BORROWED.get(key, ()):
                if os.environ.get(borrowed):
                    return borrowed
        return DEFAULT

    def secret_files(self) -> dict[str, Path]:
        """Return the files that secrets are read from, by where each was named."""
        found: dict[str, Path] = {}
        for table, model in sections().items():
            for key in model.secrets():
                origin = self.origin(table, key)
                if origin == model.variable(key) + FILE_SUFFIX:
                    found[origin] = Path(variable_of(os.environ, origin) or "")
                elif origin == place(str(self.path), table, f"{key}_file"):
                    found[origin] = Path(str(self._tables[table][f"{key}_file"]))
        return found

    def variables(self) -> frozenset[str]:
        """Return the variables that are set, and those whose key the file says, all upper case."""
        return frozenset(
            model.variable(key)
            for table, model in sections().items()
            for key in model.model_fields
            if self.is_set(table, key)
        )

    def values(self, table: str) -> dict[str, Any]:
        """Return what the file and the environment say of *table*, before it is checked.

        Raises: ConfigError for a variable that is no JSON, or a secret's file that cannot be read.
        """
        model = sections()[table]
        values: dict[str, Any] = {}
        if table == HOST:
            for key in BORROWED:
                variable = self.origin(table, key)
                if variable in BORROWED[key]:
                    values[key] = os.environ[variable]
        values = merged(values, self._file_values(table, model))
        return merged(values, _environment_values(model))

    def _file_values(self, table: str, model: type[SettingsSection]) -> dict[str, Any]:
        """Return a table's values, with the secrets of the files that it names."""
        values = dict(self._tables.get(table, {}))
        for key in model.secrets():
            named = values.pop(f"{key}_file", None)
            if named is None:
                continue
            where = place(str(self.path), table, f"{key}_file")
            if self.origin(table, key) != where:
                continue  # The environment has it: that file need not be there.
            secret = read_secret(where, Path(named))
            warn_if_public(where, Path(named))
            values[key] = secret
        return values

    def partial(self, table: str) -> tuple[SettingsSection, frozenset[str]]:
        """Return the settings of *table*, and the keys that have to be said and are not.

        Those are "not set" in what is returned. Raises: ConfigError for anything else.
        """
        model = sections()[table]
        values = self.values(table)
        missing = frozenset(
            key
            for key, field in model.model_fields.items()
            if field.is_required() and key not in values
        )
        made = self._checked(table, model, values, dict.fromkeys(missing, "not set"), {})
        return made, missing

    def _make(
        self,
        table: str,
        model: type[SectionT],
        said: Mapping[str, Any],
        dev: DevFile | None = None,
    ) -> SectionT:
        dictated: dict[str, Any] = {}
        if dev is not None:
            from ..settings import HostSettings

            dictated = HostSettings.dictated_by(dev)
        return self._checked(table, model, self.values(table), said, dictated)

    def _checked(
        self,
        table: str,
        model: type[SectionT],
        values: Mapping[str, Any],
        said: Mapping[str, Any],
        dictated: Mapping[str, Any],
    ) -> SectionT:
        try:
            return model(**merged(values, dictated, said))
        except ValidationError as error:
            origins = {key: self.origin(table, key) for key in model.model_fields}
            origins |= dict.fromkeys(dictated, DEV_FILE) | dict.fromkeys(said, COMMAND_LINE)
            raise ConfigError(*problems_of(error, table, model, origins)) from None


def merged(low: Mapping[str, Any], *higher: Mapping[str, Any]) -> dict[str, Any]:
    """Return *low* with what each of *higher* says instead; tables are merged, name by name."""
    result = dict(low)
    for one in higher:
        for key, value in one.items():
            below = result.get(key)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                result[key] = merged(below, value)
            else:
                result[key] = value
    return result


def _environment_values(model: type[SettingsSection]) -> dict[str, Any]:
    try:
        values = EnvSettingsSource(model)()
    except SettingsError as error:
        # What it says is the name of the setting, and that its JSON cannot be read.
        field = str(error).partition('"')[2].partition('"')[0]
        raise ConfigError(Problem(model.variable(field), "expected JSON")) from None
    for key in model.secrets():
        variable = model.variable(key) + FILE_SUFFIX
        named = variable_of(os.environ, variable)
        if named is None:
            continue
        if key in values:
            raise ConfigError(
                Problem(variable, f"expected this or {model.variable(key)}, not both")
            )
        values[key] = read_secret(variable, Path(named))
    return values
