"""``mixminus config``: what the settings are, whether a file of them is good, which there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .config_option import ConfigOption, read_sources
from .errors import NOT_FOUND, OK, USAGE, CliError, settings_error
from .output import JsonOption, print_json


def register(app: typer.Typer) -> None:
    """Add the ``config`` commands."""
    group = typer.Typer(
        name="config",
        help="Show, check and list the settings.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("show")(show)
    group.command("validate")(validate)
    group.command("schema")(schema)
    group.command("example")(example)
    app.add_typer(group)


def show(
    config: ConfigOption = None,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each value comes from.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the settings in effect, as TOML, secrets masked.

    They are those of `mixminus service` and of `mixminus serve --from-env` without more options; a
    host beside a service of its own takes credentials and addresses from that service.

    Example: mixminus config show --origin

    Example: mixminus config show --config /etc/mixminus.toml --json
    """
    from ..config.effective import all_effective, as_toml
    from ..config.effective import as_json as to_json
    from ..config.errors import ConfigError

    sources = read_sources(config)
    try:
        tables = all_effective(sources)
    except ConfigError as exc:
        raise settings_error(exc) from None
    if as_json:
        print_json(to_json(tables, with_origin=origin))
    else:
        print(as_toml(tables, with_origin=origin), end="")


def validate(
    file: Annotated[
        Path | None,
        typer.Argument(show_default="MIXMINUS_CONFIG, else ./mixminus.toml"),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Check a settings file, and the plugins that it names.

    The environment does not matter.

    All that is wrong is said, one line each. Exit code 2 when something is, 3 without a file.

    Example: mixminus config validate /etc/mixminus.toml
    """
    from ..config.errors import NoFileError
    from ..config.file import FILE_NAME, find_file
    from ..config.validate import problems_in

    try:
        path = find_file(file)
    except NoFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    if path is None:
        raise CliError(f"expected a file to check: there is no ./{FILE_NAME}", NOT_FOUND)
    problems = problems_in(path)
    if as_json:
        found = [{"where": one.where, "message": one.message} for one in problems]
        print_json({"file": str(path), "valid": not problems, "problems": found})
    else:
        print("\n".join(str(one) for one in problems) if problems else f"{path} is good")
    return USAGE if problems else OK


def schema(
    _: Annotated[bool, typer.Option("--json", help="As without it: a schema is JSON.")] = False,
) -> None:
    """Print the JSON Schema of the settings file, for editors.

    Example: mixminus config schema > mixminus.schema.json
    """
    from ..config.describe import schema as make

    print_json(make())


def example(
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables of the documentation instead.")
    ] = False,
) -> None:
    """Print a settings file with every key, as comments.

    Each key is there with its meaning and its default.

    Example: mixminus config example > mixminus.toml
    """
    from ..config import describe
    from ..config.sections import sections

    if as_json:
        print_json([key.to_json() for table in sections() for key in describe.keys(table)])
    else:
        print(describe.markdown() if markdown else describe.example(), end="")
